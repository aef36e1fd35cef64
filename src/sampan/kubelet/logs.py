"""Container logs as the runtime writes them (CRI format), read for `kubectl logs`.

A line is `2026-01-02T03:04:05.678901234Z stdout F text`; P instead of F marks a part that the next line goes on with.
Rotated files lie beside the live one as `0.log.20260102-030405`, older ones gzipped. Following goes on into the new
file when the live one is rotated, and ends when the container has ended and everything is read.
"""

from __future__ import annotations

import asyncio
import gzip
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

POLL_S = 0.25
BLOCK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class LogOptions:
    """As PodLogOptions. `stream` is All, Stdout or Stderr."""

    follow: bool = False
    tail_lines: int | None = None
    limit_bytes: int | None = None
    since: datetime | None = None
    timestamps: bool = False
    stream: str = "All"


@dataclass(frozen=True, slots=True)
class Line:
    time: bytes
    stream: bytes
    is_partial: bool
    text: bytes


def parse(raw: bytes) -> Line | None:
    """One line of a log file, None if it is not in CRI format."""
    parts = raw.rstrip(b"\n").split(b" ", 3)
    if len(parts) < 3 or parts[1] not in (b"stdout", b"stderr"):
        return None
    return Line(parts[0], parts[1], parts[2].split(b":", 1)[0] == b"P", parts[3] if len(parts) > 3 else b"")


def files_of(path: Path) -> list[Path]:
    """The log's files, oldest first; the live one last."""
    rotated = sorted(item for item in path.parent.glob(path.name + ".*") if not item.name.endswith(".tmp"))
    return [*rotated, path] if path.exists() else rotated


class _Formatter:
    """Turns lines into output: filters, joins parts, adds timestamps, counts bytes."""

    def __init__(self, options: LogOptions) -> None:
        self._options = options
        self._left = options.limit_bytes
        self._is_continued = False
        self._since = _key(options.since.isoformat().replace("+00:00", "Z").encode()) if options.since else None

    @property
    def is_full(self) -> bool:
        return self._left is not None and self._left <= 0

    def format(self, raw: bytes) -> bytes:
        line = parse(raw)
        if line is None:
            return b""
        wanted = self._options.stream
        if wanted != "All" and wanted.lower().encode() != line.stream:
            return b""
        if self._since is not None and _key(line.time) < self._since:
            return b""
        out = line.text if line.is_partial else line.text + b"\n"
        if self._options.timestamps and not self._is_continued:
            out = line.time + b" " + out
        self._is_continued = line.is_partial
        if self._left is not None:
            out = out[: self._left]
            self._left -= len(out)
        return out


def _key(time: bytes) -> bytes:
    """RFC 3339 times of any precision in an order that bytes compare right."""
    whole, _, fraction = time.rstrip(b"Z").partition(b".")
    return whole[:19] + b"." + fraction.split(b"+")[0].ljust(9, b"0")


async def read(
    path: Path, options: LogOptions, is_running: Callable[[], Awaitable[bool]] | None = None
) -> AsyncIterator[bytes]:
    """The log's text in pieces. `is_running` is asked while following. Raises FileNotFoundError."""
    formatter = _Formatter(options)
    files = files_of(path)
    if not files:
        raise FileNotFoundError(path)
    live, position = await _open_live(path)
    try:
        for raw in _history(files, options.tail_lines, position):
            if formatter.is_full:
                return
            if out := formatter.format(raw):
                yield out
        if options.follow and live is not None and is_running is not None:
            async for out in _follow(path, live, position, formatter, is_running):
                yield out
    finally:
        if live is not None:
            os.close(live)


async def _open_live(path: Path) -> tuple[int | None, int]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None, 0
    size = os.fstat(descriptor).st_size
    return descriptor, _after_last_newline(descriptor, size)


def _after_last_newline(descriptor: int, size: int) -> int:
    """Where the last whole line ends."""
    while size > 0:
        start = max(0, size - BLOCK_BYTES)
        block = os.pread(descriptor, size - start, start)
        found = block.rfind(b"\n")
        if found >= 0:
            return start + found + 1
        size = start
    return 0


def _history(files: list[Path], tail: int | None, live_end: int) -> Iterator[bytes]:
    """What is in the files now: all lines, or the last `tail`."""
    if tail is None:
        for position, file in enumerate(files):
            yield from _lines(file, live_end if position == len(files) - 1 and file.suffix == ".log" else None)
        return
    kept: list[bytes] = []
    for position in range(len(files) - 1, -1, -1):
        if len(kept) >= tail:
            break
        file = files[position]
        end = live_end if position == len(files) - 1 and file.suffix == ".log" else None
        kept = [*_last_lines(file, tail - len(kept), end), *kept]
    yield from kept


def _lines(file: Path, end: int | None) -> Iterator[bytes]:
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
            read_bytes = 0
            for raw in stream:
                read_bytes += len(raw)
                if end is not None and read_bytes > end:
                    return
                yield raw
    except FileNotFoundError:  # rotated away meanwhile
        return


def _last_lines(file: Path, count: int, end: int | None) -> list[bytes]:
    """The last `count` whole lines, read from the end in blocks."""
    if count <= 0:
        return []
    if file.suffix == ".gz":
        return list(_lines(file, None))[-count:]
    try:
        with file.open("rb") as stream:
            position = os.fstat(stream.fileno()).st_size if end is None else end
            data = b""
            while position > 0 and data.count(b"\n") <= count:
                start = max(0, position - BLOCK_BYTES)
                stream.seek(start)
                data = stream.read(position - start) + data
                position = start
    except FileNotFoundError:
        return []
    return data.splitlines(keepends=True)[-count:]


async def _follow(
    path: Path, descriptor: int, position: int, formatter: _Formatter, is_running: Callable[[], Awaitable[bool]]
) -> AsyncIterator[bytes]:
    opened: int | None = None
    try:
        rest = b""
        ended = False
        while not formatter.is_full:
            block = os.pread(descriptor, BLOCK_BYTES, position)
            position += len(block)
            *whole, rest = (rest + block).split(b"\n")
            out = b"".join(formatter.format(raw + b"\n") for raw in whole)
            if out:
                yield out
            if block:
                continue
            if _was_rotated(path, descriptor):
                following = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                if opened is not None:
                    os.close(opened)
                descriptor = opened = following
                position, rest = 0, b""
                continue
            if ended:
                return
            ended = not await is_running()  # once more after the end: its last lines may have come meanwhile
            if not ended:
                await asyncio.sleep(POLL_S)
    finally:
        if opened is not None:
            os.close(opened)


def _was_rotated(path: Path, descriptor: int) -> bool:
    try:
        now = path.stat()
    except FileNotFoundError:
        return False
    known = os.fstat(descriptor)
    return (now.st_ino, now.st_dev) != (known.st_ino, known.st_dev)


def tail_text(path: Path, lines: int, limit_bytes: int) -> str:
    """The last lines of a log as text, for termination messages."""
    formatter = _Formatter(LogOptions())
    text = b"".join(formatter.format(raw) for raw in _last_lines(path, lines, None))
    return text[-limit_bytes:].decode("utf-8", "replace")
