"""Memory that is free goes back to the system."""

import asyncio
import contextlib
from pathlib import Path

from sampan.cmd.memory import keep_returning


def resident_kib():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4


async def test_what_was_freed_below_something_that_lives_is_returned():
    blocks = [bytearray(20_000) for _ in range(5_000)]  # from the heap, 100 MB
    pins = blocks[::500]
    blocks.clear()
    before = resident_kib()
    returning = asyncio.create_task(keep_returning(0.01))
    async with asyncio.timeout(60):
        while resident_kib() > before - 50_000:
            await asyncio.sleep(0.01)
    returning.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await returning
    assert len(pins) == 10
