"""Trigger times: which moment a change of a Service's endpoints goes back to.

It is written to the annotation `endpoints.kubernetes.io/last-change-trigger-time`, so that whoever programs a network
can tell how long a change took from its cause to its effect. The cause is a pod that became ready or no longer is, or
the Service's creation; of several since the last look the earliest counts. A change that has neither (labels, a pod
that went) has no time, and the annotation is taken away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sampan.apimachinery.object import Object, meta, name_of
from sampan.controllers import times
from sampan.controllers.pods import condition

ANNOTATION = "endpoints.kubernetes.io/last-change-trigger-time"


@dataclass(frozen=True, slots=True)
class _Seen:
    service: datetime | None = None
    pods: Mapping[str, datetime] = field(default_factory=dict)


class TriggerTimes:
    """What was last seen of each Service, by its key; lost with the process."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def of(self, key: str, service: Object, pods: Iterable[Object]) -> datetime | None:
        """The moment that the changes since the last call go back to; for a new Service, that of its creation."""
        created = times.parse_or_none(meta(service).get("creationTimestamp"))
        before = self._seen.get(key)
        now = _Seen(created, {name_of(pod): at for pod in pods if (at := _changed_at(pod)) is not None})
        self._seen[key] = now
        if before is None:
            return created
        changed = [at for name, at in now.pods.items() if name not in before.pods or at > before.pods[name]]
        if created is not None and (before.service is None or created > before.service):
            changed.append(created)
        return min(changed, default=None)

    def forget(self, key: str) -> None:
        """The Service is gone."""
        self._seen.pop(key, None)


def stamped(annotations: Mapping[str, str], trigger: datetime | None) -> dict[str, str]:
    """`annotations` with the time, or without one."""
    found = {key: text for key, text in annotations.items() if key != ANNOTATION}
    return found | ({ANNOTATION: times.text(trigger)} if trigger is not None else {})


def _changed_at(pod: Object) -> datetime | None:
    return times.parse_or_none((condition(pod, "Ready") or {}).get("lastTransitionTime"))
