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
    log = _open(path)
    try:
        for raw in _history(log, options.tail_lines):
            if formatter.is_full:
                return
            if out := formatter.format(raw):
                yield out
        if options.follow and log.live is not None and is_running is not None:
            async for out in _follow(path, log.live, log.end, formatter, is_running):
                yield out
    finally:
        if log.live is not None:
            os.close(log.live)


@dataclass(frozen=True, slots=True)
class _Log:
    """A log at one moment: rotated files, oldest first, and the live one, open, up to its last whole line."""

    rotated: list[Path]
    live: int | None
    end: int = 0


def _open(path: Path) -> _Log:
    """The live file is opened before anything is listed, so what is rotated or removed meanwhile is read from it."""
    try:
        live = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        files = files_of(path)
        if not files:
            raise
        return _Log([file for file in files if file != path], None)
    known = os.fstat(live)
    rotated: list[Path] = []
    for file in files_of(path):
        if file == path or _is(file, known):
            break  # what was rotated after it was opened is newer
        rotated.append(file)
    return _Log(rotated, live, _after_last_newline(live, known.st_size))


def _is(file: Path, known: os.stat_result) -> bool:
    try:
        return os.path.samestat(file.stat(), known)
    except FileNotFoundError:
        return False


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


def _history(log: _Log, tail: int | None) -> Iterator[bytes]:
    """What is in the files now: all lines, or the last `tail`."""
    if tail is None:
        for file in log.rotated:
            yield from _lines(file)
        if log.live is not None:
            yield from _lines_of(log.live, log.end)
        return
    kept = [] if log.live is None else _last_lines(log.live, tail, log.end)
    for file in reversed(log.rotated):
        if len(kept) >= tail:
            break
        kept = [*list(_lines(file))[-(tail - len(kept)):], *kept]
    yield from kept


def _lines(file: Path) -> Iterator[bytes]:
    """A rotated file, which may be compressed or dropped while somebody reads."""
    for path in (file, file.with_name(f"{file.name}.gz")):
        try:
            with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
                yield from stream
            return
        except FileNotFoundError:
            continue


def _lines_of(descriptor: int, end: int) -> Iterator[bytes]:
    position, rest = 0, b""
    while position < end:
        block = os.pread(descriptor, min(BLOCK_BYTES, end - position), position)
        if not block:
            return
        position += len(block)
        *whole, rest = (rest + block).split(b"\n")
        for line in whole:
            yield line + b"\n"


def _last_lines(descriptor: int, count: int, end: int) -> list[bytes]:
    """The last `count` whole lines, read from the end in blocks."""
    if count <= 0:
        return []
    position, data = end, b""
    while position > 0 and data.count(b"\n") <= count:
        start = max(0, position - BLOCK_BYTES)
        data = os.pread(descriptor, position - start, start) + data
        position = start
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
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    try:
        kept = _last_lines(descriptor, lines, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)
    text = b"".join(formatter.format(raw) for raw in kept)
    return text[-limit_bytes:].decode("utf-8", "replace")
