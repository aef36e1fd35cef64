"""One watch: a selection of one kind's events, queued as ready-made frames.

The cache offers every change to every watcher; a watcher decides what the change is to *its* selection (an object that
starts to match was ADDED, one that stops was DELETED) and queues the frame. Frames are encoded once per change and
rendering and shared by all watchers. A watcher whose reader falls more than `limit` events behind is ended: its client
lists again, and the server holds no memory for it.
"""

from __future__ import annotations

import asyncio
from collections import deque

from sampan.apiserver.registry.entry import Entry
from sampan.apiserver.registry.rendering import Rendering
from sampan.apiserver.registry.selection import Selection


class Change:
    """A committed change of one object. `new` is None for a deletion; then `old` is its last state."""

    __slots__ = ("_frames", "new", "old", "revision")

    def __init__(self, revision: int, old: Entry | None, new: Entry | None) -> None:
        self.revision = revision
        self.old = old
        self.new = new
        self._frames: dict[tuple[str, object], bytes] | None = None

    def frame(self, type: str, rendering: Rendering) -> bytes:
        """The encoded event; made at the first call for this type and rendering, then shared."""
        frames = self._frames
        if frames is None:
            frames = self._frames = {}
        key = (type, rendering.key)
        found = frames.get(key)
        if found is None:
            found = frames[key] = rendering.frame(type, rendering.item(self._subject(type)))
            Change.encoded += 1
        return found

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
    """The queue between the cache and one reader."""

    def __init__(self, selection: Selection, rendering: Rendering, limit: int) -> None:
        self.selection = selection
        self.rendering = rendering
        self.after = 0
        """Changes up to this revision are none of this watch's business."""
        self._limit = limit
        self._frames: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False

    def offer(self, change: Change) -> None:
        """Queue the change if it concerns the selection."""
        if change.revision <= self.after:
            return
        type = change.type_for(self.selection)
        if type is not None:
            self.push(change.frame(type, self.rendering))

    def push(self, frame: bytes) -> None:
        """Queue a frame; ends the watch when the reader owes too many."""
        if self._ended:
            return
        if len(self._frames) >= self._limit:
            self._frames.clear()
            self.end()
            return
        self._frames.append(frame)
        self._wake()

    def prepend(self, frames: list[bytes]) -> None:
        """The frames a watch begins with; they do not count against the limit."""
        self._frames.extend(frames)
        self._limit += len(frames)
        self._wake()

    def end(self) -> None:
        """No more events; what is queued is still read."""
        self._ended = True
        self._wake()

    @property
    def ended(self) -> bool:
        return self._ended

    async def read(self, timeout_s: float | None) -> bytes | None:
        """All queued frames as one chunk; b"" after the timeout, None at the end."""
        if not self._frames:
            if self._ended:
                return None
            await self._wait(timeout_s)
        frames = self._frames
        if not frames:
            return None if self._ended else b""
        chunk = frames[0] if len(frames) == 1 else b"".join(frames)
        frames.clear()
        return chunk

    async def _wait(self, timeout_s: float | None) -> None:
        loop = asyncio.get_running_loop()
        waiter = self._waiter = loop.create_future()
        timer = None if timeout_s is None else loop.call_later(max(timeout_s, 0), self._wake)
        try:
            await waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
