"""CoreEvents: notes as core/v1 Events, the form that most components write.

Repetitions raise one Event's count, similar events are combined and floods dropped; see `event_correlation.py`.
"""

from __future__ import annotations

from sampan import effects
from sampan.api.resources import CORE_EVENTS
from sampan.apimachinery.object import Object
from sampan.client.event_correlation import Correlator
from sampan.client.event_form import Decision, Note


class CoreEvents:
    """Events of `component` (on `host`, for node agents)."""

    resource = CORE_EVENTS

    def __init__(self, component: str, host: str = "") -> None:
        self._component = component
        self._host = host
        self._correlator = Correlator()

    def decide(self, note: Note) -> Decision | None:
        found = self._correlator.correlate(self._document(note), effects.monotonic())
        if found is None:
            return None
        if found.previous is None:
            return Decision(found.event, found.key)
        patch = {key: found.event[key] for key in ("count", "lastTimestamp", "message")}
        return Decision(found.event, found.key, patch, found.previous.name)

    def written(self, decision: Decision, answer: Object) -> None:
        self._correlator.written(str(decision.key), answer)

    def due(self) -> tuple[Decision, ...]:
        return ()

    def _document(self, note: Note) -> Object:
        source = {"component": self._component} | ({"host": self._host} if self._host else {})
        first, last = (at.isoformat(timespec="seconds")[:19] + "Z" for at in (note.at, note.last))
        return {
            "apiVersion": "v1", "kind": "Event", "metadata": note.metadata,
            "involvedObject": note.involved, "reason": note.reason, "message": note.message, "source": source,
            "firstTimestamp": first, "lastTimestamp": last, "count": note.count, "type": note.type, "eventTime": None,
            "reportingComponent": self._component, "reportingInstance": self._host,
        }
