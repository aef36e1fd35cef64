"""The queue, on virtual time."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from sampan import effects
from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.status import Status, unresolvable
from sampan.scheduler.pod_info import PodInfo, parse
from sampan.scheduler.queue import UNSCHEDULABLE_LIMIT_S, QueuedPod, SchedulingQueue
from sampan.sim.loop import VirtualLoop, run
from sampan.sim.source import SeededSource

FIT = frozenset(("Fit",))


def pod(name: str, priority: int = 0, **spec: Any) -> PodInfo:
    meta = {"name": name, "namespace": "default", "uid": name}
    return parse({"metadata": meta, "spec": {"priority": priority, **spec}})


class Rules:
    """The plugin Fit is concerned by freed pods only, and helped by those named big."""

    def sort_key(self, info: PodInfo, queued_at: float) -> tuple[Any, ...]:
        return (-info.priority, queued_at)

    def pre_enqueue(self, info: PodInfo) -> Status | None:
        return unresolvable("gated").of("Gates") if info.gates else None

    def concerns(self, scheduler_name: str, plugin: str, event: ClusterEvent) -> bool:
        return plugin == "Fit" and event is ClusterEvent.POD_FREED

    def treats_alike(self, scheduler_name: str, plugin: str) -> bool:
        return plugin == "Fit"

    def nominated_node(self, info: PodInfo) -> str:
        return info.nominated_node

    def hint(self, info: PodInfo, plugin: str, event: ClusterEvent, old: Any, new: Any) -> bool:
        return old is None or old.name == "big"


def make_queue(*, pops_from_backoff: bool = False) -> SchedulingQueue:
    return SchedulingQueue(Rules(), pops_from_backoff=pops_from_backoff)


def virtually(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def play(**values: Any) -> None:
        async def main() -> None:
            loop = asyncio.get_running_loop()
            assert isinstance(loop, VirtualLoop)
            with effects.use(SeededSource(1, loop)):
                await test(**values)

        run(main())

    return play


async def popped(queue: SchedulingQueue, within_s: float = 1000) -> QueuedPod:
    return await asyncio.wait_for(queue.pop(), within_s)


@virtually
async def test_pods_come_by_priority_and_then_by_age() -> None:
    queue = make_queue()
    for name, priority in (("old", 0), ("vip", 10), ("young", 0)):
        queue.add(pod(name, priority))
        await asyncio.sleep(0.1)
    assert [(await popped(queue)).pod.name for _ in range(3)] == ["vip", "old", "young"]


@virtually
async def test_each_failure_doubles_the_wait_up_to_ten_seconds() -> None:
    queue = make_queue()
    queue.add(pod("p"))
    waits = []
    for _ in range(7):
        before = effects.monotonic()
        queued = await popped(queue)
        waits.append(round(effects.monotonic() - before, 3))
        queue.failed(queued, frozenset(), error=True)
    assert waits == [0, 1, 2, 4, 8, 10, 10]


@virtually
async def test_an_unschedulable_pod_waits_for_an_event_that_concerns_what_refused_it() -> None:
    queue = make_queue()
    queue.add(pod("p"))
    queue.failed(await popped(queue), FIT)
    await asyncio.sleep(60)
    queue.move(ClusterEvent.NODE_LABELS)
    with pytest.raises(TimeoutError):
        await popped(queue, 100)
    queue.move(ClusterEvent.POD_FREED)
    assert (await popped(queue, 0.1)).pod.name == "p"


@virtually
async def test_an_event_does_not_shorten_the_back_off() -> None:
    queue = make_queue()
    queue.add(pod("p"))
    queue.failed(await popped(queue), FIT)
    queue.move(ClusterEvent.POD_FREED)
    before = effects.monotonic()
    await popped(queue)
    assert effects.monotonic() - before == 1


@virtually
async def test_an_event_during_the_attempt_is_not_missed() -> None:
    queue = make_queue()
    queue.add(pod("p"))
    queued = await popped(queue)
    queue.move(ClusterEvent.POD_FREED)
    queue.failed(queued, FIT)
    assert (await popped(queue, 2)).pod.name == "p"


@virtually
async def test_after_five_minutes_a_pod_is_tried_again_whatever_it_waits_for() -> None:
    queue = make_queue()
    queue.add(pod("p"))
    queue.failed(await popped(queue), FIT)
    before = effects.monotonic()
    await popped(queue)
    assert effects.monotonic() - before == UNSCHEDULABLE_LIMIT_S


@virtually
async def test_a_gated_pod_that_is_woken_in_vain_waits_on() -> None:
    queue = make_queue()
    queue.add(pod("gated", schedulingGates=[{"name": "g"}]))
    queue.activate("default/gated")
    assert queue.pending()["gated"] == 1
    assert queue.pop_nowait() is None


@virtually
async def test_a_gated_pod_waits_until_it_is_ungated() -> None:
    queue = make_queue()
    queue.add(pod("p", schedulingGates=[{"name": "g"}]))
    queue.move(ClusterEvent.POD_FREED)
    with pytest.raises(TimeoutError):
        await popped(queue, 1000)
    queue.update(pod("p"))
    assert (await popped(queue, 0.1)).pod.gates == ()


@virtually
async def test_a_deleted_pod_is_not_popped_and_its_failure_is_forgotten() -> None:
    queue = make_queue()
    for name in ("a", "b"):
        queue.add(pod(name))
    queue.delete("default/a")
    queued = await popped(queue)
    assert queued.pod.name == "b"
    queue.delete("default/b")
    queue.failed(queued, FIT, error=True)
    assert len(queue) == 0
    with pytest.raises(TimeoutError):
        await popped(queue)


@virtually
async def test_another_pod_of_the_same_name_starts_anew() -> None:
    queue = make_queue()
    queue.add(pod("p"))
    queue.failed(await popped(queue), FIT)
    successor = parse({"metadata": {"name": "p", "namespace": "default", "uid": "other"}, "spec": {}})
    queue.update(successor)
    assert (await popped(queue, 0.1)).attempts == 1


@virtually
async def test_only_a_change_that_matters_wakes_an_unschedulable_pod() -> None:
    queue = make_queue()
    queue.add(pod("p"))
    queue.failed(await popped(queue), FIT)
    await asyncio.sleep(20)
    queue.update(parse({**pod("p").obj, "status": {"conditions": []}}))
    with pytest.raises(TimeoutError):
        await popped(queue, 10)
    queue.update(pod("p", tolerations=[{"operator": "Exists"}]))
    assert (await popped(queue, 0.1)).pod.tolerations


@virtually
async def test_when_nothing_is_active_a_refused_pod_is_tried_early_but_not_one_after_an_error() -> None:
    queue = make_queue(pops_from_backoff=True)
    for name, error in (("refused", False), ("erred", True)):
        queue.add(pod(name))
        queue.failed(await popped(queue), FIT, error=error)
    queue.move(ClusterEvent.POD_FREED)
    before = effects.monotonic()
    assert (await popped(queue)).pod.name == "refused"
    assert effects.monotonic() == before
    assert (await popped(queue)).pod.name == "erred"
    assert effects.monotonic() == before + 1


@virtually
async def test_an_event_that_the_plugins_hint_calls_useless_wakes_nobody() -> None:
    queue = make_queue(pops_from_backoff=True)
    queue.add(pod("p"))
    queue.failed(await popped(queue), FIT)
    queue.move(ClusterEvent.POD_FREED, pod("small"))
    assert queue.pending()["unschedulable"] == 1
    queue.move(ClusterEvent.POD_FREED, pod("big"))
    assert queue.pending()["unschedulable"] == 0


@virtually
async def test_of_pods_that_are_alike_one_is_tried_and_the_next_when_it_found_a_place() -> None:
    queue = make_queue(pops_from_backoff=True)
    for name in ("a", "b", "c"):
        queue.add(pod(name))
        queue.failed(await popped(queue), FIT)
    queue.move(ClusterEvent.POD_FREED, pod("big"))
    first = await popped(queue)
    assert (first.pod.name, queue.pending()["unschedulable"]) == ("a", 2)
    queue.succeeded(first)
    second = await popped(queue)
    assert (second.pod.name, queue.pending()["unschedulable"]) == ("b", 1)
    queue.failed(second, FIT)
    assert queue.pending()["unschedulable"] == 2
    with pytest.raises(TimeoutError):
        await popped(queue, 100)


@pytest.mark.parametrize("leaves", ["deleted", "changed"])
@virtually
async def test_a_pod_that_leaves_before_it_was_tried_lets_the_next_of_its_like_try(leaves: str) -> None:
    queue = make_queue()
    for name in ("a", "b"):
        queue.add(pod(name))
        queue.failed(await popped(queue), FIT)
    queue.move(ClusterEvent.POD_FREED, pod("big"))
    if leaves == "deleted":
        queue.delete("default/a")
    else:
        queue.update(pod("a", tolerations=[{"operator": "Exists"}]))
    assert "default/b" in {(await popped(queue)).pod.key for _ in range(1 if leaves == "deleted" else 2)}


@virtually
async def test_a_pod_for_which_room_is_made_is_asked_about_its_own_node() -> None:
    queue = make_queue(pops_from_backoff=True)
    for name, node in (("a", "n1"), ("b", "n2"), ("c", "n3")):
        waiting = pod(name)
        waiting.nominated_node = node
        queue.add(waiting)
        queue.failed(await popped(queue), FIT)
    freed = pod("big")
    freed.node_name = "n2"
    queue.move(ClusterEvent.POD_FREED, freed)
    assert {(await popped(queue)).pod.name for _ in range(2)} == {"a", "b"}  # a speaks for all who wait elsewhere
    assert queue.pending()["unschedulable"] == 1


@virtually
async def test_thousands_that_are_alike_and_turn_out_to_be_held_are_passed_over() -> None:
    rules = Rules()
    queue = SchedulingQueue(rules, pops_from_backoff=True)
    count = 3000
    for number in range(count):
        queue.add(pod(f"p{number}"))
        queue.failed(await popped(queue), FIT)
    held = unresolvable("held").of("Other")
    rules.pre_enqueue = lambda info: held if info.name != "p2999" else None  # type: ignore[method-assign]
    queue.move(ClusterEvent.POD_FREED, pod("big"))
    assert (await popped(queue)).pod.name == "p2999"
    assert queue.pending()["gated"] == count - 1
    for number in range(count - 1):
        queue.delete(f"default/p{number}")
    assert queue.pending()["gated"] == 0
