"""One watch: a selection of one kind's events, and the frames that its reader has yet to get.

Frames are encoded once per change and rendering and shared by all watchers. A watcher with a sink writes to it itself,
in `flush`, for as long as the sink is open; else frames wait until the reader asks, or reads again. A watcher whose
reader falls more than `limit` events or MAX_WAITING_BYTES behind is ended: its client lists again, and the server
holds no memory for it. What a watch begins with (the present objects, or the changes since a revision) is encoded only
as it is read, and does not count.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import chain
from typing import Final

from sampan.apimachinery.http import CHUNK_BYTES, Sink
from sampan.apiserver.registry.entry import Entry
from sampan.apiserver.registry.rendering import Rendering
from sampan.apiserver.registry.selection import Selection

MAX_WAITING_BYTES: Final = 16 * 1024 * 1024


class Change:
    """A committed change of one object. `new` is None for a deletion; then `old` is its last state."""

    __slots__ = ("new", "old", "revision")

    def __init__(self, revision: int, old: Entry | None, new: Entry | None) -> None:
        self.revision = revision
        self.old = old
        self.new = new

    def frame(self, type: str, rendering: Rendering) -> bytes:
        """The event, encoded."""
        Change.encoded += 1
        return rendering.frame(type, rendering.item(self._subject(type)))

    encoded = 0
    """How many frames were ever encoded: the tests' proof that watchers share them."""

    def _subject(self, type: str) -> Entry:
        if type != "DELETED":
            assert self.new is not None
            return self.new
        assert self.old is not None
        return self.old.at(self.revision)

    def type_for(self, selection: Selection) -> str | None:
        """What this change is to a selection, or None if it is nothing to it."""
        if selection.plain:
            if selection.namespace:
                subject = self.new or self.old
                if subject is None or subject.namespace != selection.namespace:
                    return None
            if self.new is None:
                return "DELETED"
            return "ADDED" if self.old is None else "MODIFIED"
        is_in = self.new is not None and selection.matches(self.new)
        was_in = self.old is not None and selection.matches(self.old)
        if is_in:
            return "MODIFIED" if was_in else "ADDED"
        return "DELETED" if was_in else None


class Watcher:
    """Between the cache and one reader."""

    __slots__ = (
        "_alarm", "_alarm_s", "_beginning", "_frames", "_limit", "_sink", "_waiter", "_waiting_bytes", "after", "ended",
        "first", "rendering", "selection",
    )

    def __init__(self, selection: Selection, rendering: Rendering, limit: int) -> None:
        self.selection = selection
        self.rendering = rendering.then or rendering
        self.first = rendering if rendering.then is not None else None
        """What renders the first event, if that is another."""
        self.after = 0
        """Changes up to this revision are none of this watch's business."""
        self.ended = False
        self._limit = limit
        self._beginning: Iterator[bytes] | None = None
        self._frames: list[bytes] = []
        self._waiting_bytes = 0
        self._sink: Sink | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_s = 0.0

    def next_rendering(self) -> Rendering:
        """What renders the event that comes next; must be called for each in turn."""
        first, self.first = self.first, None
        return first or self.rendering

    def bookmark(self, revision: int, annotations: dict[str, str] | None = None) -> bytes:
        """The event that vouches for everything up to a revision; never for less than the reader knew when it came, who
        may have been at a server that is ahead of this one.
        """
        rendering = self.next_rendering()
        return rendering.frame("BOOKMARK", rendering.bookmark(max(revision, self.after), annotations))

    # What the cache calls

    def begin_with(self, frames: Iterator[bytes]) -> None:
        """Frames that come before all others."""
        self._beginning = frames if self._beginning is None else chain(self._beginning, frames)

    def push(self, frame: bytes) -> None:
        """Queue a frame; ends the watch when the reader owes too many. `flush` sends it on."""
        if self.ended:
            return
        self._frames.append(frame)
        self._waiting_bytes += len(frame)

    def flush(self) -> None:
        """Send what is queued, or wake who will."""
        sink = self._sink
        if sink is not None and sink.is_open:
            frames = self._frames
            if frames:
                sink.write(frames[0] if len(frames) == 1 else b"".join(frames))
                self._forget_frames()
            return
        if len(self._frames) > self._limit or self._waiting_bytes > MAX_WAITING_BYTES:
            self._forget_frames()
            self.end()
        elif sink is None:
            self.wake()

    def end(self) -> None:
        """No more events; what is queued is still read."""
        self.ended = True
        self.wake()

    def _forget_frames(self) -> None:
        self._frames.clear()
        self._waiting_bytes = 0

    # What the reader calls

    def connect(self, sink: Sink) -> None:
        """Write to the sink from now on. What the watch begins with must have been read."""
        self._sink = sink
        sink.on_open(self.flush)
        self.flush()

    def disconnect(self) -> None:
        """The sink's client is gone. The two hold each other: without this, its TLS would wait for the collector."""
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.on_open(None)

    def read_beginning(self) -> bytes:
        """A chunk of what the watch begins with; empty when that is over."""
        if self._beginning is None:
            return b""
        parts: list[bytes] = []
        size = 0
        for frame in self._beginning:
            parts.append(frame)
            size += len(frame)
            if size >= CHUNK_BYTES:
                return b"".join(parts)
        self._beginning = None
        return b"".join(parts)

    async def read(self, until_s: float) -> bytes | None:
        """What there is, as one chunk; b"" if there is none by a time of the loop, None at the end."""
        chunk = self.read_now()
        if chunk:
            return chunk
        if not self.ended:
            await self.wait(until_s)
            chunk = self.read_now()
        return chunk or (None if self.ended else b"")

    def read_now(self) -> bytes:
        """What there is, as one chunk."""
        chunk = self.read_beginning()
        if chunk:
            return chunk
        frames = self._frames
        if frames:
            chunk = frames[0] if len(frames) == 1 else b"".join(frames)
            self._forget_frames()
        return chunk

    async def wait(self, until_s: float) -> None:
        """Until there is something to read, the watch has ended, or the loop's time is `until_s`.

        Most waits have the same end and are over long before it, so the alarm is left set from one to the next.
        """
        loop = asyncio.get_running_loop()
        if self._alarm is None or self._alarm_s != until_s:
            self.quiet()
            self._alarm, self._alarm_s = loop.call_at(until_s, self._ring), until_s
        waiter = self._waiter = loop.create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    def quiet(self) -> None:
        """Nobody waits any more."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _ring(self) -> None:
        self._alarm = None
        self.wake()

    def wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
