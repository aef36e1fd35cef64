"""What a few kinds need on a write that a pure `Kind` cannot do, because it depends on other objects.

A hook may change the new object and reserve something for it (an address, a port); `secure` is called when the write
is complete and allowed, unless it is a dry run, and `finish` exactly once with the outcome. The server binds hooks to
kinds.
"""

from __future__ import annotations

from typing import Protocol

from sampan.apimachinery.object import Object


class Hook(Protocol):
    """See the module. `prepare` raises an APIError to refuse."""

    async def prepare(self, new: Object, old: Object | None, *, dry_run: bool) -> object:
        """Complete `new`; `old` is None on create. What it returns goes back to `finish`."""

    async def secure(self, reserved: object, obj: Object) -> None:
        """Just before the write, which nothing but the store can refuse now. Raises an APIError to refuse."""

    def finish(self, reserved: object, *, written: bool) -> None:
        """The write happened, or not: keep the reservation until the cache shows it, or drop it."""
