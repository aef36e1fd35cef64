"""EventRecorder: tells people what a component did, as Events on the object that it did it to.

`recorder.event(obj, type, reason, message)` only puts a note into a queue: it never waits and never raises. One task
writes the notes, in the form that the component writes Events in (`event_form.py`), which folds repetitions into one
Event. A write that the server refuses is dropped and counted; one that does not get through is tried again for a while.

A component whose real work must not wait for its events says when it is busy: meanwhile few are written, the rest
when it is done. An event's times are those of when it was noted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass

from sampan import effects
from sampan.apimachinery import errors
from sampan.apimachinery.object import Object, name_of, namespace_of, resource_version_of, uid_of
from sampan.client.backoff import Backoff
from sampan.client.client import Client
from sampan.client.core_events import CoreEvents
from sampan.client.event_form import Decision, Form, Note

log = logging.getLogger(__name__)

NORMAL = "Normal"
WARNING = "Warning"

QUEUE_LIMIT = 1000
BUSY_QUEUE_LIMIT = 20_000
BUSY_PAUSE_S = 0.02
"""Between two events while the component is busy."""
TRIES = 12
DUE_PERIOD_S = 360.0
"""How often the form is asked for what it has to write because time has passed."""


def reference_to(obj: Object, field_path: str = "") -> Object:
    """An ObjectReference to `obj`, as an Event's involvedObject."""
    reference = {
        "kind": obj.get("kind", ""), "namespace": namespace_of(obj), "name": name_of(obj), "uid": uid_of(obj),
        "apiVersion": obj.get("apiVersion", ""), "resourceVersion": resource_version_of(obj), "fieldPath": field_path,
    }
    return {key: value for key, value in reference.items() if value}


@dataclass(slots=True)
class EventCounts:
    """What became of the events so far."""

    written: int = 0
    suppressed: int = 0
    dropped: int = 0
    failed: int = 0


class EventRecorder:
    """Records events as `component` (on `host`, for node agents), in core/v1's form unless another is given.

    Starts its writer with the first event.

    `close()` (or leaving `async with recorder`) writes what is queued, waiting at most a second, and ends the writer.
    """

    def __init__(
        self, client: Client, component: str, host: str = "", *, form: Form | None = None,
        is_busy: Callable[[], bool] | None = None,
    ) -> None:
        self._client = client
        self._form = form or CoreEvents(component, host)
        self._is_busy = is_busy
        self._limit = QUEUE_LIMIT if is_busy is None else BUSY_QUEUE_LIMIT
        self._queue: dict[tuple[str, ...], Note] = {}
        self._task: asyncio.Task[None] | None = None
        self._due: asyncio.Task[None] | None = None
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
                self._queue[key] = Note(involved, type, reason, message, namespace, now, now)
            if self._task is None or self._task.done():
                self._task = asyncio.get_running_loop().create_task(self._write_all(), name="event recorder")
            if self._due is None:
                self._due = asyncio.get_running_loop().create_task(self._write_due(), name="event recorder's due")
        except Exception:
            self.counts.failed += 1
            log.exception("event %s of %s cannot be recorded", reason, name_of(obj))

    async def close(self) -> None:
        self._closed = True
        if self._due is not None:
            self._due.cancel()
        task, self._task = self._task, None
        if task is not None:
            with contextlib.suppress(TimeoutError, asyncio.CancelledError):
                await asyncio.wait_for(task, 1.0)

    async def __aenter__(self) -> EventRecorder:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def _write_all(self) -> None:
        while self._queue:
            if self._is_busy is not None and not self._closed and self._is_busy():
                await asyncio.sleep(BUSY_PAUSE_S)
            decision = self._form.decide(self._queue.pop(next(iter(self._queue))))
            if decision is None:
                self.counts.suppressed += 1
                continue
            await self._write(decision)

    async def _write_due(self) -> None:
        while True:
            await asyncio.sleep(DUE_PERIOD_S)
            for decision in self._form.due():
                await self._write(decision)

    async def _write(self, decision: Decision) -> None:
        backoff = Backoff(base_s=1.0, limit_s=10.0)
        for _ in range(TRIES):
            try:
                self._form.written(decision, await self._send(decision))
                self.counts.written += 1
                return
            except errors.ServiceUnavailable:
                await asyncio.sleep(backoff.next())
            except errors.APIError as error:
                namespace_is_going = isinstance(error, errors.Forbidden | errors.NotFound)
                log.log(
                    logging.DEBUG if namespace_is_going else logging.WARNING, "event %s named %s was refused: %s",
                    decision.event["reason"], name_of(decision.event), error,
                )
                break
        self.counts.failed += 1

    async def _send(self, decision: Decision) -> Object:
        event, resource = decision.event, self._form.resource
        namespace = namespace_of(event)
        if decision.patch is not None:
            with contextlib.suppress(errors.NotFound):  # it expired on the server: write it anew, with its count
                return await self._client.patch(resource, decision.name, decision.patch, namespace, type="strategic")
        return await self._client.create(resource, event, namespace)
