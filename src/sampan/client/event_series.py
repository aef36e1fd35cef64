"""EventSeries: notes as events.k8s.io/v1 Events, the form that the scheduler writes (KEP-383).

Two events are isomorphic if all but their notes and times is equal. The first is written as it is. The second makes it
a series, which is written too; further ones are only counted. A series is written again every half hour while it goes
on, and a last time once nothing was added for six minutes; then it is over, and the next such event is a new one. An
Event that was not repeated within six minutes is over as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sampan import effects
from sampan.api.resources import EVENTS
from sampan.apimachinery.object import Object, meta, name_of
from sampan.client.event_form import Decision, Note

FINISH_AFTER = timedelta(minutes=6)
REFRESH_AFTER = timedelta(minutes=30)


@dataclass(slots=True)
class _Open:
    """An Event that may go on: what is known of it, how often it happened, when it was written last."""

    event: Object
    count: int
    last: datetime
    written: datetime
    on_server: bool = False

    @property
    def is_series(self) -> bool:
        return self.count > 1

    def shown(self) -> Object:
        if not self.is_series:
            return self.event
        return {**self.event, "series": {"count": self.count, "lastObservedTime": _micro(self.last)}}


class EventSeries:
    """Events of `component` as its `instance`. `actions`: what was being done, by reason."""

    resource = EVENTS

    def __init__(self, component: str, instance: str, actions: Mapping[str, str] | None = None) -> None:
        self._component = component
        self._instance = instance
        self._actions = actions or {}
        self._open: dict[object, _Open] = {}

    def decide(self, note: Note) -> Decision | None:
        key = (*sorted(note.involved.items()), note.type, note.reason, note.namespace)
        known = self._open.get(key)
        if known is None:
            known = self._open[key] = _Open(self._document(note), note.count, note.last, note.last)
            return Decision(known.shown(), key)
        goes_on = known.is_series
        known.count, known.last = known.count + note.count, note.last
        return None if goes_on else self._again(key, known)

    def written(self, decision: Decision, answer: Object) -> None:
        known = self._open.get(decision.key)
        if known is not None:
            known.on_server = True
            known.event = {**known.event, "metadata": {**meta(known.event), "name": name_of(answer)}}

    def due(self) -> list[Decision]:
        """The series that ended, a last time, and those that have not been written for long."""
        now = effects.now()
        found = []
        for key, known in list(self._open.items()):
            is_over = known.last < now - FINISH_AFTER
            if known.is_series and (is_over or known.written <= now - REFRESH_AFTER):
                found.append(self._again(key, known))
            if is_over:
                del self._open[key]
        return found

    def _again(self, key: object, known: _Open) -> Decision:
        """A series, as a change of its Event; whole where that was never stored."""
        known.written = effects.now()
        event = known.shown()
        if not known.on_server:
            return Decision(event, key)
        return Decision(event, key, {"series": event["series"]}, name_of(event))

    def _document(self, note: Note) -> Object:
        return {
            "apiVersion": EVENTS.api_version, "kind": EVENTS.kind, "metadata": note.metadata,
            "eventTime": _micro(note.at), "reportingController": self._component, "reportingInstance": self._instance,
            "action": self._actions.get(note.reason, note.reason), "reason": note.reason, "regarding": note.involved,
            "note": note.message, "type": note.type,
        }


def _micro(at: datetime) -> str:
    return at.isoformat(timespec="microseconds")[:26] + "Z"
