"""A Deployment's status: its counts, and the conditions Available, Progressing and ReplicaFailure.

Progress is an update, readiness or availability of more pods of the new template, or fewer pods of old ones. Without
any for `spec.progressDeadlineSeconds` the Progressing condition becomes False with reason ProgressDeadlineExceeded;
nothing else changes, and progress later on makes it True again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sampan.apimachinery.object import Object, dig, meta, name_of
from sampan.controllers import conditions, times
from sampan.controllers.conditions import Condition
from sampan.controllers.workloads.deployment_scaling import available_of, bounds_of, pods_of, total

PROGRESSING = "Progressing"
AVAILABLE = "Available"
REPLICA_FAILURE = "ReplicaFailure"
COMPLETE = "NewReplicaSetAvailable"
TIMED_OUT = "ProgressDeadlineExceeded"
NO_DEADLINE = 2**31 - 1

Conditions = Sequence[Object]


def deadline_of(deployment: Object) -> int | None:
    """Seconds without progress that are too long, or None."""
    found = dig(deployment, "spec", "progressDeadlineSeconds")
    return None if found is None or found == NO_DEADLINE else int(found)


def counted(deployment: Object, new: Object | None, sets: Sequence[Object], now: datetime) -> Object:
    """The status with true counts and the Available condition; other conditions as they were."""
    bounds = bounds_of(deployment)
    available = sum(map(available_of, sets))
    counts = {
        "replicas": sum(map(pods_of, sets)),
        "updatedReplicas": pods_of(new) if new else 0,
        "readyReplicas": sum(int(dig(rs, "status", "readyReplicas", default=0)) for rs in sets),
        "availableReplicas": available,
        "unavailableReplicas": max(total(sets) - available, 0),
    }
    status: Object = {"observedGeneration": meta(deployment).get("generation", 0)}
    status |= {key: count for key, count in counts.items() if count}
    going = [dig(rs, "status", "terminatingReplicas") for rs in sets]
    if all(count is not None for count in going):
        status["terminatingReplicas"] = sum(going)
    if (collisions := dig(deployment, "status", "collisionCount")) is not None:
        status["collisionCount"] = collisions
    if available >= bounds.fewest:
        condition = Condition(AVAILABLE, True, "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        text = "Deployment does not have minimum availability."
        condition = Condition(AVAILABLE, False, "MinimumReplicasUnavailable", text)
    found: Conditions = dig(deployment, "status", "conditions", default=())
    status["conditions"] = conditions.with_condition(found, condition, now, updated=True)
    return status


def is_complete(deployment: Object, status: Object) -> bool:
    """Every pod is of the new template and available, and no other is left."""
    desired = bounds_of(deployment).desired
    counts = (status.get(key, 0) for key in ("updatedReplicas", "replicas", "availableReplicas"))
    return all(count == desired for count in counts) and status.get("observedGeneration", 0) >= meta(deployment).get(
        "generation", 0
    )


def with_progress(
    deployment: Object, status: Object, new: Object | None, sets: Sequence[Object], now: datetime
) -> Object:
    """`status` with Progressing and ReplicaFailure as a rollout has them."""
    found: list[Object] = list(status["conditions"])
    known = conditions.find(found, PROGRESSING)
    if deadline_of(deployment) is None:
        found = conditions.without(found, PROGRESSING)
    elif not _was_complete(status, known):
        found = _progress(deployment, {**status, "conditions": found}, new, now)
    return {**status, "conditions": _with_failure(found, _replica_failure(new, sets), now)}


def _was_complete(status: Object, known: Object | None) -> bool:
    """A finished rollout stays finished, whatever its pods do later."""
    same = status.get("replicas", 0) == status.get("updatedReplicas", 0)
    return same and known is not None and known.get("reason") == COMPLETE


def _progress(deployment: Object, status: Object, new: Object | None, now: datetime) -> list[Object]:
    found: list[Object] = list(status["conditions"])
    who = f'ReplicaSet "{name_of(new)}"' if new else f'Deployment "{name_of(deployment)}"'
    if is_complete(deployment, status):
        done = Condition(PROGRESSING, True, COMPLETE, f"{who} has successfully progressed.")
        return conditions.with_condition(found, done, now, updated=True)
    if _has_progressed(dig(deployment, "status", default={}), status):
        moving = Condition(PROGRESSING, True, "ReplicaSetUpdated", f"{who} is progressing.")
        return _renewed(found, moving, now)
    if is_timed_out(deployment, status, now):
        late = Condition(PROGRESSING, False, TIMED_OUT, f"{who} has timed out progressing.")
        return conditions.with_condition(found, late, now, updated=True)
    return found


def _renewed(found: list[Object], condition: Condition, now: datetime) -> list[Object]:
    """The condition with a new lastUpdateTime, from which the deadline counts; its transition time stays if True."""
    known = conditions.find(found, PROGRESSING)
    result = conditions.with_condition(conditions.without(found, PROGRESSING), condition, now, updated=True)
    if known is not None and known.get("status") == "True":
        result[-1]["lastTransitionTime"] = known.get("lastTransitionTime")
    return result


def _has_progressed(old: Object, new: Object) -> bool:
    def count(status: Object, key: str) -> int:
        return int(status.get(key) or 0)

    outdated_before = count(old, "replicas") - count(old, "updatedReplicas")
    outdated = count(new, "replicas") - count(new, "updatedReplicas")
    grown = any(count(new, key) > count(old, key) for key in ("updatedReplicas", "readyReplicas", "availableReplicas"))
    return grown or outdated < outdated_before


def is_timed_out(deployment: Object, status: Object, now: datetime) -> bool:
    known = conditions.find(status.get("conditions") or (), PROGRESSING)
    deadline = deadline_of(deployment)
    if known is None or deadline is None or known.get("reason") == COMPLETE:
        return False
    if known.get("reason") == TIMED_OUT:
        return True
    return times.parse(known["lastUpdateTime"]) + timedelta(seconds=deadline) < now


def look_again_s(deployment: Object, status: Object, now: datetime) -> float | None:
    """When the deadline has to be checked, since no event tells that nothing happened."""
    known, deadline = conditions.find(status.get("conditions") or (), PROGRESSING), deadline_of(deployment)
    if known is None or deadline is None or known.get("reason") == TIMED_OUT or is_complete(deployment, status):
        return None
    due = times.parse(known["lastUpdateTime"]) + timedelta(seconds=deadline + 1)
    return max(times.seconds_until(due, now), 1.0)


def paused(deployment: Object, found: Conditions, now: datetime) -> list[Object]:
    """Conditions that say when the Deployment was paused and resumed, which is no lack of progress."""
    known = conditions.find(found, PROGRESSING)
    if deadline_of(deployment) is None or (known is not None and known.get("reason") == TIMED_OUT):
        return list(found)
    is_paused, reason = bool(dig(deployment, "spec", "paused")), known.get("reason") if known else ""
    if is_paused and reason != "DeploymentPaused":
        condition = Condition(PROGRESSING, True, "DeploymentPaused", "Deployment is paused")
    elif not is_paused and reason == "DeploymentPaused":
        condition = Condition(PROGRESSING, True, "DeploymentResumed", "Deployment is resumed")
    else:
        return list(found)
    result = conditions.with_condition(found, condition, now, updated=True)
    result[-1]["status"] = "Unknown"
    if known is not None and known.get("status") != "Unknown":
        result[-1]["lastTransitionTime"] = times.text(now)
    return result


def _replica_failure(new: Object | None, sets: Sequence[Object]) -> Object | None:
    """The new ReplicaSet's failure, or else any other's."""
    for rs in [*([new] if new else []), *sets]:
        known = conditions.find(dig(rs, "status", "conditions", default=()), REPLICA_FAILURE)
        if known is not None:
            return known
    return None


def _with_failure(found: list[Object], failure: Object | None, now: datetime) -> list[Object]:
    """The conditions with the failure of a ReplicaSet, which is as old as it is there."""
    if failure is None:
        return conditions.without(found, REPLICA_FAILURE)
    since = times.parse_or_none(failure.get("lastTransitionTime")) or now
    condition = Condition(
        REPLICA_FAILURE, failure.get("status") == "True", failure.get("reason", ""), failure.get("message", "")
    )
    return conditions.with_condition(found, condition, since, updated=True)
