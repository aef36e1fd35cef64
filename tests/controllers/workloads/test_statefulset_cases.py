"""Cases of upstream's tables of the StatefulSet controller (pkg/controller/statefulset): updates, claims, history."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.controllers.workloads.stateful_sets import (
    created,
    decided,
    deleted,
    members,
    revisions,
    rolled,
    stateful_set,
)

from sampan.apimachinery.object import Object, name_of
from sampan.controllers.ownership import reference_to
from sampan.reconcile.plan import Create, Delete, Update

BROKEN, GOING, FRESH = "broken", "going", "fresh"


@pytest.mark.parametrize(("replicas", "partition", "limit", "pods", "parallel", "ordered"), [
    (1, 0, 1, {0: BROKEN}, {0}, set()),
    (3, 0, 1, {2: BROKEN}, {2}, set()),
    (5, 0, 2, {3: BROKEN, 4: BROKEN}, {3, 4}, set()),
    (3, 0, 1, {2: GOING}, set(), set()),
    (5, 0, 3, {3: BROKEN, 4: GOING}, {2, 3}, set()),
    (5, 0, 3, {3: GOING, 4: BROKEN}, {2, 4}, set()),
    (3, 0, 1, {2: FRESH}, {2}, set()),
    (5, 2, 1, {4: BROKEN}, {4}, set()),
    (5, 2, 1, {2: BROKEN}, {2}, set()),
    (5, 2, 1, {1: BROKEN}, set(), set()),  # is not to be updated, but counts
    (5, 3, 2, {3: BROKEN, 4: BROKEN}, {3, 4}, set()),
    (5, 3, 2, {1: BROKEN, 4: BROKEN}, {4}, set()),
    (4, 0, 2, {0: BROKEN, 1: BROKEN}, {0, 1}, set()),
    (5, 0, 3, {0: BROKEN, 1: BROKEN}, {0, 1, 4}, set()),
    (4, 0, 1, dict.fromkeys(range(4), BROKEN), {0, 1, 2, 3}, set()),  # more than the limit, but nobody misses them
    (6, 3, 2, {}, {4, 5}, {4, 5}),
])
def test_old_pods_that_are_unavailable_are_replaced_at_once_unless_there_is_an_order(
    make, replicas: int, partition: int, limit: int, pods: dict[int, str], parallel: set[int], ordered: set[int]
) -> None:
    for policy, expected in (("Parallel", parallel), ("OrderedReady", ordered)):
        rolling = {"type": "RollingUpdate", "rollingUpdate": {"partition": partition, "maxUnavailable": limit}}
        owner = stateful_set(
            make, replicas=replicas, updateStrategy=rolling, podManagementPolicy=policy, minReadySeconds=30
        )
        found = members(make, owner, *range(replicas), revision="web-old")
        for number, how in pods.items():
            if how == GOING:
                found[number]["metadata"]["deletionTimestamp"] = make.now_text
            else:
                since = (make.now - timedelta(seconds=5)).isoformat().replace("+00:00", "Z")
                [found[number]] = members(
                    make, owner, number, revision="web-old", ready=how == FRESH, since=since
                )
        assert {int(name.rpartition("-")[2]) for name in rolled(make, owner, found)} == expected, policy


def test_a_pod_of_the_new_template_that_is_broken_stops_the_update(make) -> None:
    owner = stateful_set(make, podManagementPolicy="Parallel")
    pods = members(make, owner, 0, 1, revision="web-old") + members(make, owner, 2, ready=False)
    assert rolled(make, owner, pods) == []


@pytest.mark.parametrize(("fresh", "gone"), [((), 3), ((3,), 3), ((2,), 3), ((2, 3), None), ((0, 3), None)])
def test_a_surplus_pod_that_is_not_available_yet_is_not_waited_for_unless_one_below_is_not_either(
    make, flat, fresh: tuple[int, ...], gone: int | None
) -> None:
    """kubernetes/kubernetes#123918"""
    owner = stateful_set(make, replicas=2, minReadySeconds=30)
    pods = [
        members(make, owner, number, since=make.now_text if number in fresh else "2026-01-02T03:00:00Z")[0]
        for number in range(4)
    ]
    assert deleted(flat(decided(owner, pods, make))) == ([] if gone is None else [f"web-{gone}"])


