"""What the runtime tells late, or before anybody listens."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.kubelet.fake_runtime import FakeRuntime, Script
from tests.kubelet.world import World, pod, simulate


class Lagging(FakeRuntime):
    """Tells of an exit before its own lists show it, as containerd does."""

    def _finish(self, container_id: str, exit_code: int) -> None:
        super().emit("/tasks/exit", container_id)
        lag_s = 1.5 if self.runs[container_id].item.name == "main" else 0.3
        asyncio.get_running_loop().call_later(lag_s, super()._finish, container_id, exit_code)

    def emit(self, topic: str, container_id: str) -> None:
        if topic != "/tasks/exit":
            super().emit(topic, container_id)


async def _listening(world: World) -> None:
    """Until the kubelet trusts the runtime's events, it lists everything every second."""
    world.add(pod("first", [{"name": "first"}], restartPolicy="Never"))
    await world.until(lambda: world.is_ready("first"), 5)
    world.runtime.finish("first")
    await world.until(lambda: world.status("first").get("phase") == "Succeeded", 5)
    await asyncio.sleep(3)


def test_a_container_that_exits_at_once_is_seen_to_have_exited(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path, Lagging(scripts={"main": Script(0.0, 0)})) as world:
            await _listening(world)
            world.add(pod(restartPolicy="Never"))
            await world.until(lambda: world.status().get("phase") == "Succeeded", 5)

    simulate(story)


def test_an_exit_is_not_taken_for_another_change_of_the_pod(tmp_path: Path) -> None:
    async def story() -> None:
        scripts = {"main": Script(0.02, 0), "other": Script(0.01, 0)}
        async with World(tmp_path, Lagging(scripts=scripts)) as world:
            await _listening(world)
            both = [{"name": name, "image": "app:1"} for name in scripts]
            world.add(pod(restartPolicy="Never", containers=both))
            await world.until(lambda: world.status().get("phase") == "Succeeded", 5)

    simulate(story)
