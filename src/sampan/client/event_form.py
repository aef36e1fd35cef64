"""What a noted event becomes on the server: an object of one of the two Event APIs.

A recorder notes what happened; its form decides which Event to write for it. `CoreEvents` (`core_events.py`) writes
core/v1 Events and counts repetitions in them; `EventSeries` (`event_series.py`) writes events.k8s.io/v1 Events and puts
repetitions into their `series`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sampan import effects
from sampan.apimachinery.object import Object
from sampan.apimachinery.resource import Resource


@dataclass(slots=True)
class Note:
    """Something that happened to an object; what is repeated before it is written counts."""

    involved: Object
    type: str
    reason: str
    message: str
    namespace: str
    at: datetime
    last: datetime
    count: int = 1

    @property
    def metadata(self) -> Object:
        """Of the Event: a name made of the object's and the moment."""
        nanoseconds = int(self.at.timestamp() * 1_000_000) * 1000
        unique = (nanoseconds & ~0xFFFF) | effects.rng().getrandbits(16)
        return {
            "name": f"{self.involved.get('name', '')}.{unique:x}",
            "namespace": self.namespace or self.involved.get("namespace") or "default",
        }


@dataclass(frozen=True, slots=True)
class Decision:
    """Change the Event of that name by `patch`; or create `event`, without a patch and where that Event is no more."""

    event: Object
    key: object
    patch: Object | None = None
    name: str = ""


class Form(Protocol):
    """One of the two."""

    resource: Resource

    def decide(self, note: Note) -> Decision | None:
        """What to write about `note`, None if nothing."""

    def written(self, decision: Decision, answer: Object) -> None:
        """The server has stored it so."""

    def due(self) -> Sequence[Decision]:
        """What is to be written because time has passed; asked for every few minutes."""
