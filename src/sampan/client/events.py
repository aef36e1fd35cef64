"""EventRecorder: tells people what a component did, as core/v1 Events on the object that it did it to.

`recorder.event(obj, type, reason, message)` only puts a note into a queue: it never waits and never raises. One task
writes the notes. Before writing, the correlator (`event_correlation.py`) folds repetitions into one Event with a count,
combines similar ones and drops floods, as upstream's does. A write that the server refuses is dropped and counted; one
that does not get through is tried again for a while.

A component whose real work must not wait for its events says when it is busy: meanwhile few are written, the rest
when it is done. An event's times are those of when it was noted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sampan import effects
from sampan.api.resources import CORE_EVENTS
from sampan.apimachinery import errors
from sampan.apimachinery.object import Object, name_of, namespace_of, resource_version_of, uid_of
from sampan.client.backoff import Backoff
from sampan.client.client import Client
from sampan.client.event_correlation import Correlator, Written

log = logging.getLogger(__name__)

NORMAL = "Normal"
WARNING = "Warning"

QUEUE_LIMIT = 1000
BUSY_QUEUE_LIMIT = 20_000
BUSY_PAUSE_S = 0.02
"""Between two events while the component is busy."""
TRIES = 12


def reference_to(obj: Object, field_path: str = "") -> Object:
    """An ObjectReference to `obj`, as an Event's involvedObject."""
    reference = {
        "kind": obj.get("kind", ""), "namespace": namespace_of(obj), "name": name_of(obj), "uid": uid_of(obj),
        "apiVersion": obj.get("apiVersion", ""), "resourceVersion": resource_version_of(obj), "fieldPath": field_path,
    }
    return {key: value for key, value in reference.items() if value}


@dataclass(slots=True)
class _Note:
    """An event that is still to be written; one that is repeated meanwhile counts."""

    involved: Object
    type: str
    reason: str
    message: str
    namespace: str
    at: datetime
    last: datetime
    count: int = 1


@dataclass(slots=True)
class EventCounts:
    """What became of the events so far."""

    written: int = 0
    suppressed: int = 0
    dropped: int = 0
    failed: int = 0


class EventRecorder:
    """Records events as `component` (on `host`, for node agents). Starts its writer with the first event.

    `close()` (or leaving `async with recorder`) writes what is queued, waiting at most a second, and ends the writer.
    """

    def __init__(
        self, client: Client, component: str, host: str = "", *, is_busy: Callable[[], bool] | None = None
    ) -> None:
        self._client = client
        self._component = component
        self._host = host
        self._is_busy = is_busy
        self._limit = QUEUE_LIMIT if is_busy is None else BUSY_QUEUE_LIMIT
        self._queue: dict[tuple[str, ...], _Note] = {}
        self._correlator = Correlator()
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self.counts = EventCounts()

    def event(
        self, obj: Object, type: str, reason: str, message: str, *, field_path: str = "", namespace: str = ""
    ) -> None:
        """Note that `reason` happened to `obj`. `obj` is an object, or an ObjectReference-like `{kind, name, …}`."""
        if self._closed or len(self._queue) >= self._limit:
            self.counts.dropped += 1
            return
        try:
            involved = reference_to(obj, field_path) if "metadata" in obj else dict(obj)
            now, message = effects.now(), message[:1024]
            key = (*map(str, involved.values()), type, reason, message, namespace)
            known = self._queue.get(key)
            if known is not None:
                known.count, known.last = known.count + 1, now
            else:
                self._queue[key] = _Note(involved, type, reason, message, namespace, now, now)
            if self._task is None or self._task.done():
                self._task = asyncio.get_running_loop().create_task(self._write_all(), name="event recorder")
        except Exception:
            self.counts.failed += 1
            log.exception("event %s of %s cannot be recorded", reason, name_of(obj))

    async def close(self) -> None:
        self._closed = True
        task, self._task = self._task, None
        if task is not None:
            with contextlib.suppress(TimeoutError, asyncio.CancelledError):
                await asyncio.wait_for(task, 1.0)

    async def __aenter__(self) -> EventRecorder:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    def _document(self, note: _Note) -> Object:
        involved = note.involved
        nanoseconds = int(note.at.timestamp() * 1_000_000) * 1000
        unique = (nanoseconds & ~0xFFFF) | effects.rng().getrandbits(16)
        source = {"component": self._component} | ({"host": self._host} if self._host else {})
        first, last = (at.isoformat(timespec="seconds")[:19] + "Z" for at in (note.at, note.last))
        return {
            "apiVersion": "v1", "kind": "Event",
            "metadata": {
                "name": f"{involved.get('name', '')}.{unique:x}",
                "namespace": note.namespace or involved.get("namespace") or "default",
            },
            "involvedObject": involved, "reason": note.reason, "message": note.message, "source": source,
            "firstTimestamp": first, "lastTimestamp": last, "count": note.count, "type": note.type, "eventTime": None,
            "reportingComponent": self._component, "reportingInstance": self._host,
        }

    async def _write_all(self) -> None:
        while self._queue:
            if self._is_busy is not None and not self._closed and self._is_busy():
                await asyncio.sleep(BUSY_PAUSE_S)
            event = self._document(self._queue.pop(next(iter(self._queue))))
            decision = self._correlator.correlate(event, effects.monotonic())
            if decision is None:
                self.counts.suppressed += 1
                continue
            await self._write(decision.event, decision.previous, decision.key)

    async def _write(self, event: Object, previous: Written | None, key: str) -> None:
        backoff = Backoff(base_s=1.0, limit_s=10.0)
        for _ in range(TRIES):
            try:
                self._correlator.written(key, await self._send(event, previous))
                self.counts.written += 1
                return
            except errors.ServiceUnavailable:
                await asyncio.sleep(backoff.next())
            except errors.APIError as error:
                namespace_is_going = isinstance(error, errors.Forbidden | errors.NotFound)
                log.log(
                    logging.DEBUG if namespace_is_going else logging.WARNING, "event %s of %s was refused: %s",
                    event["reason"], event["involvedObject"].get("name"), error,
                )
                break
        self.counts.failed += 1

    async def _send(self, event: Object, previous: Written | None) -> Object:
        namespace = event["metadata"]["namespace"]
        if previous is not None:
            patch = {key: event[key] for key in ("count", "lastTimestamp", "message")}
            try:
                return await self._client.patch(CORE_EVENTS, previous.name, patch, namespace, type="strategic")
            except errors.NotFound:  # it expired on the server: write it anew, with its count
                event = {**event, "firstTimestamp": previous.first_timestamp}
        return await self._client.create(CORE_EVENTS, event, namespace)
