"""The controller in docs/concepts/controllers.md does what the page says."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

from sampan.api.resources import CONFIG_MAPS, NAMESPACES
from sampan.controllers import table
from sampan.sim import loop
from sampan.sim.cluster import SimCluster

PAGE = Path(__file__).parents[2] / "docs" / "concepts" / "controllers.md"


def documented() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(block, found)
    return found


def test_the_documented_controller_keeps_its_promise() -> None:
    example = documented()

    async def scenario() -> None:
        async with SimCluster(1, 1) as cluster:
            client = cluster.client
            running = asyncio.create_task(example["run"](client))

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
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    loop.run(scenario())


def test_the_page_names_every_loops_file_and_no_other() -> None:
    folder = Path(table.__file__).parent
    section = PAGE.read_text().partition("## What runs")[2].partition("\n## ")[0]
    named = {path.name for pattern in re.findall(r"`([\w*]+\.py)`", section) for path in folder.glob(pattern)}
    missing = [pattern for pattern in re.findall(r"`([\w*]+\.py)`", section) if not list(folder.glob(pattern))]
    assert missing == []
    loops = set(re.findall(r"^from sampan\.controllers\.(\w+) import", Path(table.__file__).read_text(), re.M))
    assert {f"{one}.py" for one in loops - {"config", "names"}} <= named
