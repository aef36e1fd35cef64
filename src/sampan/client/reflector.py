"""Reflector: keeps a local copy equal to a list on the server, for ever.

It lists once, asking for the most recent state: of several API servers the one at hand may be behind, and a process
that was restarted must not see less than it had already acted on. It hands that to its sink, then watches from the
list's resourceVersion and hands over every change. The watch is renewed from the last resourceVersion seen (bookmarks
advance it when nothing changes), so nothing is lost between two watches. When the server no longer has that version
(Expired), it lists again, at least as new as before. Errors are retried with exponential back-off and jitter.

A list of very many objects need not be in memory at once: with a `page_size` it is asked for in pages, each of which is
`reduce`d where it arrives to what the sink wants of it.

Guarantee: the sink sees each change at most once and in order, and is never left behind for good, whatever the server
or the connection does. A change that arrives twice (same or older resourceVersion) is dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any, Protocol

from sampan import effects
from sampan.apimachinery import errors
from sampan.apimachinery.object import Object, meta, resource_version_of
from sampan.apimachinery.resource import Resource
from sampan.client.backoff import Backoff
from sampan.client.client import Client, WatchEvent

log = logging.getLogger(__name__)

WATCH_TIMEOUT_S = (300, 600)
"""A watch lives for a random time in this range, so that clients spread over a server's replicas again."""
SHORT_WATCH_S = 1.0


class Sink(Protocol):
    """What a Reflector fills."""

    def replace(self, items: list[Any]) -> None:
        """The whole list anew: of documents, or of what `reduce` makes of them."""

    def apply(self, event: WatchEvent) -> None:
        """One change: ADDED, MODIFIED or DELETED."""


class Reflector:
    """Fills `sink` with the objects of one resource that match; `run()` never returns."""

    def __init__(
        self, client: Client, resource: Resource, sink: Sink, *, namespace: str | None = None, label_selector: str = "",
        field_selector: str = "", metadata_only: bool = False, page_size: int = 0,
        reduce: Callable[[Object], Any] | None = None,
    ) -> None:
        self._page_size = page_size
        self._reduce = reduce
        self._client = client
        self._resource = resource
        self._sink = sink
        self._namespace = namespace
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._metadata_only = metadata_only
        self._version = ""
        self._version_is_gone = False
        self._backoff = Backoff()
        self._last_error = ""
        self.lists = 0
        self.errors = 0

    @property
    def resource_version(self) -> str:
        """The resourceVersion up to which the sink is complete; empty before the first list."""
        return self._version

    async def run(self) -> None:
        """List and watch until cancelled."""
        listed = False
        while True:
            try:
                if not listed:
                    await self._list()
                    listed = True
                listed = await self._watch()
            except errors.APIError as error:
                self.errors += 1
                if isinstance(error, errors.Gone):
                    listed, self._version_is_gone = False, True
                elif not isinstance(error, errors.ServiceUnavailable | errors.TooManyRequests):
                    listed = False
                    if isinstance(error, errors.Timeout):  # the server does not know our version yet, or never will
                        self._version_is_gone = True
                self._report(error)
                await asyncio.sleep(self._backoff.next())
            except Exception:  # an answer that makes no sense: what we have may be wrong, so begin anew
                self.errors += 1
                listed = False
                log.exception("watching %s failed; listing again", self._resource.qualified)
                await asyncio.sleep(self._backoff.next())

    def _report(self, error: errors.APIError) -> None:
        """Once for each new trouble: a server that stays away must not fill the log."""
        known, self._last_error = self._last_error, str(error)
        expected = isinstance(error, errors.Gone) or known == self._last_error
        log.log(logging.DEBUG if expected else logging.WARNING, "watching %s: %s", self._resource.qualified, error)

    async def _list(self) -> None:
        version = "" if self._version_is_gone or self._page_size else self._version
        items: list[Any] = []
        token = found = ""
        while True:
            document = await self._client.list(
                self._resource, self._namespace, label_selector=self._label_selector,
                field_selector=self._field_selector, resource_version="" if token else version,
                metadata_only=self._metadata_only, limit=self._page_size, continue_token=token,
            )
            items += self._read(document)
            found = found or str(meta(document).get("resourceVersion", ""))
            token = meta(document).get("continue") or ""
            if not token:
                break
        self.lists += 1
        self._sink.replace(items)
        self._version = found
        self._version_is_gone = False

    def _read(self, document: Object) -> list[Any]:
        """The items of a page, as the sink wants them."""
        items: list[Object] = document.get("items") or []
        kind, api_version = self._resource.kind, self._resource.api_version
        for item in items:  # a typed server leaves these out of a list's items
            item.setdefault("kind", kind)
            item.setdefault("apiVersion", api_version)
        return items if self._reduce is None else [self._reduce(item) for item in items]

    async def _watch(self) -> bool:
        """One watch, until the server ends it; whether to go on from where it ended (else list again)."""
        started, seen = effects.monotonic(), 0
        stream = self._client.watch(
            self._resource, self._namespace, resource_version=self._version, label_selector=self._label_selector,
            field_selector=self._field_selector, timeout_s=effects.rng().randint(*WATCH_TIMEOUT_S),
            metadata_only=self._metadata_only,
        )
        async with contextlib.aclosing(stream) as events:
            async for event in events:
                seen += 1
                self._backoff.succeeded()
                self._take(event)
        if not seen and effects.monotonic() - started < SHORT_WATCH_S:
            await asyncio.sleep(self._backoff.next())
        return True

    def _take(self, event: WatchEvent) -> None:
        version = resource_version_of(event.object)
        if is_repeated(version, self._version):
            return
        if event.type != "BOOKMARK":
            self._sink.apply(event)
        if version:
            self._version = version


def is_repeated(version: str, last: str) -> bool:
    """Whether a change of `version` is already part of `last`. Versions that are no numbers cannot be compared."""
    return version.isdigit() and last.isdigit() and int(version) <= int(last)
