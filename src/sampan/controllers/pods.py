"""What controllers ask of pods: active, ready, available; and which of them to delete first.

Sources: the Pod API's conditions, k8s.io/kubernetes/pkg/api/v1/pod, and for the order of deletion the concept page of
ReplicaSet ("scaling down") with the annotation controller.kubernetes.io/pod-deletion-cost.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from sampan.apimachinery.object import (
    Object,
    annotations_of,
    controller_of,
    dig,
    is_being_deleted,
    meta,
    namespace_of,
    uid_of,
)
from sampan.client.lister import Lister
from sampan.controllers import times

DISRUPTION_TARGET = "DisruptionTarget"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
BY_OWNER = "controller-uid"
_COST = re.compile(r"0|[1-9][0-9]*|-[0-9]+")
_PHASE_ORDER = {"Pending": 0, "Unknown": 1, "Running": 2}


def phase_of(pod: Object) -> str:
    try:
        return pod["status"]["phase"] or ""
    except (KeyError, TypeError):
        return ""


def is_finished(pod: Object) -> bool:
    """Succeeded or Failed."""
    return phase_of(pod) in ("Succeeded", "Failed")


def is_active(pod: Object) -> bool:
    """Neither finished nor being deleted."""
    return not is_finished(pod) and not is_being_deleted(pod)


def condition(obj: Object, type: str) -> Object | None:
    """The status condition of this type."""
    try:
        listed = obj["status"]["conditions"] or ()
    except (KeyError, TypeError):
        return None
    for found in listed:
        if found.get("type") == type:
            return found  # type: ignore[no-any-return]
    return None


def disruption_mark(pod: Object, reason: str, message: str, now: datetime) -> Object | None:
    """The condition DisruptionTarget that says why the pod is about to go; None where the pod says so already."""
    known = condition(pod, DISRUPTION_TARGET) or {}
    if (known.get("status"), known.get("reason"), known.get("message")) == ("True", reason, message):
        return None
    since = known.get("lastTransitionTime") if known.get("status") == "True" else None
    return {
        "type": DISRUPTION_TARGET, "status": "True", "observedGeneration": meta(pod).get("generation", 0),
        "lastTransitionTime": since or times.text(now), "reason": reason, "message": message,
    }


def is_ready(pod: Object) -> bool:
    found = condition(pod, "Ready")
    return found is not None and found.get("status") == "True"


def available_at(pod: Object, min_ready_s: int) -> datetime | None:
    """When the pod counts as available: ready for `min_ready_s`. None while it is not ready."""
    found = condition(pod, "Ready")
    if found is None or found.get("status") != "True":
        return None
    since = times.parse_or_none(found.get("lastTransitionTime"))
    if since is None:
        return None if min_ready_s else datetime.min.replace(tzinfo=UTC)
    return since + timedelta(seconds=min_ready_s)


def is_available(pod: Object, min_ready_s: int, now: datetime) -> bool:
    if not min_ready_s:
        return is_ready(pod)
    moment = available_at(pod, min_ready_s)
    return moment is not None and moment <= now


def index_by_owner(lister: Lister) -> None:
    """Let `owned_or_orphaned` answer without looking at every object."""
    lister.add_index(BY_OWNER, _owner_keys)


def owned_or_orphaned(lister: Lister, owner: Object) -> list[Object]:
    """Objects that `owner` controls, and those of its namespace that nobody controls."""
    return lister.by_index(BY_OWNER, uid_of(owner)) + lister.by_index(BY_OWNER, f"orphan/{namespace_of(owner)}")


def owned(lister: Lister, owner: Object) -> list[Object]:
    """Objects that `owner` controls."""
    return lister.by_index(BY_OWNER, uid_of(owner))


def _owner_keys(obj: Object) -> tuple[str, ...]:
    owner = controller_of(obj)
    return (str(owner.get("uid")),) if owner else (f"orphan/{namespace_of(obj)}",)


def deletion_order(candidates: Iterable[Object], related: Iterable[Object], now: datetime) -> list[Object]:
    """`candidates` sorted, those to delete first in front. `related` are all pods of the same higher owner.

    In front: not yet on a node; Pending, then Unknown; not ready; of lower deletion cost; on a node with more related
    pods; ready for a shorter time, then younger, both in steps of powers of two; with more restarts.
    """
    on_node: dict[str, int] = {}
    for pod in related:
        if is_active(pod) and (node := dig(pod, "spec", "nodeName")):
            on_node[node] = on_node.get(node, 0) + 1
    compare = functools.partial(_compare, on_node, now)
    return sorted(candidates, key=functools.cmp_to_key(compare))


def _compare(on_node: Mapping[str, int], now: datetime, a: Object, b: Object) -> int:
    facts_a, facts_b = _facts(a, on_node), _facts(b, on_node)
    if facts_a != facts_b:
        return -1 if facts_a < facts_b else 1
    if is_ready(a) and is_ready(b):
        ready_a, ready_b = _ready_since(a), _ready_since(b)
        if ready_a != ready_b:
            return _by_age(ready_a, ready_b, now) or _by_uid(a, b)
    if _restarts(a) != _restarts(b):
        return -1 if _restarts(a) > _restarts(b) else 1
    created_a, created_b = meta(a).get("creationTimestamp"), meta(b).get("creationTimestamp")
    if created_a != created_b:
        return _by_age(times.parse_or_none(created_a), times.parse_or_none(created_b), now) or _by_uid(a, b)
    return _by_uid(a, b)


def _facts(pod: Object, on_node: Mapping[str, int]) -> tuple[bool, int, bool, int, int]:
    node = dig(pod, "spec", "nodeName", default="")
    return (bool(node), _PHASE_ORDER.get(phase_of(pod), 0), is_ready(pod), _cost(pod), -on_node.get(node, 0))


def _cost(pod: Object) -> int:
    """A 32-bit number, written without sign of plus or leading zeros; anything else costs nothing."""
    text = annotations_of(pod).get(DELETION_COST, "0")
    cost = int(text) if _COST.fullmatch(text) else 0
    return cost if -(2**31) <= cost < 2**31 else 0


def _ready_since(pod: Object) -> datetime | None:
    return times.parse_or_none((condition(pod, "Ready") or {}).get("lastTransitionTime"))


def _restarts(pod: Object) -> tuple[int, int]:
    """The most restarts of a container, then of a sidecar."""
    sidecars = {
        one.get("name") for one in dig(pod, "spec", "initContainers", default=())
        if one.get("restartPolicy") == "Always"
    }
    regular: Sequence[Object] = dig(pod, "status", "containerStatuses", default=())
    init: Sequence[Object] = dig(pod, "status", "initContainerStatuses", default=())
    return (
        max((status.get("restartCount", 0) for status in regular), default=0),
        max((status.get("restartCount", 0) for status in init if status.get("name") in sidecars), default=0),
    )


def _by_age(a: datetime | None, b: datetime | None, now: datetime) -> int:
    """Younger first; ages count in powers of two of nanoseconds, so pods of about one age are equal."""
    if a is None or b is None:
        return -1 if a is None else 1
    return _magnitude(now - a) - _magnitude(now - b)


def _magnitude(age: timedelta) -> int:
    seconds = age.total_seconds()
    return int(math.log2(seconds * 1e9)) if seconds > 0 else -1


def _by_uid(a: Object, b: Object) -> int:
    return (uid_of(a) > uid_of(b)) - (uid_of(a) < uid_of(b))
