"""Reads: what each component has read, so that going back in time is seen.

With several API servers, whose caches are of different age, nothing but the rules of resourceVersion keeps a component
from seeing an older state than it has already acted on: a list names the version that it must not be older than, a
watch goes on after the last one seen, and who starts anew asks for the most recent.

A reader is a task: that of a reflector lists and watches. What a new one sees first must not be older than anything
that its component had seen of any collection when it asked, in earlier lives too: a process that was restarted must not
undo what it did before because it reads from another server now.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from typing import Any, Final
from weakref import WeakKeyDictionary

_VERSION: Final = rb'"metadata":\{"resourceVersion":"(\d+)"'
_LIST: Final = re.compile(rb'\{"kind":"\w+List","apiVersion":"[^"]+",' + _VERSION)
_EVENT: Final = re.compile(rb'\{"type":"(?:ADDED|MODIFIED|DELETED|BOOKMARK)".*?' + _VERSION)


class Reads:
    """Follows answers on their way; `report(message)` when one is older than what its reader has seen."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._of_components: dict[str, int] = {}
        self._of_readers: WeakKeyDictionary[asyncio.Task[Any], dict[str, int]] = WeakKeyDictionary()

    def known(self, component: str) -> int:
        """The newest version that a component has seen so far."""
        return self._of_components.get(component, 0)

    def listed(self, component: str, path: str, body: bytes, known: int) -> None:
        """A whole answer to a GET; only lists count. `known` is what its reader could know when it asked."""
        found = _LIST.match(body)
        if found is not None:
            self._note(component, path, int(found[1]), known)

    async def watched(self, component: str, path: str, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The chunks of a watch, as they are read."""
        async for chunk in chunks:
            for line in chunk.splitlines():
                found = _EVENT.match(line)
                if found is not None:
                    self._note(component, path, int(found[1]), 0)
            yield chunk

    def _note(self, component: str, path: str, version: int, known: int) -> None:
        reader = asyncio.current_task()
        assert reader is not None
        mine = self._of_readers.setdefault(reader, {})
        seen = mine.get(path, known)
        if version < seen:
            self._report(f"{component} went back in time: {path} is at {version}, it had seen {seen}")
        mine[path] = max(seen, version)
        self._of_components[component] = max(self.known(component), version)
