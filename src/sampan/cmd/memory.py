"""How a long-lived process treats its memory.

Memory that is free is given back to the system: the C library keeps what was freed for the next one who asks, and
once something small lives above it, for ever. After 300 TLS watches came and went at once that was 50 MiB. A trim costs
about two milliseconds, once a minute.

The collector of cycles looks at young objects seldom and at old ones hardly ever: nearly everything goes without it,
and copies of a whole cluster, which stay, would be traversed again and again.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
from typing import Final

INTERVAL_S: Final = 60.0
COLLECTED_AFTER: Final = (50_000, 20, 50)
"""Objects made until the youngest are looked at, and how often that is until the older ones are."""


def settle() -> None:
    """From now on the collector leaves alone what is there already, and looks at the rest seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTED_AFTER)
    gc.enable()


async def keep_returning(interval_s: float = INTERVAL_S) -> None:
    """Until cancelled; at once over where the C library is not glibc, which alone can be asked."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    while trim is not None:
        await asyncio.sleep(interval_s)
        trim(0)
