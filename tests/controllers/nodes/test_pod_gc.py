"""Pods that nobody else would remove, as upstream's own cases of pod GC have them."""

from __future__ import annotations

from typing import Any

import pytest
from tests.controllers.lab import Lab, on_a_cluster

from sampan.api.resources import PODS
from sampan.apimachinery.object import Object
from sampan.controllers.nodes.pod_gc import Observed, Reason, leftovers, plan
from sampan.reconcile.plan import Patch

OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
FINALIZER = "example.com/hold"


def pod(make, name: str, **fields: Any) -> Object:
    """A pod; `going` is its grace period while it is being deleted, `held` whether a finalizer keeps it."""
    going, held, reason = fields.pop("going", None), fields.pop("held", False), fields.pop("reason", "")
    if going is not None:
        fields["deletionTimestamp"] = make.now_text
    if isinstance(going, int):
        fields["deletionGracePeriodSeconds"] = going
    if held:
        fields["finalizers"] = [FINALIZER]
    made: Object = make.pod(name, **fields)
    if reason:
        made["status"]["reason"] = reason
    return made


def names(make, pods: list[Object], threshold: int = 0, **nodes: Object) -> dict[str, Reason]:
    gone = frozenset({"gone"})
    found = leftovers(Observed(tuple(pods), nodes or {"n1": make.node()}, gone), threshold)
    return {uid.removeprefix("uid-"): reason for uid, reason in found.items()}


FAILED, SUCCEEDED = {"phase": "Failed"}, {"phase": "Succeeded"}
EVICTED = FAILED | {"reason": "Evicted"}
HELD = {"going": 0, "held": True}


@pytest.mark.parametrize(("pods", "threshold", "deleted"), [
    ([FAILED, SUCCEEDED, FAILED], 1, "ab"),
    ([FAILED, SUCCEEDED], 0, ""),  # 0: no limit
    ([{}, SUCCEEDED, FAILED], 1, "b"),
    ([FAILED, SUCCEEDED], 1, "a"),
    ([FAILED, SUCCEEDED], 5, ""),
    ([FAILED, SUCCEEDED, EVICTED], 1, "ca"),
    ([{}, SUCCEEDED, EVICTED], 1, "c"),
    ([SUCCEEDED | HELD, FAILED | HELD], 1, ""),  # only their finalizers are waited for
    ([SUCCEEDED | HELD, FAILED | HELD, SUCCEEDED], 2, "c"),  # and yet they count
    ([SUCCEEDED | HELD, FAILED | HELD, SUCCEEDED | HELD, SUCCEEDED], 1, "d"),
    ([SUCCEEDED | {"going": 30, "held": True}, SUCCEEDED | {"going": 0},
      SUCCEEDED | {"going": "unset", "held": True}, SUCCEEDED | {"held": True}], 1, "abc"),
])
def test_the_oldest_finished_pods_beyond_the_threshold_go_evicted_ones_first(make, pods, threshold, deleted) -> None:
    made = [
        pod(make, name, creationTimestamp=f"2026-01-02T0{hour}:00:00Z", **fields)
        for hour, (name, fields) in enumerate(zip("abcd", pods, strict=False))
    ]
    assert names(make, made, threshold) == dict.fromkeys(deleted, Reason.TERMINATED)


def test_once_their_end_is_agreed_to_pods_are_not_asked_to_go_again(make) -> None:
    pods = [pod(make, name, phase="Succeeded", held=True) for name in "abc"]
    assert names(make, pods, 1).keys() == {"a", "b"}
    pods[:2] = [pod(make, name, phase="Succeeded", held=True, going=0) for name in "ab"]
    assert names(make, pods, 1).keys() == {"c"}
    pods[2] = pod(make, "c", phase="Succeeded", held=True, going=0)
    assert not names(make, pods, 1)


