"""Sizes of ReplicaSets: the cases of upstream's tests of scaling and of rolling steps."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.apimachinery.object import Object, name_of
from sampan.controllers.workloads.deployment_revisions import DESIRED, MAX, forget_history
from sampan.controllers.workloads.deployment_scaling import bounds_of, grow_new, scale, shrink_old
from sampan.reconcile.plan import Delete

AGES = ("2016-05-20T00:00:00Z", "2016-05-20T01:00:00Z", "2016-05-20T02:00:00Z")


def deployment(make, replicas: int, surge: Any = 0, unavailable: Any = 0, **spec: Any) -> Object:
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    strategy = {"type": "RollingUpdate", "rollingUpdate": rolling}
    return make.deployment("foo", replicas=replicas, strategy=strategy, **spec)


def replica_set(make, version: int, size: int, available: int | None = None, **annotations: str) -> Object:
    found: Object = make.replica_set(f"foo-v{version}", replicas=size)
    found["metadata"] |= {"creationTimestamp": AGES[version - 1], "annotations": annotations}
    if available is not None:
        found["status"] = {"replicas": size, "availableReplicas": available}
    return found


SCALE = {
    "up": (12, 10, 0, {1: 10}, 1, {1: 12}),
    "down": (5, 10, 0, {1: 10}, 1, {1: 5}),
    "5 to 10": (10, 5, 0, {2: 2, 1: 3}, 2, {2: 4, 1: 6}),
    "5 to 3": (3, 5, 0, {2: 2, 1: 3}, 2, {2: 1, 1: 2}),
    "9 to 4": (4, 9, 0, {2: 8, 1: 1}, 2, {2: 4, 1: 0}),
    "7 to 10": (10, 7, 0, {3: 2, 2: 3, 1: 2}, 3, {3: 3, 2: 4, 1: 3}),
    "13 to 8": (8, 13, 0, {3: 2, 2: 8, 1: 3}, 3, {3: 1, 2: 5, 1: 2}),
    "the new one gets what is left over": (4, 3, 0, {3: 1, 2: 1, 1: 1}, 3, {3: 2, 2: 1, 1: 1}),
    "the oldest gives what is left over": (2, 3, 0, {3: 1, 2: 1, 1: 1}, 3, {3: 1, 2: 1, 1: 0}),
    "without a new one the latest gets it": (5, 4, 0, {2: 2, 1: 2}, None, {2: 3, 1: 2}),
    "to nothing": (0, 6, 0, {3: 3, 2: 2, 1: 1}, 3, {3: 0, 2: 0, 1: 0}),
    "from nothing": (6, 6, 0, {3: 0, 2: 0, 1: 0}, 3, {3: 6, 2: 0, 1: 0}),
    "with surge": (20, 10, 2, {2: 6, 1: 6}, 2, {2: 11, 1: 11}),
    "both size and surge": (50, 10, (3, 6), {2: 5, 1: 8}, 2, {2: 22, 1: 34}),
    "both size and template": (14, 10, 0, {2: 7, 1: 3}, None, {2: 10, 1: 4}),
}


@pytest.mark.parametrize(("wanted", "before", "surge", "sizes", "new", "after"), SCALE.values(), ids=SCALE.keys())
def test_scaling(make, wanted, before, surge, sizes, new, after) -> None:
    old_surge, new_surge = surge if isinstance(surge, tuple) else (surge, surge)
    most = bounds_of(deployment(make, before, old_surge, 0 if old_surge else 1)).most
    sized_for = {DESIRED: str(before), MAX: str(most)}
    sets = {version: replica_set(make, version, size, **sized_for) for version, size in sizes.items()}
    owner = deployment(make, wanted, new_surge, 0 if new_surge else 1)
    resizes = scale(owner, sets.get(new) if new else None, [one for version, one in sets.items() if version != new])
    found = {name_of(resize.rs): resize.size for resize in resizes}
    assert {version: found.get(name_of(one), sizes[version]) for version, one in sets.items()} == after


def test_a_saturated_but_broken_new_set_leaves_the_old_ones_alone(make) -> None:
    sized_for = {DESIRED: "2", MAX: "3"}
    new, old = replica_set(make, 2, 2, 0, **sized_for), replica_set(make, 1, 1, **sized_for)
    sizes = {name_of(one.rs): one.size for one in scale(deployment(make, 2, 1, 1), new, [old])}
    assert sizes.get("foo-v2", 2) == 2 and sizes.get("foo-v1", 1) == 1


@pytest.mark.parametrize(("replicas", "surge", "old", "new", "to"), [
    (10, 0, 10, 0, None),  # nothing may be added
    (10, 2, 10, 0, 2),
    (10, 2, 5, 0, 7),
    (10, 2, 10, 2, None),
    (10, 2, 2, 11, 10),  # too many already
])
def test_growing_the_new_set(make, replicas, surge, old, new, to) -> None:
    owner = deployment(make, replicas, surge, 0 if surge else 1)
    sets = [replica_set(make, 1, old), replica_set(make, 2, new)]
    assert [one.size for one in grow_new(owner, sets[1], sets)] == ([to] if to is not None else [])


@pytest.mark.parametrize(("replicas", "unavailable", "old", "ready_old", "new", "ready_new", "to"), [
    (10, 0, 10, 10, 0, 0, None),
    (10, 2, 10, 10, 0, 0, 8),
    (10, 2, 10, 8, 0, 0, 8),
    (10, 2, 10, 10, 0, 0, 8),
    (10, 2, 10, 0, 0, 0, 8),
    (10, 2, 9, 9, 10, 0, 8),
    (10, 2, 8, 8, 10, 0, None),  # no fewer may be available
    (10, 0, 10, 10, 3, 3, 7),
    (10, 2, 8, 8, 2, 0, None),
])
def test_shrinking_old_sets(make, replicas, unavailable, old, ready_old, new, ready_new, to) -> None:
    owner = deployment(make, replicas, 0 if unavailable else 1, unavailable)
    sets = [replica_set(make, 1, old, ready_old), replica_set(make, 2, new, ready_new)]
    resizes = shrink_old(owner, sets[1], sets[:1])
    assert [one.size for one in resizes] == ([to] if to is not None else [])


def test_unavailable_pods_of_several_old_sets_go_first(make) -> None:
    owner = deployment(make, 10, 0, 4)
    old = [replica_set(make, 1, 8, 6), replica_set(make, 2, 2, 0)]
    sizes = {name_of(one.rs): one.size for one in shrink_old(owner, replica_set(make, 3, 0, 0), old)}
    assert sizes == {"foo-v1": 6, "foo-v2": 0}


@pytest.mark.parametrize(("sets", "limit", "gone"), [
    (((0, 0), (0, 0), (0, 0)), 1, 2),
    (((0, 0), (0, 1), (1, 0)), 0, 1),
    (((0, 0), (0, 0)), 0, 2),
    (((1, 1), (1, 1)), 0, 0),
    (((0, 0), (0, 0), (0, 0)), 2**31 - 1, 0),
])
def test_what_history_goes(make, sets, limit, gone) -> None:
    old = []
    for version, (size, pods) in enumerate(sets, 1):
        one = replica_set(make, version, size)
        one["status"] = {"replicas": pods, "observedGeneration": 1}
        old.append(one)
    steps = forget_history(deployment(make, 1, 1, 0, revisionHistoryLimit=limit), old)
    assert len([step for step in steps if isinstance(step, Delete)]) == gone
    old[0]["metadata"]["deletionTimestamp"] = make.now_text
    assert name_of(old[0]) not in [step.name for step in forget_history(deployment(make, 1, 1, 0), old)]
