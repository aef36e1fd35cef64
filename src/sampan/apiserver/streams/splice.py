"""Two raw streams joined: what one sends, the other gets, until either ends; then both are closed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable

from sampan.apimachinery.http import Duplex


async def splice(left: Duplex, right: Duplex) -> None:
    """Copy both ways. Each direction waits for its reader, so nothing piles up in between."""
    try:
        await first_of(_copy(left, right), _copy(right, left))
    finally:
        await asyncio.gather(left.close(), right.close(), return_exceptions=True)


async def _copy(source: Duplex, target: Duplex) -> None:
    while data := await source.read():
        await target.write(data)


async def first_of(*running: Awaitable[None]) -> None:
    """Run all until one is done, then cancel the rest and wait for them: no task outlives the call.

    A broken connection is an ordinary end; any other error is raised.
    """
    tasks = [asyncio.ensure_future(one) for one in running]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        with contextlib.suppress(ConnectionError, asyncio.CancelledError, EOFError):
            task.result()
