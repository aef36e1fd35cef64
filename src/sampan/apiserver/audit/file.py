"""The file of the audit log: lines gathered, written together, and moved aside when the file is full.

A line waits at most `FLUSH_S`. Once the file has `max_bytes` it becomes `PATH.1`, the one before that `PATH.2`, and so
on up to `backups`; the oldest is dropped, so the log never takes more than (1 + backups) × max_bytes and one batch.
A process that ends writes what is left; a crash may lose the last second.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
from pathlib import Path
from typing import Final

FLUSH_S: Final = 1.0
FLUSH_LINES: Final = 500
MEGABYTE: Final = 1024 * 1024

log = logging.getLogger(__name__)


class AuditFile:
    """Takes lines that end in a newline. `lost` counts those that a full disk swallowed."""

    def __init__(self, path: str, max_bytes: int, backups: int) -> None:
        self._path = Path(path)
        self._max_bytes = max_bytes
        self._backups = backups
        self._lines: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self.lost = 0
        # The chain knows no end, so what is gathered when the process stops is written on its way out.
        atexit.register(self.flush)

    def append(self, line: bytes) -> None:
        """Note one line."""
        self._lines.append(line)
        if len(self._lines) >= FLUSH_LINES:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self.flush)

    def flush(self) -> None:
        """Write what has been gathered."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines = self._lines, []
        if not lines:
            return
        try:
            self._write(b"".join(lines))
        except OSError as error:
            self.lost += len(lines)
            log.error("%s: %d audit events lost so far: %s", self._path, self.lost, error)

    def _write(self, data: bytes) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, data)
            size_bytes = os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)
        if self._max_bytes and size_bytes >= self._max_bytes:
            self._rotate()

    def _rotate(self) -> None:
        if not self._backups:
            self._path.unlink()
            return
        for number in range(self._backups, 1, -1):
            older = self._backup(number - 1)
            if older.exists():
                older.replace(self._backup(number))
        self._path.replace(self._backup(1))

    def _backup(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")
