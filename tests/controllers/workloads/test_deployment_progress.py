"""How a Deployment's rollout is judged: progress, completion, lack of progress, failures.

The cases are those of upstream's progress_test.go and of its util's tests of completion, progress and deadlines.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from sampan.apimachinery.object import Object
from sampan.controllers.workloads import deployment_status as judge

COUNTS = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")


def counts(numbers: tuple[int, int, int, int]) -> Object:
    return dict(zip(COUNTS, numbers, strict=True))


def progressing(reason: str, status: str = "True", ago_s: float = 0, *, make: Any) -> Object:
    moment = (make.now - timedelta(seconds=ago_s)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"type": "Progressing", "status": status, "reason": reason, "message": "m", "lastUpdateTime": moment,
            "lastTransitionTime": "2026-01-01T00:00:00Z"}


def judged(make, owner: Object, before: tuple[int, ...], now: tuple[int, ...], known: Object | None) -> Object:
    found = [known] if known else []
    owner["status"] = {**counts(before), "conditions": found}  # type: ignore[arg-type]
    status = {**counts(now), "observedGeneration": 1, "conditions": found}  # type: ignore[arg-type]
    status = judge.with_progress(owner, status, make.replica_set("web-1"), (), make.now)
    return next((dict(one) for one in status["conditions"] if one["type"] == "Progressing"), {})


@pytest.mark.parametrize(("deadline", "before", "now", "known", "status", "reason"), [
    # replicas, updated, ready, available: before and now
    (None, (3, 2, 2, 2), (3, 3, 2, 2), None, None, None),
    (None, (3, 2, 2, 2), (3, 3, 2, 2), ("ReplicaSetUpdated", "True", 0), None, None),
    (600, (3, 2, 2, 2), (3, 2, 2, 2), None, None, None),
    (600, (3, 2, 2, 2), (3, 3, 2, 2), None, "True", "ReplicaSetUpdated"),
    (600, (3, 2, 2, 2), (2, 2, 2, 2), None, "True", "ReplicaSetUpdated"),
    (600, (3, 3, 1, 1), (3, 3, 2, 1), None, "True", "ReplicaSetUpdated"),
    (600, (3, 3, 2, 1), (3, 3, 2, 2), None, "True", "ReplicaSetUpdated"),
    (600, (3, 2, 2, 2), (4, 2, 2, 2), ("ReplicaSetUpdated", "True", 0), "True", "ReplicaSetUpdated"),
    (600, (3, 3, 3, 2), (3, 3, 3, 3), ("ReplicaSetUpdated", "True", 0), "True", "NewReplicaSetAvailable"),
    (600, (3, 3, 3, 3), (3, 3, 2, 2), ("NewReplicaSetAvailable", "True", 5000), "True", "NewReplicaSetAvailable"),
    (600, (3, 3, 3, 3), (3, 1, 3, 3), ("NewReplicaSetAvailable", "True", 5000), "True", "NewReplicaSetAvailable"),
    (10, (3, 2, 2, 2), (3, 2, 2, 2), ("ReplicaSetUpdated", "True", 9), "True", "ReplicaSetUpdated"),
    (10, (3, 2, 2, 2), (3, 2, 2, 2), ("ReplicaSetUpdated", "True", 11), "False", "ProgressDeadlineExceeded"),
    (10, (3, 2, 2, 2), (3, 2, 2, 2), ("FoundNewReplicaSet", "True", 11), "False", "ProgressDeadlineExceeded"),
    (10, (3, 2, 2, 2), (3, 2, 2, 2), ("DeploymentPaused", "Unknown", 11), "False", "ProgressDeadlineExceeded"),
    (10, (3, 2, 2, 2), (3, 3, 2, 2), ("ProgressDeadlineExceeded", "False", 99), "True", "ReplicaSetUpdated"),
    (10, (3, 3, 2, 2), (3, 3, 3, 3), ("ProgressDeadlineExceeded", "False", 99), "True", "NewReplicaSetAvailable"),
    (2**31 - 1, (3, 2, 2, 2), (3, 3, 2, 2), None, None, None),
])
def test_how_a_rollout_is_judged(make, deadline, before, now, known, status, reason) -> None:
    owner = make.deployment(replicas=3, progressDeadlineSeconds=deadline)
    found = judged(make, owner, before, now, known and progressing(*known, make=make))
    assert (found.get("status"), found.get("reason")) == (status, reason)


def test_progress_renews_the_time_from_which_the_deadline_counts(make) -> None:
    owner = make.deployment(replicas=3)
    known = progressing("ReplicaSetUpdated", ago_s=300, make=make)
    found = judged(make, owner, (3, 2, 2, 2), (3, 3, 2, 2), known)
    assert (found["lastUpdateTime"], found["lastTransitionTime"]) == (make.now_text, known["lastTransitionTime"])
    late = progressing("ProgressDeadlineExceeded", "False", 300, make=make)
    found = judged(make, owner, (3, 2, 2, 2), (3, 3, 2, 2), late)
    assert (found["lastUpdateTime"], found["lastTransitionTime"]) == (make.now_text, make.now_text)


@pytest.mark.parametrize(("now", "generation", "complete"), [
    ((5, 5, 5, 5), 1, True), ((5, 5, 5, 4), 1, False), ((5, 4, 5, 5), 1, False), ((6, 5, 5, 5), 1, False),
    ((5, 5, 5, 5), 0, False), ((1, 1, 1, 1), 1, False),
])
def test_when_a_rollout_is_complete(make, now, generation, complete) -> None:
    status = {**counts(now), "observedGeneration": generation}
    assert judge.is_complete(make.deployment(replicas=5), status) == complete


@pytest.mark.parametrize(("deadline", "reason", "ago_s", "again_s"), [
    (None, "ReplicaSetUpdated", 0, None), (10, None, 0, None), (10, "ProgressDeadlineExceeded", 99, None),
    (600, "ReplicaSetUpdated", 180, 421.0), (10, "ReplicaSetUpdated", 9, 2.0), (10, "ReplicaSetUpdated", 60, 1.0),
])
def test_when_a_rollout_that_stands_still_is_looked_at_again(make, deadline, reason, ago_s, again_s) -> None:
    """Upstream's TestRequeueStuckDeployment."""
    found = [progressing(reason, ago_s=ago_s, make=make)] if reason else []
    status = {**counts((3, 2, 2, 2)), "conditions": found}
    owner = make.deployment(replicas=3, progressDeadlineSeconds=deadline)
    assert judge.look_again_s(owner, status, make.now) == again_s


def failing(make, name: str, message: str) -> Object:
    found: Object = make.replica_set(name)
    found["status"]["conditions"] = [{
        "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message,
        "lastTransitionTime": "2026-01-01T12:00:00Z",
    }]
    return found


def test_a_failure_of_the_new_set_comes_before_those_of_old_ones_and_is_as_old_as_there(make) -> None:
    """Upstream's TestGetReplicaFailures."""
    owner, old, new = make.deployment(replicas=3), failing(make, "web-0", "old"), failing(make, "web-1", "new")
    for present, told in ((new, "new"), (make.replica_set("web-1"), "old")):
        status: Object = {**counts((3, 2, 2, 2)), "conditions": []}
        found = judge.with_progress(owner, status, present, (old, present), make.now)["conditions"]
        assert [(one["message"], one["lastTransitionTime"]) for one in found if one["type"] == "ReplicaFailure"] == [
            (told, "2026-01-01T12:00:00Z")]
    status = {**counts((3, 2, 2, 2)), "conditions": found}
    gone = judge.with_progress(owner, status, make.replica_set("web-1"), (), make.now)["conditions"]
    assert not [one for one in gone if one["type"] == "ReplicaFailure"]