CLAIM = {"metadata": {"name": "data"}, "spec": {}}
STRANGER = {"apiVersion": "v1", "kind": "Pod", "name": "rand", "uid": "uid-rand"}
CONTROLLER = {"apiVersion": "custom/v1", "kind": "Unknown", "name": "unknown", "uid": "xyz", "controller": True}


def with_claims(make, when_scaled: str, when_deleted: str, **spec) -> Object:
    policy = {"whenScaled": when_scaled, "whenDeleted": when_deleted}
    return stateful_set(make, volumeClaimTemplates=[CLAIM], persistentVolumeClaimRetentionPolicy=policy, **spec)


def claim_of(make, ordinal: int, *references: Object, **metadata) -> dict[str, Object]:
    name = f"data-web-{ordinal}"
    return {name: {"metadata": make.meta(name, ownerReferences=list(references), **metadata)}}


def references_after(make, flat, owner: Object, pod: Object, claims: dict[str, Object]) -> list[Object] | None:
    """Those of the claim after the look, None where it is left alone; and what is told of it."""
    ordinal = int(name_of(pod).rpartition("-")[2])
    pods = [pod if number == ordinal else members(make, owner, number)[0] for number in range(ordinal + 1)]
    updates = [one for one in flat(decided(owner, pods, make, claims)) if isinstance(one, Update)]
    assert len(updates) <= 1
    return updates[0].obj["metadata"]["ownerReferences"] if updates else None


@pytest.mark.parametrize("others", [[], [STRANGER]])
@pytest.mark.parametrize("has_set", [False, True])
@pytest.mark.parametrize("has_pod", [False, True])
@pytest.mark.parametrize(("when_scaled", "when_deleted", "scaled_down", "wanted"), [
    ("Retain", "Retain", False, ""), ("Retain", "Retain", True, ""),
    ("Retain", "Delete", False, "StatefulSet"), ("Retain", "Delete", True, "StatefulSet"),
    ("Delete", "Retain", False, ""), ("Delete", "Retain", True, "Pod"),
    ("Delete", "Delete", False, "StatefulSet"), ("Delete", "Delete", True, "Pod"),
])
def test_a_claim_gets_the_owner_that_the_policy_asks_for(
    make, flat, when_scaled, when_deleted, scaled_down, wanted, has_pod, has_set, others
) -> None:
    owner = with_claims(make, when_scaled, when_deleted, replicas=1 if scaled_down else 2)
    [pod] = members(make, owner, 1)
    references = {"Pod": reference_to(pod), "StatefulSet": reference_to(owner)}
    before = [reference for kind, has in (("Pod", has_pod), ("StatefulSet", has_set)) if has
              for reference in [references[kind]]] + others
    after = references_after(make, flat, owner, pod, claim_of(make, 1, *before))
    expected = [*others, *([references[wanted]] if wanted else [])]
    right = (has_pod, has_set) == (wanted == "Pod", wanted == "StatefulSet")
    assert after == (None if right else expected)


def test_a_claim_that_others_control_or_that_is_of_a_former_owner_is_not_taken(make, flat) -> None:
    owner = with_claims(make, "Delete", "Delete", replicas=1)
    [pod] = members(make, owner, 0)
    ours = reference_to(owner)
    plain = {key: value for key, value in ours.items() if key != "controller"}
    former = [{**reference, "uid": "stale"} for reference in (ours, plain, reference_to(pod))]
    cases: list[tuple[list[Object], list[Object] | None]] = [
        ([plain], [ours]), ([{**ours, "controller": False}], [ours]),
        *(([one], None) for one in former), ([CONTROLLER], None), ([CONTROLLER, STRANGER], None),
        ([ours, CONTROLLER], [CONTROLLER]), ([plain, CONTROLLER], [CONTROLLER]),
        ([{**STRANGER, "name": "web", "kind": "else"}], [{**STRANGER, "name": "web", "kind": "else"}, ours]),
    ]
    for before, after in cases:
        assert references_after(make, flat, owner, pod, claim_of(make, 0, *before)) == after, before
    owner = with_claims(make, "Retain", "Retain", replicas=1)
    assert references_after(make, flat, owner, pod, claim_of(make, 0, ours, CONTROLLER)) == [CONTROLLER]


