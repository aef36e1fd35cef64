"""The configurations in docs/concepts/scheduling.md can be read and mean what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from sampan.scheduler.configuration.configuration import from_document, scheduler_config

PAGE = Path(__file__).parents[3] / "docs" / "concepts" / "scheduling.md"


def documents() -> list[Any]:
    found = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)]
    return [one for one in found if one.get("kind") == "KubeSchedulerConfiguration"]


def test_profiles() -> None:
    packing = from_document(documents()[0]).profiles[1]
    assert packing.plugins is not None
    weights = {choice.name: choice.weight for choice in packing.plugins}
    assert weights["QuietHours"] == 2 and "ImageLocality" not in weights
    assert packing.arguments["NodeResourcesFit"]["scoringStrategy"]["type"] == "MostAllocated"
    assert packing.arguments["QuietHours"] == {"label": "example.com/night"}


def test_extenders() -> None:
    config = scheduler_config(from_document(documents()[1]))
    assert config.extenders[0].filter_verb == "filter"
    assert config.profiles[0].arguments["NodeResourcesFit"]["ignoredResources"] == ["example.com/gpu"]
