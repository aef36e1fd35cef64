"""Correlator: keeps a component's events from flooding the cluster, by the rules of client-go's EventCorrelator.

1. Aggregation: from the tenth different message on within ten minutes for one (source, object, type, reason), events
   are combined into one whose message begins with "(combined from similar events): ".
2. Counting: an event equal to an earlier one (time apart) raises that one's count instead of making a new one.
3. Spam filter: each (source, object) has a bucket of 25 events that refills by one every five minutes; beyond it,
   events are dropped. They have been counted: the next one that is written tells of them too.

Pure but for its own memory: time comes in as an argument. Memory is bounded: 4096 keys of each sort, oldest forgotten.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from sampan.apimachinery.object import Object

CACHE_SIZE = 4096
SPAM_BURST = 25
SPAM_REFILL_PER_S = 1 / 300
MAX_SIMILAR = 10
SIMILAR_WINDOW_S = 600.0
COMBINED = "(combined from similar events): "

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Written:
    """What is known of an Event that was observed; `stored` if it is on the server."""

    name: str
    count: int
    first_timestamp: str
    stored: bool = True


@dataclass(frozen=True, slots=True)
class Decision:
    """Write `event`: as a patch of `previous`, or anew without one. `key` is for `Correlator.written`."""

    event: Object
    previous: Written | None
    key: str


@dataclass(slots=True)
class _Bucket:
    tokens: float = SPAM_BURST
    at: float = 0.0


@dataclass(slots=True)
class _Similar:
    messages: dict[str, None] = field(default_factory=dict)
    at: float = 0.0


class _Recent(OrderedDict[str, Value], Generic[Value]):
    """A dict that forgets what was not used for longest."""

    def remember(self, key: str, value: Value) -> Value:
        self[key] = value
        self.move_to_end(key)
        while len(self) > CACHE_SIZE:
            self.popitem(last=False)
        return value


class Correlator:
    """Decides what becomes of each event."""

    def __init__(self) -> None:
        self._buckets: _Recent[_Bucket] = _Recent()
        self._similar: _Recent[_Similar] = _Recent()
        self._written: _Recent[Written] = _Recent()

    def correlate(self, event: Object, now: float) -> Decision | None:
        """What to write for `event` at monotonic time `now`; None to drop it."""
        message, key = self._aggregate(event, now)
        previous = self._written.get(key)
        found = {**event, "message": message}
        if previous is not None:
            found |= {"count": previous.count + event["count"], "firstTimestamp": previous.first_timestamp}
        stored = previous is not None and previous.stored
        name = previous.name if previous is not None else event["metadata"]["name"]
        self._written.remember(key, Written(name, found["count"], found["firstTimestamp"], stored))
        if self._is_spam(event, now):
            return None
        return Decision(found, previous if stored else None, key)

    def written(self, key: str, event: Object) -> None:
        """The server has stored `event` for a decision's `key`."""
        self._written.remember(
            key, Written(event["metadata"]["name"], event.get("count") or 1, event.get("firstTimestamp") or "")
        )

    def _is_spam(self, event: Object, now: float) -> bool:
        key = _join(*_source(event), *_object(event))
        bucket = self._buckets.remember(key, self._buckets.get(key) or _Bucket(at=now))
        bucket.tokens = min(SPAM_BURST, bucket.tokens + (now - bucket.at) * SPAM_REFILL_PER_S)
        bucket.at = now
        if bucket.tokens < 1:
            return True
        bucket.tokens -= 1
        return False

    def _aggregate(self, event: Object, now: float) -> tuple[str, str]:
        """The message to write, and the key under which repetitions are counted."""
        group = _join(*_source(event), *_object(event), event["type"], event["reason"])
        similar = self._similar.get(group)
        if similar is None or now - similar.at > SIMILAR_WINDOW_S:
            similar = _Similar()
        self._similar.remember(group, similar)
        similar.at = now
        similar.messages[event["message"]] = None
        if len(similar.messages) < MAX_SIMILAR:
            return event["message"], _join(group, event["involvedObject"].get("fieldPath", ""), event["message"])
        similar.messages.popitem()
        return COMBINED + event["message"], group


def _source(event: Object) -> tuple[str, str]:
    return event["source"].get("component", ""), event["source"].get("host", "")


def _object(event: Object) -> tuple[str, ...]:
    involved = event["involvedObject"]
    return tuple(involved.get(key, "") for key in ("kind", "namespace", "name", "uid", "apiVersion"))


def _join(*parts: str) -> str:
    return "\0".join(parts)
