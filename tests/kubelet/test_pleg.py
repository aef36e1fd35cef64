"""What the runtime tells late, or before anybody listens."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from tests.kubelet.fake_runtime import FakeRuntime, Script
from tests.kubelet.world import World, pod, simulate

from sampan.cri.runtime import ContainerStatus


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


class Forgetful(FakeRuntime):
    """Notes a moment after a container's exit that it was for want of memory, as containerd may; `oom_first` or not."""

    oom_first = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.noted: set[str] = set()

    def _finish(self, container_id: str, exit_code: int) -> None:
        is_killed = self.runs[container_id].item.name == "main" and exit_code == 137
        if is_killed and self.oom_first:
            self.emit("/tasks/oom", container_id)
        super()._finish(container_id, exit_code)
        if is_killed:
            if not self.oom_first:
                self.emit("/tasks/oom", container_id)
            asyncio.get_running_loop().call_later(0.4, self.noted.add, container_id)

    async def container_status(self, container_id: str) -> ContainerStatus:
        found = await super().container_status(container_id)
        return replace(found, reason="OOMKilled" if container_id in self.noted else "Error")


@pytest.mark.parametrize("oom_first", [True, False])
@pytest.mark.parametrize("policy", ["Never", "Always"])
def test_an_end_for_want_of_memory_is_told_although_the_runtime_notes_it_late(
    tmp_path: Path, policy: str, oom_first: bool
) -> None:
    def is_told(world: World) -> bool:
        status = (world.status().get("containerStatuses") or [{}])[0]
        shown = status.get("state" if policy == "Never" else "lastState") or {}
        assert status.get("restartCount", 0) < 2, "the first end is meant"
        return (shown.get("terminated") or {}).get("reason") == "OOMKilled"

    async def story() -> None:
        runtime = Forgetful(scripts={"main": Script(1.0, 137)})
        runtime.oom_first = oom_first
        async with World(tmp_path, runtime) as world:
            await _listening(world)
            world.add(pod(restartPolicy=policy))
            await world.until(lambda: is_told(world), 5)

    simulate(story)
