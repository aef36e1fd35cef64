from __future__ import annotations

import asyncio

from sampan.reconcile.workqueue import MAX_DELAY_S, Workqueue


async def test_a_key_waits_only_once() -> None:
    queue = Workqueue()
    for key in ("a", "b", "a"):
        queue.add(key)
    assert [await queue.get(), await queue.get()] == ["a", "b"]
    assert not len(queue)


async def test_a_key_that_is_worked_on_comes_back_when_it_is_done() -> None:
    queue = Workqueue()
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("a")
    assert not len(queue)
    queue.done("a")
    assert await queue.get() == "a"
    queue.done("a")
    assert queue.idle


async def test_workers_wait_for_keys() -> None:
    queue = Workqueue()
    waiting = [asyncio.create_task(queue.get()) for _ in range(2)]
    await asyncio.sleep(0)
    queue.add("a")
    queue.add("b")
    assert await asyncio.gather(*waiting) == ["a", "b"]


async def test_a_cancelled_worker_loses_no_key() -> None:
    queue = Workqueue()
    first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    first.cancel()
    assert await asyncio.wait_for(second, 60) == "a"


async def test_of_two_delays_the_earlier_holds() -> None:
    queue = Workqueue()
    queue.add_after("a", 100)
    queue.add_after("a", 0.001)
    queue.add_after("a", 50)
    assert await asyncio.wait_for(queue.get(), 60) == "a"
    queue.close()


async def test_a_key_whose_delay_is_over_may_rest_on() -> None:
    queue = Workqueue()
    answers: list[float | None] = [0.001, 0.002, None, None]
    asked: list[str] = []

    def rests(key: str) -> float | None:
        asked.append(key)
        return answers.pop(0)

    queue.rests = rests
    queue.add_after("a", 0.001)
    assert await asyncio.wait_for(queue.get(), 60) == "a"
    assert asked == ["a", "a", "a"]
    queue.add_after("a", 0.001)  # while it is worked on, nobody can say that there is nothing to do
    queue.add_after("b", 0.002)
    assert await asyncio.wait_for(queue.get(), 60) == "b"
    queue.done("a")
    assert await asyncio.wait_for(queue.get(), 60) == "a"
    assert asked == ["a", "a", "a", "b"]


async def test_failures_come_back_later_each_time(monkeypatch) -> None:
    queue = Workqueue()
    delays: list[float] = []
    monkeypatch.setattr(queue, "add_after", lambda key, delay: delays.append(delay))
    for _ in range(20):
        queue.add_rate_limited("a")
    assert delays[:3] == [0.005, 0.01, 0.02]
    assert delays[-1] == MAX_DELAY_S
    queue.forget("a")
    queue.add_rate_limited("a")
    assert delays[-1] == 0.005
