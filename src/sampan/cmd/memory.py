"""Gives memory that is free back to the system.

The C library keeps what was freed for the next one who asks, and once something small lives above it, for ever. After
300 TLS watches came and went at once that was 50 MiB. A trim costs about two milliseconds, once a minute.
"""

from __future__ import annotations

import asyncio
import ctypes
from typing import Final

INTERVAL_S: Final = 60.0


async def keep_returning(interval_s: float = INTERVAL_S) -> None:
    """Until cancelled; at once over where the C library is not glibc, which alone can be asked."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    while trim is not None:
        await asyncio.sleep(interval_s)
        trim(0)
