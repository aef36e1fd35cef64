"""Plan: what a controller has decided to do, as a value.

`plan(observed, now) -> Plan` is where a controller thinks. It is a pure function, so its tests need neither a server
nor an event loop: they compare plans. The executor is where a plan is done.

Steps are done in order. A `Parallel` step does its writes at once; with `slow_start` in batches of 1, 2, 4, …, so that
writes which all fail for one reason (a quota) fail once and not a thousand times.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from sampan.apimachinery.object import Object
from sampan.apimachinery.resource import Resource
from sampan.client.client import PatchType


@dataclass(frozen=True, slots=True)
class Note:
    """An Event to record about `about`. `{name}` and `{error}` in the message are filled in after the write."""

    about: Object
    type: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Create:
    """Create `obj`; `then` says what follows from what came of it (its uid). If its name is taken, `exists_ok` ends the
    plan, and `on_exists` decides by what is there."""

    resource: Resource
    obj: Object
    created: Note | None = None
    failed: Note | None = None
    exists_ok: bool = False
    on_exists: Callable[[Object], tuple[Step, ...]] | None = None
    then: Callable[[Object], tuple[Step, ...]] | None = None


@dataclass(frozen=True, slots=True)
class Update:
    """Replace the object, guarded by its resourceVersion."""

    resource: Resource
    obj: Object
    subresource: str = ""
    done: Note | None = None
    failed: Note | None = None


@dataclass(frozen=True, slots=True)
class Patch:
    """Change part of an object. An `apply` takes fields over from others: what a loop writes is its own."""

    resource: Resource
    name: str
    namespace: str
    patch: Object
    type: PatchType = "strategic"
    subresource: str = ""
    done: Note | None = None
    failed: Note | None = None
    missing_ok: bool = False


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the object with this uid; that it is gone already is fine."""

    resource: Resource
    name: str
    namespace: str
    uid: str = ""
    resource_version: str = ""
    propagation: str = ""
    grace_period_s: int | None = None
    deleted: Note | None = None
    failed: Note | None = None


@dataclass(frozen=True, slots=True)
class Verify:
    """Go on only if the object on the server (not in a cache) has this uid and is not being deleted."""

    resource: Resource
    name: str
    namespace: str
    uid: str


@dataclass(frozen=True, slots=True)
class End:
    """The rest of the plan has no point any more. Not a failure."""


@dataclass(frozen=True, slots=True)
class Parallel:
    """Writes that do not depend on each other."""

    writes: tuple[Write, ...]
    slow_start: bool = False


Write: TypeAlias = Create | Update | Patch | Delete
Step: TypeAlias = Create | Update | Patch | Delete | Verify | Parallel | End


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in order, Events to record whatever becomes of them, and when to look again in any case.

    `finally_` is done also when a step failed, and is handed the first failure: a status that tells of it. `tell` is
    called when all is over, for figures.
    """

    steps: tuple[Step, ...] = ()
    notes: tuple[Note, ...] = ()
    requeue_after_s: float | None = None
    finally_: Callable[[Outcome], tuple[Step, ...]] | None = None
    tell: Callable[[Account], None] | None = None

    def __bool__(self) -> bool:
        return bool(self.steps or self.notes)

    @property
    def is_idle(self) -> bool:
        """Nothing is to be done or told, as after most looks; at the most to look again."""
        return not (self.steps or self.notes or self.finally_ or self.tell)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the steps went: objects created and deleted, the first error and its write, whether the plan was ended."""

    created: int = 0
    deleted: int = 0
    error: Exception | None = None
    failed: Write | None = None
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Account:
    """Which writes were done and which were refused, in order; what went wrong first."""

    done: tuple[Write, ...] = ()
    refused: tuple[Write, ...] = ()
    error: Exception | None = None


NOTHING = Plan()
