"""Virtual time."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import pytest

from sampan import effects
from sampan.sim.loop import Deadlock, VirtualLoop, run
from sampan.sim.source import EPOCH, SeededSource


def test_a_day_passes_at_once_and_exactly() -> None:
    async def main() -> float:
        await asyncio.sleep(86_400)
        return asyncio.get_running_loop().time()

    began = time.monotonic()
    assert run(main()) == 86_400
    assert time.monotonic() - began < 60


@pytest.mark.timeout(20)
def test_a_decade_passes_in_odd_steps() -> None:
    async def main() -> int:
        for n in range(1000):
            await asyncio.sleep(315_360.123456789 + n / 7)
        return 1000

    assert run(main()) == 1000


def test_timers_fire_by_time_and_then_in_the_order_they_were_set() -> None:
    async def main() -> list[str]:
        seen: list[str] = []
        loop = asyncio.get_running_loop()
        for name, delay in (("c", 2.0), ("a", 1.0), ("d", 2.0), ("b", 1.0)):
            loop.call_later(delay, seen.append, name)
        for n in range(20):
            loop.call_at(3.0, seen.append, str(n))
        await asyncio.sleep(5)
        return seen

    assert run(main()) == ["a", "b", "c", "d", *map(str, range(20))]


def test_timeouts_and_waits_work_on_virtual_time() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await asyncio.Event().wait()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.sleep(100), 10)
        return asyncio.get_running_loop().time()

    assert run(main()) == 40


def test_waiting_for_what_nobody_does_is_a_deadlock() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock, match="no timer is set"):
        run(main())


def test_executors_run_in_place() -> None:
    async def main() -> int:
        return await asyncio.to_thread(lambda: 42)

    assert run(main()) == 42


def test_the_wall_clock_follows_the_loop() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        with effects.use(SeededSource(1, loop)) as _:
            await asyncio.sleep(90)
            assert effects.now() == EPOCH + timedelta(seconds=90)
            assert effects.timestamp() == "2026-01-01T00:01:30Z"
            assert effects.monotonic() == 90

    run(main())


def test_a_seed_decides_everything_and_uids_apart_from_decisions() -> None:
    loop = VirtualLoop()
    one, same, other = SeededSource(1, loop), SeededSource(1, loop), SeededSource(2, loop)
    one.rng().random()
    assert one.uid() == same.uid() != other.uid()
    assert one.secret(8) == same.secret(8)
    assert one.uid() != one.uid()
    loop.close()