def test_a_change_of_owners_is_told_and_so_is_who_stands_in_the_way_of_the_policy(make, flat) -> None:
    owner = with_claims(make, "Delete", "Delete", replicas=1)
    [pod] = members(make, owner, 0)
    [write] = flat(decided(owner, [pod], make, claim_of(make, 0)))
    assert (write.done.reason, write.done.message) == (
        "SuccessfulUpdate", "update Pod web-0 in StatefulSet web successful"
    )
    conflict = (
        "PersistentVolumeClaim data-web-0 has a conflicting OwnerReference that acts as a manging controller, "
        "the retention policy is ignored for this claim"
    )
    [write] = flat(decided(owner, [pod], make, claim_of(make, 0, reference_to(owner), CONTROLLER)))
    assert (write.done.reason, write.done.message) == ("ConflictingController", conflict)
    [note] = decided(owner, [], make, claim_of(make, 0, CONTROLLER)).notes
    assert (note.reason, note.message) == ("ConflictingController", conflict)
    owner = with_claims(make, "Retain", "Retain", replicas=1)
    assert not decided(owner, [], make, claim_of(make, 0, CONTROLLER)).notes


FORMER = {"apiVersion": "v1", "kind": "Pod", "name": "web-0", "uid": "stale", "controller": True}


@pytest.mark.parametrize(("states", "waits"), [
    (["missing", "missing"], False), ([], False), (["missing", "there"], False), (["former", "there"], True),
    (["former", "missing"], True), (["there", "former"], True),
])
def test_a_pod_waits_for_the_end_of_the_claims_of_the_one_before(make, flat, states: list[str], waits: bool) -> None:
    templates = [{"metadata": {"name": f"d{number}"}, "spec": {}} for number in range(len(states))]
    policy = {"whenScaled": "Delete", "whenDeleted": "Retain"}
    owner = stateful_set(make, volumeClaimTemplates=templates, persistentVolumeClaimRetentionPolicy=policy)
    claims = {
        f"d{number}-web-0": {
            "metadata": make.meta(f"d{number}-web-0", ownerReferences=[FORMER] if state == "former" else [])
        }
        for number, state in enumerate(states) if state != "missing"
    }
    plan = decided(owner, [], make, claims)
    made = [one for one in flat(plan) if isinstance(one, Create)]
    assert (not made) == waits and (plan.requeue_after_s is not None) == waits


def test_a_pod_is_not_made_with_a_claim_that_is_being_deleted(make, flat) -> None:
    """The two would hold each other."""
    templates = [{"metadata": {"name": name}, "spec": {}} for name in ("data", "logs")]
    owner = stateful_set(make, volumeClaimTemplates=templates)
    going = {
        name: {"metadata": make.meta(name, deletionTimestamp=make.now_text)} for name in ("data-web-0", "logs-web-0")
    }
    plan = decided(owner, [], make, {"data-web-0": going["data-web-0"]})
    assert flat(plan) == [] and plan.requeue_after_s is not None
    [note] = plan.notes
    text = "create Pod web-0 in StatefulSet web failed error: "
    assert (note.reason, note.message) == ("FailedCreate", f"{text}pvc data-web-0 is being deleted")
    [note] = decided(owner, [], make, going).notes
    assert note.message == f"{text}[pvc data-web-0 is being deleted, pvc logs-web-0 is being deleted]"
    owner["spec"]["podManagementPolicy"] = "Parallel"
    going["data-web-1"], going["logs-web-1"] = [{"metadata": make.meta(name)} for name in ("data-web-1", "logs-web-1")]
    [first, _, *_] = flat(decided(owner, [], make, going))
    assert created([first]) == ["web-1"], "the others do not wait"


def test_history_is_limited_also_while_pods_are_refused(make) -> None:
    """Deleting old revisions comes before what may fail."""
    owner = stateful_set(make, revisionHistoryLimit=1)
    known = []
    for number in range(4):
        [old] = revisions(stateful_set(make, template=make.template(f"web:old-{number}")))
        known.append({**old, "revision": number + 1})
    owner["status"] = {"currentRevision": name_of(known[3])}
    [present] = revisions(owner)
    steps = decided(owner, [], make, known=(*known, {**present, "revision": 5})).steps
    assert [one.name for one in steps[:2] if isinstance(one, Delete)] == [name_of(one) for one in known[:2]]
    assert created(steps[2].writes) == ["web-0"] and len(steps) == 3
