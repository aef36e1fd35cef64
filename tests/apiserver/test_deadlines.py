"""The one timer that ends requests which take too long. On virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from sampan.apiserver.deadlines import Deadlines
from sampan.sim.loop import run


async def within(deadlines: Deadlines, name: str, work: Callable[[], Awaitable[object]]) -> str:
    deadlines.begin(name)
    try:
        await work()
        return "done"
    except asyncio.CancelledError:
        if deadlines.ran_out(name):
            return "ran out"
        raise
    finally:
        deadlines.end(name)


def test_each_runs_out_in_its_own_time_and_others_go_on() -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        deadlines = Deadlines(60)
        first = asyncio.create_task(within(deadlines, "a", lambda: asyncio.sleep(1000)))
        await asyncio.sleep(40)
        quick = asyncio.create_task(within(deadlines, "b", lambda: asyncio.sleep(1)))
        second = asyncio.create_task(within(deadlines, "c", lambda: asyncio.sleep(1000)))
        assert await quick == "done"
        assert await first == "ran out" and loop.time() - began_s == pytest.approx(60)
        assert await second == "ran out" and loop.time() - began_s == pytest.approx(100)
        assert await within(deadlines, "d", lambda: asyncio.sleep(59)) == "done"
        assert await within(deadlines, "e", lambda: asyncio.sleep(61)) == "ran out"

    run(story())


def test_who_cancels_a_request_still_cancels_it() -> None:
    async def story() -> None:
        deadlines = Deadlines(60)
        task = asyncio.create_task(within(deadlines, "a", lambda: asyncio.sleep(1000)))
        await asyncio.sleep(59.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(100)

        async def stubborn() -> None:
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                pass

        task = asyncio.create_task(within(deadlines, "b", stubborn))
        assert await task == "done" and task.cancelling() == 0

    run(story())


def test_times_that_do_not_add_up_exactly_end_all_the_same() -> None:
    async def play() -> list[str]:
        deadlines, ended = Deadlines(60.0), []

        async def work(name: str, after_s: float) -> None:
            await asyncio.sleep(after_s)
            deadlines.begin(name)
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                assert deadlines.ran_out(name)
                ended.append(name)

        await asyncio.gather(*(work(str(n), 0.1 * n + 1e-13 * n) for n in range(1, 60)))
        return ended

    assert run(play()) == [str(n) for n in range(1, 60)]
