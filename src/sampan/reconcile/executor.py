"""Executor: does what a plan says.

It writes step by step, notes each write with the expectations, records the Events that belong to it, and stops at the
first failure. It decides nothing but the obvious: deleting what is gone is success, and creating something in a
namespace that is being deleted is pointless and ends the plan quietly.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from sampan import effects
from sampan.apimachinery import errors
from sampan.apimachinery.object import Object, is_being_deleted, name_of, namespace_of, uid_of
from sampan.client.client import Client
from sampan.client.events import EventRecorder
from sampan.reconcile.expectations import Expectations
from sampan.reconcile.plan import (
    Account,
    Create,
    Delete,
    End,
    Note,
    Outcome,
    Parallel,
    Patch,
    Plan,
    Step,
    Update,
    Verify,
    Write,
)

log = logging.getLogger(__name__)

Observer: TypeAlias = Callable[[Write, errors.APIError | None], None]
"""Is told of a write that was tried; without an error it succeeded, or had nothing left to do."""


class PlanEnded(Exception):
    """The rest of the plan has no point any more; not a failure."""


@dataclass(slots=True)
class _Progress:
    created: int = 0
    deleted: int = 0
    failed: Write | None = None
    done: list[Write] = field(default_factory=list)
    refused: list[Write] = field(default_factory=list)


class Executor:
    """Carries out plans of one controller with its client and recorder."""

    def __init__(
        self, client: Client, recorder: EventRecorder, expectations: Expectations, observers: Sequence[Observer] = ()
    ) -> None:
        self._client = client
        self._recorder = recorder
        self._expectations = expectations
        self._observers = observers
        self.writes = 0

    async def run(self, key: str, plan: Plan) -> None:
        """Do `plan`. Raises the first error of a step, after `finally_` has been done."""
        if plan.is_idle:
            return
        progress = _Progress()
        error: Exception | None = None
        ended = False
        for note in plan.notes:
            self._note(note)
        try:
            await self._steps(key, plan.steps, progress)
        except PlanEnded:
            ended = True
        except errors.APIError as failure:
            error = failure
        if plan.finally_ is not None:
            last = plan.finally_(Outcome(progress.created, progress.deleted, error, progress.failed, ended))
            try:
                await self._steps(key, last, progress)
            except PlanEnded:
                pass
            except errors.APIError as failure:
                error = error or failure
        if plan.tell is not None:
            plan.tell(Account(tuple(progress.done), tuple(progress.refused), error))
        if error is not None:
            raise error

    async def _steps(self, key: str, steps: Sequence[Step], progress: _Progress) -> None:
        for step in steps:
            if isinstance(step, Parallel):
                await self._parallel(key, step, progress)
            elif isinstance(step, Verify):
                await self._verify(step)
            elif isinstance(step, End):
                raise PlanEnded
            else:
                await self._write(key, step, progress)

    async def _parallel(self, key: str, step: Parallel, progress: _Progress) -> None:
        rest = list(step.writes)
        size = 1 if step.slow_start else len(rest)
        while rest:
            batch, rest = rest[:size], rest[size:]
            results = await asyncio.gather(
                *(self._write(key, write, progress) for write in batch), return_exceptions=True
            )
            failures = [result for result in results if isinstance(result, BaseException)]
            if failures:
                raise next((one for one in failures if not isinstance(one, PlanEnded)), failures[0])
            size *= 2

    async def _verify(self, step: Verify) -> None:
        live = await self._client.get(step.resource, step.name, step.namespace or None)
        if uid_of(live) != step.uid or is_being_deleted(live):
            raise PlanEnded

    async def _write(self, key: str, write: Write, progress: _Progress) -> None:
        self.writes += 1
        following: tuple[Step, ...] = ()
        try:
            if isinstance(write, Create):
                following = await self._create(key, write, progress)
            elif isinstance(write, Delete):
                await self._delete(key, write, progress)
            elif isinstance(write, Update):
                answer = await self._client.update(write.resource, write.obj, subresource=write.subresource)
                self._expectations.wrote(key, write.resource, answer, effects.monotonic())
                self._note(write.done, name_of(answer))
            else:
                await self._patch(key, write)
        except errors.APIError as error:
            self._tell(write, error)
            progress.failed = progress.failed or write
            progress.refused.append(write)
            if write.failed is not None and not _is_terminating(error):
                self._note(write.failed, _name(write), str(error))
            if isinstance(write, Create) and _is_terminating(error):
                raise PlanEnded from error
            raise
        self._tell(write, None)
        if not isinstance(write, Create):
            progress.done.append(write)
        await self._steps(key, following, progress)

    def _tell(self, write: Write, error: errors.APIError | None) -> None:
        for observer in self._observers:
            observer(write, error)

    async def _create(self, key: str, write: Create, progress: _Progress) -> tuple[Step, ...]:
        """What follows from what is there now."""
        try:
            answer = await self._client.create(write.resource, write.obj)
        except errors.AlreadyExists as error:
            if write.exists_ok:
                raise PlanEnded from error
            if write.on_exists is None or not name_of(write.obj):
                raise
            namespace = namespace_of(write.obj) or None
            existing = await self._client.get(write.resource, name_of(write.obj), namespace)
            return write.on_exists(existing)
        progress.created += 1
        progress.done.append(write)
        self._expectations.wrote(key, write.resource, answer, effects.monotonic())
        self._note(write.created, name_of(answer))
        return write.then(answer) if write.then is not None else ()

    async def _delete(self, key: str, write: Delete, progress: _Progress) -> None:
        try:
            await self._client.delete(
                write.resource, write.name, write.namespace or None, uid=write.uid,
                resource_version=write.resource_version, propagation=write.propagation,
                grace_period_s=write.grace_period_s,
            )
        except errors.NotFound:
            return
        except errors.Conflict:
            if write.resource_version:
                raise
            return  # another object has the name now: the one with our uid is gone
        progress.deleted += 1
        object_key = f"{write.namespace}/{write.name}" if write.namespace else write.name
        self._expectations.deleted(key, write.resource, object_key, write.uid, effects.monotonic())
        self._note(write.deleted, write.name)

    async def _patch(self, key: str, write: Patch) -> None:
        try:
            answer = await self._client.patch(
                write.resource, write.name, write.patch, write.namespace or None, type=write.type,
                subresource=write.subresource, force=write.type == "apply",
            )
        except errors.NotFound:
            if write.missing_ok:
                return
            raise
        self._expectations.wrote(key, write.resource, answer, effects.monotonic())
        self._note(write.done, write.name)

    def _note(self, note: Note | None, name: str = "", error: str = "") -> None:
        if note is not None:
            message = note.message.replace("{name}", name).replace("{error}", error)
            self._recorder.event(note.about, note.type, note.reason, message)


def _name(write: Write) -> str:
    return name_of(write.obj) if isinstance(write, Create | Update) else write.name


def _is_terminating(error: errors.APIError) -> bool:
    """Refused because the namespace is being deleted."""
    causes: list[Object] = (error.details or {}).get("causes") or []
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)