@pytest.mark.parametrize(("fields", "reason", "marked"), [
    ({"node": "gone"}, Reason.ORPHANED, True),
    ({"node": "gone", "phase": "Pending"}, Reason.ORPHANED, True),
    ({"node": "gone", **FAILED}, Reason.ORPHANED, False),
    ({"node": "gone", **SUCCEEDED}, Reason.ORPHANED, False),
    ({"node": "gone", **FAILED, **HELD}, None, False),
    ({"node": "missing-for-a-moment"}, None, False),
    ({"node": "", "going": 30}, Reason.UNSCHEDULED, True),
    ({"node": "", "going": 30, **FAILED}, Reason.UNSCHEDULED, False),
    ({"node": "", "going": 30, **SUCCEEDED}, Reason.UNSCHEDULED, False),
    ({"node": "", **FAILED}, None, False),
    ({"node": "", "phase": "Pending", **HELD}, Reason.UNSCHEDULED, True),
    ({"node": "", **FAILED, **HELD}, None, False),
    ({"node": "", "going": 0, **SUCCEEDED}, Reason.UNSCHEDULED, False),
    ({"going": 30}, None, False),
    ({"node": "out", "going": 30}, Reason.OUT_OF_SERVICE, True),
    ({"node": "out", "going": 30, **FAILED}, Reason.OUT_OF_SERVICE, False),
    ({"node": "out", "going": 30, **SUCCEEDED}, Reason.OUT_OF_SERVICE, False),
    ({"node": "out", **FAILED, **HELD}, None, False),
    ({"node": "out", **HELD}, Reason.OUT_OF_SERVICE, True),
    ({"node": "out"}, None, False),
    ({"node": "out", "phase": "Pending"}, None, False),
    ({"node": "out", "phase": "Unknown"}, None, False),
    ({"node": "down", "going": 30}, None, False),
    ({"node": "tainted-and-ready", "going": 30}, None, False),
])
def test_why_a_pod_is_left_over(make, fields, reason, marked) -> None:
    nodes = {
        "n1": make.node(), "down": make.node(ready="False"),
        "out": make.node(ready="False", taints=[{"key": OUT_OF_SERVICE, "effect": "NoExecute"}]),
        "tainted-and-ready": make.node(taints=[{"key": OUT_OF_SERVICE, "effect": "NoExecute"}]),
    }
    left_over = pod(make, "a", **fields)
    assert names(make, [left_over], 9, **nodes) == ({"a": reason} if reason else {})
    if reason:
        *marks, delete = plan(left_over, reason, make.now).steps
        assert bool(marks) is marked and (delete.name, delete.uid, delete.grace_period_s) == ("a", "uid-a", 0)


@pytest.mark.parametrize(("effect", "value"), [
    ("NoExecute", ""), ("NoSchedule", ""), ("PreferNoSchedule", ""), ("NoExecute", "any"),
])
def test_any_effect_of_the_taint_out_of_service_will_do(make, effect, value) -> None:
    taint = {"key": OUT_OF_SERVICE, "effect": effect, "value": value}
    nodes = {"n1": make.node(ready="Unknown", taints=[taint])}
    assert names(make, [pod(make, "a", going=30)], 0, **nodes) == {"a": Reason.OUT_OF_SERVICE}


@pytest.mark.parametrize("reason", Reason)
def test_a_pod_that_had_not_ended_has_failed_and_says_why_if_its_node_is_gone(make, reason) -> None:
    mark = plan(pod(make, "a"), reason, make.now).steps[0]
    assert isinstance(mark, Patch) and mark.patch["status"]["phase"] == "Failed"
    assert mark.patch["status"].get("conditions") == ([{
        "type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC", "observedGeneration": 1,
        "message": "PodGC: node no longer exists", "lastTransitionTime": make.now_text,
    }] if reason is Reason.ORPHANED else None)


ENV = [{"name": "X", "value": "1"}, {"name": "X", "value": "2"}]
PORTS = [{"containerPort": 93, "hostPort": 9376}, {"containerPort": 93, "hostPort": 9377}]


@pytest.mark.parametrize("doubled", [{}, {"env": ENV}, {"ports": PORTS}])
def test_on_a_cluster_an_orphan_that_is_held_fails_even_with_fields_given_twice(doubled) -> None:
    async def scenario(lab: Lab) -> None:
        metadata = {"name": "web", "namespace": "default", "finalizers": [FINALIZER]}
        spec = {"nodeName": "nowhere", "containers": [{"name": "c", "image": "web:1", **doubled}]}
        await lab.client.create(PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})

        async def is_marked() -> bool:
            found = await lab.get(PODS, "web")
            return "deletionTimestamp" in found["metadata"] and found["status"]["phase"] == "Failed"

        await lab.until(is_marked)
        condition = await lab.condition(PODS, "web", "DisruptionTarget")
        assert condition and condition["reason"] == "DeletionByPodGC" and condition["lastTransitionTime"]

    on_a_cluster(scenario)
