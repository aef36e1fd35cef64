"""The plugin in docs/concepts/scheduling.md does what the page says."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from sampan import effects
from sampan.scheduler.config import PluginChoice, Profile
from sampan.scheduler.plugins.table import SCHEDULER_PLUGINS
from sampan.scheduler.profiles import ENTRY_POINTS, UnknownPlugin, known_plugins, make_framework

PAGE = Path(__file__).parents[2] / "docs" / "concepts" / "scheduling.md"


def documented() -> type[Any]:
    found: dict[str, Any] = {"__name__": "example_quiet"}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(block, found)
    plugin: type[Any] = found["QuietHours"]
    return plugin


def with_plugin(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a package offered the plugin by an entry point, and the profile enabled it with an argument."""
    monkeypatch.setattr("sampan.scheduler.profiles.known_plugins", lambda: {
        **known_plugins(), "QuietHours": documented(),
    })
    choices = (*(PluginChoice(entry.name) for entry in SCHEDULER_PLUGINS), PluginChoice("QuietHours", 50))
    profile = Profile(plugins=choices, arguments={"QuietHours": {"label": "quiet"}})
    world.framework = make_framework(profile, world.handle)


def test_the_documented_plugin_filters_scores_and_gives_its_reason(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_plugin(world, monkeypatch)
    world.node("a-long-name")
    world.node("short")
    world.node("s", labels={"quiet": str(effects.now().hour)})
    assert world.possible() == {"a-long-name", "short"}
    assert world.where() == "short"
    assert world.why(nodeSelector={"kubernetes.io/hostname": "s"}) == (
        "0/3 nodes are available: 1 node(s) had a quiet hour, 2 node(s) didn't match Pod's node affinity/selector."
    )


def test_plugins_of_other_packages_are_found_by_their_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = metadata.EntryPoint("QuietHours", f"{__name__}:documented", ENTRY_POINTS)
    monkeypatch.setattr(metadata, "entry_points", lambda group: [entry] if group == ENTRY_POINTS else [])
    monkeypatch.setattr(metadata.EntryPoint, "load", lambda self: documented)
    assert known_plugins()["QuietHours"] is documented


def test_a_profile_that_names_an_unknown_plugin_is_refused(world: Any) -> None:
    with pytest.raises(UnknownPlugin, match='there is no plugin "Nobodys"'):
        make_framework(Profile(plugins=(PluginChoice("Nobodys"),)), world.handle)
