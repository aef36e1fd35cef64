"""No more than so many requests at once, reads and writes counted apart; the rest is told to come back in a second.

Watches and streams hold no place. The group system:masters is exempt, so that an overloaded server can still be mended.
"""

from __future__ import annotations

from typing import Final

from sampan.apimachinery.errors import TooManyRequests
from sampan.apimachinery.http import Response
from sampan.apiserver.authz.privileged import MASTERS
from sampan.apiserver.context import READ_VERBS, RequestContext
from sampan.apiserver.seams import Link, Next, ServerParts

READS: Final = 400
WRITES: Final = 200
RETRY_AFTER_S: Final = 1


class InFlight:
    """A link of the chain, behind authentication."""

    def __init__(self, reads: int = READS, writes: int = WRITES) -> None:
        self._limits = (reads, writes)
        self.running = [0, 0]

    async def __call__(self, ctx: RequestContext, next: Next) -> Response:
        if ctx.long_running or (ctx.user is not None and MASTERS in ctx.user.groups):
            return await next(ctx)
        kind = 0 if ctx.verb in READ_VERBS else 1
        if self.running[kind] >= self._limits[kind]:
            raise TooManyRequests("Too many requests, please try again later.", retry_after_s=RETRY_AFTER_S)
        self.running[kind] += 1
        try:
            return await next(ctx)
        finally:
            self.running[kind] -= 1


def build(parts: ServerParts) -> Link:
    return InFlight()
