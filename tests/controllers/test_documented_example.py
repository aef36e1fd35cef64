"""The controller in docs/concepts/controllers.md does what the page says."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import yaml
from tests.meanwhile import meanwhile

from sampan.api.resources import CONFIG_MAPS, NAMESPACES
from sampan.controllers import table
from sampan.sim import loop
from sampan.sim.cluster import SimCluster

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "concepts" / "controllers.md"
EXAMPLE = DOCS / "examples" / "greeter"


def documented() -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLE / "greeter.py"))


def test_the_page_shows_the_files_that_run() -> None:
    text = PAGE.read_text()
    assert re.findall(r"```python\n(.*?)```", text, re.DOTALL) == [(EXAMPLE / "greeter.py").read_text()]
    shown = [one for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) for one in yaml.safe_load_all(block)]
    applied = list(yaml.safe_load_all((EXAMPLE / "greeter.yaml").read_text()))
    assert shown and all(one in applied for one in shown)
    for path in re.findall(r"docs/examples/[\w./-]+", text):
        assert (DOCS.parent / path).exists(), path


def test_the_documented_controller_keeps_its_promise() -> None:
    example = documented()

    async def scenario() -> None:
        async with SimCluster(1, 1) as cluster:
            client = cluster.client
            async with meanwhile(example["run"](client)):
                def says(wanted: str | None):
                    async def check() -> bool:
                        maps = (await client.list(CONFIG_MAPS, "team"))["items"]
                        greeting = [one["data"]["name"] for one in maps if one["metadata"]["name"] == "hello"]
                        return greeting == ([wanted] if wanted else [])
                    return check

                labels = {"greet": "anna"}
                await client.create(NAMESPACES, {
                    "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team", "labels": labels}
                })
                await cluster.until(says("anna"))
                await client.delete(CONFIG_MAPS, "hello", "team")
                await cluster.until(says("anna"))
                await client.patch(NAMESPACES, "team", {"metadata": {"labels": {"greet": "berta"}}})
                await cluster.until(says("berta"))
                await client.patch(NAMESPACES, "team", {"metadata": {"labels": {"greet": None}}})
                await cluster.until(says(None))

    loop.run(scenario())


_LOOP = r"^from sampan\.controllers\.(?:\w+\.)?(\w+) import"


def test_the_page_names_every_loops_file_and_no_other() -> None:
    folder = Path(table.__file__).parent
    section = PAGE.read_text().partition("## What runs")[2].partition("\n## ")[0]
    named = {path.name for pattern in re.findall(r"`([\w*]+\.py)`", section) for path in folder.rglob(pattern)}
    missing = [pattern for pattern in re.findall(r"`([\w*]+\.py)`", section) if not list(folder.rglob(pattern))]
    assert missing == []
    loops = set(re.findall(_LOOP, Path(table.__file__).read_text(), re.M))
    assert {f"{one}.py" for one in loops - {"config", "names"}} <= named


def test_each_loops_file_opens_with_what_is_observed_and_what_is_desired() -> None:
    folder = Path(table.__file__).parent
    loops = set(re.findall(_LOOP, Path(table.__file__).read_text(), re.M))
    silent = []
    for name in sorted(loops - {"config", "names"}):
        text = next(folder.rglob(f"{name}.py")).read_text()
        opening = text.split('"""')[1]
        if not (re.search(r"\bObserved\b", opening) and re.search(r"\bDesired:", opening)):
            silent.append(name)
    assert silent == []
