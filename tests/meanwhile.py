"""Work that goes on beside a test: when it fails, the test fails at once, with its error, and not at some deadline.

    async with meanwhile(server.run()):
        ...                             # cancelled where it stands when `run` raises, which is then what is raised here

The work is cancelled when the block is left. In a fixture the block is not cut short, as its test is another task's;
the error is raised when the fixture ends.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any


@contextlib.asynccontextmanager
async def meanwhile(work: Coroutine[Any, Any, Any]) -> AsyncIterator[asyncio.Task[Any]]:
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(work)
            yield task
            task.cancel()
    except BaseExceptionGroup as failed:
        if len(failed.exceptions) > 1:
            raise
        raise failed.exceptions[0] from None
