"""The kernel's side of a ruleset: one thread that owns the netlink sockets, so the event loop never waits for them.

The thread may be moved into another network namespace first (`enter`); the process usually is in the node's already.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sampan.netfilter.nft import NFT, NFTError
from sampan.netfilter.ruleset import Existing, Ruleset, TableFrame, Transaction

log = logging.getLogger(__name__)

T = TypeVar("T")


class Kernel:
    """Runs transactions in order."""

    def __init__(self, enter: Callable[[], None] | None = None) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="nftables", initializer=enter)
        self._local = threading.local()
        self._cleanup: list[str] = []

    async def close(self) -> None:
        await self._call(self._close)
        self._pool.shutdown(wait=False)

    async def apply(self, transaction: Transaction) -> None:
        """Change the table. Raises NFTError when the kernel refuses; then nothing was changed."""
        await self._call(lambda: self._apply(transaction))

    async def replace(self, ruleset: Ruleset) -> None:
        """Make the whole table anew in one transaction."""
        await self._call(lambda: self._replace(ruleset))

    async def has_table(self, frame: TableFrame) -> bool:
        return await self._call(lambda: self._nft.has_table(frame.family, frame.table))

    async def call(self, function: Callable[[], T]) -> T:
        """Run anything in that thread, which is in the right network namespace."""
        return await self._call(function)

    @property
    def _nft(self) -> NFT:
        if not hasattr(self._local, "nft"):
            self._local.nft = NFT()
        return self._local.nft  # type: ignore[no-any-return]

    def _apply(self, transaction: Transaction) -> None:
        if transaction.main:
            self._nft.run(transaction.main)
        self._clean(list(transaction.cleanup))

    def _replace(self, ruleset: Ruleset) -> None:
        frame = ruleset.frame
        self._cleanup.clear()
        try:
            self._apply(ruleset.full(self._nft.existing(frame.family, frame.table) or Existing()))
        except NFTError as error:
            # The table is of another make (maps of other types, say): then it goes whole, in the same transaction.
            log.warning("table %s is replaced whole: %s", frame.table, error)
            fresh = ruleset.full(Existing())
            at = f"{frame.family} {frame.table}"
            self._nft.run([f"add table {at}", f"delete table {at}", *fresh.main])

    def _clean(self, commands: list[str]) -> None:
        """Drop what is unused; what the kernel still holds on to is tried again with the next change."""
        pending, self._cleanup = self._cleanup + commands, []
        if not pending:
            return
        try:
            self._nft.run(pending)
        except NFTError:
            for command in pending:
                try:
                    self._nft.run([command])
                except NFTError as error:
                    log.info("%s: %s; to be tried again", command, error)
                    self._cleanup.append(command)

    def _close(self) -> None:
        if hasattr(self._local, "nft"):
            self._local.nft.close()
            del self._local.nft

    async def _call(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function)
