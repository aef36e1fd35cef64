"""Dead containers, grown logs, eviction."""

from __future__ import annotations

from pathlib import Path

from tests.kubelet.fake_runtime import FakeRuntime, Script
from tests.kubelet.world import World, pod, simulate

from sampan.kubelet.eviction import Signals, rank


def test_only_the_last_dead_run_is_kept(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path, FakeRuntime(scripts={"main": Script(1.0, 1)})) as world:
            world.add(pod())
            await world.until(lambda: world.container().get("restartCount") == 4)
            await world.until(lambda: len(world.runtime.runs) == 2, 20)
            assert world.container()["lastState"]["terminated"]["exitCode"] == 1

    simulate(story)


def test_a_log_that_grew_is_rotated_and_old_ones_are_compressed(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path, log_max_size_bytes=100, log_max_files=3) as world:
            world.add(pod())
            await world.until(world.is_ready, 5)
            log = tmp_path / "logs/pods/default_web_uid-web/main/0.log"
            for _ in range(4):
                log.write_text("x" * 200)
                await world.until(lambda: not log.exists(), 120)
            log.write_text("new")
            rotated = sorted(item.name for item in log.parent.iterdir())
            assert len(rotated) == 3 and sum(name.endswith(".gz") for name in rotated) == 1
            assert any(call.startswith("reopen_log") for call in world.runtime.calls)

    simulate(story)


def test_eviction_takes_the_pod_that_uses_most_beyond_its_request() -> None:
    small = pod("small", [{"name": "c", "resources": {"requests": {"memory": "100Mi"}}}])
    greedy = pod("greedy")
    important = pod("important", priority=1000)
    critical = pod("critical", priority=2_000_001_000)
    usage = {"uid-small": 50 * 2**20, "uid-greedy": 10 * 2**20, "uid-important": 900 * 2**20}
    order = rank([small, important, greedy, critical], usage)
    assert [item["metadata"]["name"] for item in order] == ["greedy", "important", "small"]


def test_memory_pressure_shows_and_evicts_one_pod_at_a_time(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path) as world:
            world.add(pod("a"))
            world.add(pod("b"))
            await world.until(lambda: world.is_ready("a") and world.is_ready("b"), 5)
            await world.kubelet.eviction.look(Signals(-1, 1.0, 1.0, 1000))
            assert world.kubelet.eviction.pressure.memory
            await world.until(lambda: "Evicted" in {world.status(name).get("reason") for name in "ab"}, 5)
            evicted = next(name for name in "ab" if world.status(name).get("reason") == "Evicted")
            assert world.status(evicted)["phase"] == "Failed"
            assert world.status(evicted)["message"] == "The node was low on resource: memory. "
            assert world.condition("DisruptionTarget", evicted)["reason"] == "TerminationByKubelet"
            other = "b" if evicted == "a" else "a"
            assert world.is_ready(other)

    simulate(story)
