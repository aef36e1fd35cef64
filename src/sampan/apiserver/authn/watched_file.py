"""A file's parsed content, read again after it changed: how certificates, keys and tokens rotate in a running server.

The file is looked at once every `CHECK_S` seconds at most, and only when somebody asks. A file that cannot be read or
parsed keeps its last good content, and the log says so.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from sampan import effects

CHECK_S = 1.0

log = logging.getLogger(__name__)
T = TypeVar("T")


class WatchedFile(Generic[T]):
    """`get()` is the present content; `generation` grows whenever it changed. Raises OSError, ValueError at first."""

    def __init__(self, path: str, parse: Callable[[bytes], T]) -> None:
        self._path = path
        self._parse = parse
        self._checked = effects.monotonic()
        self._stamp = self._stat()
        self._content = parse(Path(path).read_bytes())
        self.generation = 0

    def get(self) -> T:
        now = effects.monotonic()
        if now - self._checked >= CHECK_S:
            self._checked = now
            self._refresh()
        return self._content

    def _refresh(self) -> None:
        try:
            stamp = self._stat()
            if stamp == self._stamp:
                return
            content = self._parse(Path(self._path).read_bytes())
        except (OSError, ValueError) as error:
            log.warning("%s: keeping what was read before: %s", self._path, error)
            return
        self._stamp, self._content = stamp, content
        self.generation += 1

    def _stat(self) -> tuple[int, int, int]:
        found = os.stat(self._path)
        return found.st_mtime_ns, found.st_size, found.st_ino
