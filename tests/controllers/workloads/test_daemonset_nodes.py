"""Which nodes have which pods of a DaemonSet, and what is made and deleted there.

The cases are those of upstream's daemon_controller_test.go and update_test.go. Pods of a node are written as letters:
`o` of an old template, `n` of the present one; `+` available, `-` not ready; `x` being deleted, `f` failed, `s`
succeeded.
"""

from __future__ import annotations

from typing import Any

import pytest
from tests.controllers.workloads.test_daemonset import daemon_pod, daemon_set, revision_and_hash

from sampan.api.apps.daemonset import TEMPLATE_GENERATION
from sampan.api.resources import CONTROLLER_REVISIONS, PODS
from sampan.apimachinery.object import Object, labels_of, name_of
from sampan.controllers.workloads.daemonset import Observed, plan
from sampan.controllers.workloads.daemonset_pods import GENERATION_LABEL, pod_spec_of, should_run, target_node
from sampan.controllers.workloads.revision_history import HASH_LABEL
from sampan.reconcile.plan import Create, Delete, Outcome, Patch

NO_SCHEDULE = [{"key": "example.com/busy", "effect": "NoSchedule"}]


def rolling(**rollout: Any) -> Object:
    return {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": rollout}}


def surge(count: Any) -> Object:
    return rolling(maxSurge=count, maxUnavailable=0)


def look(make, flat, owner: Object, nodes: dict[str, str], tainted: str = "") -> tuple[str, str]:
    """Nodes that get a pod, and pods that are deleted, as `node` and `node/kind`."""
    revision, digest = revision_and_hash(owner, make)
    pods: list[Object] = []
    for node, kinds in nodes.items():
        for number, kind in enumerate(kinds.split()):
            fields: Object = {"creationTimestamp": f"2026-01-02T03:00:0{number}Z"}
            if "x" in kind:
                fields["deletionTimestamp"] = make.now_text
            pod = daemon_pod(make, owner, node, digest if kind[0] == "n" else "old", ready="+" in kind, **fields)
            pod["metadata"] |= {"name": f"{node}/{kind}", "uid": f"{node}/{kind}"}
            pod["status"]["phase"] = "Failed" if "f" in kind else "Succeeded" if "s" in kind else "Running"
            pods.append(pod)
    there = {name: make.node(name, taints=NO_SCHEDULE if name in tainted.split() else None) for name in nodes}
    writes = flat(plan(Observed(owner, tuple(pods), there, (revision,)), make.now))
    made = [target_node(one.obj) for one in writes if isinstance(one, Create) and one.resource == PODS]
    return " ".join(made), " ".join(one.name for one in writes if isinstance(one, Delete))


CASES: dict[str, tuple[Object, dict[str, str], str, str, str]] = {
    # name: spec, pods by node, nodes with a taint NoSchedule, nodes that get a pod, pods that are deleted
    "an empty node": ({}, {"a": "", "b": "n+"}, "", "a", ""),
    "a pod too many": ({}, {"a": "n+ n-", "b": "n+ n+x n"}, "", "", "a/n- b/n"),
    "a pod that is going keeps its place": ({}, {"a": "n+x"}, "", "", ""),
    "one that has ended and is going keeps none": ({}, {"a": "nfx", "b": "nsx"}, "", "a b", ""),
    "a failed and a succeeded pod": ({}, {"a": "nf", "b": "ns"}, "", "", "a/nf b/ns"),
    "a taint keeps new pods away, not those that are there": ({}, {"a": "", "b": "n+"}, "a b", "", ""),
    # rolling without surge
    "one at a time": ({}, {"a": "o+", "b": "o+", "c": "o+"}, "", "", "a/o+"),
    "several at a time": (rolling(maxUnavailable=2), {"a": "o+", "b": "o+", "c": "o+"}, "", "", "a/o+ b/o+"),
    "a share rounds up": (rolling(maxUnavailable="40%"), {"a": "o+", "b": "o+", "c": "o+"}, "", "", "a/o+ b/o+"),
    "a new one that is not ready is waited for": ({}, {"a": "n-", "b": "o+", "c": "o+"}, "", "", ""),
    "all old ones that are not ready go": ({}, {"a": "o-", "b": "o-", "c": "o-"}, "", "", "a/o- b/o- c/o-"),
    "what is broken goes beyond the limit": (
        rolling(maxUnavailable=3), {"a": "o-", "b": "o-", "c": "o+", "d": "o+", "e": "o+"}, "", "",
        "a/o- b/o- c/o+"),
    "an empty node counts": ({}, {"a": "", "b": "o+"}, "", "a", ""),
    "a pod that is going counts": ({}, {"a": "o+x", "b": "o+"}, "", "", ""),
    "two on a node count and are cleaned": ({}, {"a": "o+ o+", "b": "o+"}, "", "", "a/o+"),
    "old and new on a node count": ({}, {"a": "n+ o+", "b": "o+"}, "", "", "a/o+"),
    "an old one behind a taint goes in its turn": ({}, {"a": "o+", "b": "n+"}, "a", "", "a/o+"),
    "nobody rolls on delete": ({"updateStrategy": {"type": "OnDelete"}}, {"a": "o+", "b": "o-"}, "", "", ""),
    # rolling with surge
    "one more at a time": (surge(1), {"a": "o+", "b": "o+"}, "", "a", ""),
    "two more at a time": (surge(2), {"a": "o+", "b": "o+", "c": "o+"}, "", "a b", ""),
    "the new one is waited for": (surge(1), {"a": "o+ n-", "b": "o+"}, "", "", ""),
    "the old one goes when the new one is available": (surge(1), {"a": "o+ n+", "b": "o+"}, "", "b", "a/o+"),
    "an old one that is not ready goes at once": (surge(1), {"a": "o- n-", "b": "o+"}, "", "", "a/o-"),
    "those that are not ready get new ones at once": (surge(1), {"a": "o-", "b": "o-", "c": "o+"}, "", "a b c", ""),
    "an old one that is deleted makes room": (surge(1), {"a": "n-", "b": "o+ n-", "c": ""}, "", "c", ""),
    "too many of both kinds": (surge(1), {"a": "o+ o+ n- n-"}, "", "", "a/n- a/o+"),
    "behind a taint, while all are needed": (surge(1), {"a": "o+", "b": "n+", "c": "n-"}, "a", "", ""),
    "behind a taint, when enough are available": (surge(1), {"a": "o+", "b": "n+", "c": "n+"}, "a", "", "a/o+"),
    "behind a taint, not available": (surge(1), {"a": "o-", "b": "n-"}, "a", "", "a/o-"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_made_and_deleted(make, flat, name) -> None:
    spec, nodes, tainted, made, deleted = CASES[name]
    assert look(make, flat, daemon_set(make, **spec), nodes, tainted) == (made, deleted)


def test_a_pod_that_is_not_ready_for_long_enough_is_not_available(make, flat) -> None:
    owner = daemon_set(make, minReadySeconds=600, **surge(1))
    assert look(make, flat, owner, {"a": "o+ n+"}) == ("", "")
    assert look(make, flat, {**owner, "spec": {**owner["spec"], "minReadySeconds": 60}}, {"a": "o+ n+"}) == ("", "a/o+")


TERM = {"key": "type", "operator": "In", "values": ["gpu"]}


def affine(**term: Any) -> Object:
    required = {"nodeSelectorTerms": [term]}
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}}


@pytest.mark.parametrize(("spec", "labels", "node", "wanted"), [
    ({}, {}, {}, (True, True)),
    ({"nodeName": "n1"}, {}, {}, (True, True)),
    ({"nodeName": "elsewhere"}, {}, {}, (False, False)),
    ({"nodeSelector": {"type": "gpu"}}, {"type": "gpu"}, {}, (True, True)),
    ({"nodeSelector": {"type": "gpu"}}, {"type": "cpu"}, {}, (False, False)),
    ({"nodeSelector": {"type": "gpu"}, "nodeName": "n1"}, {"type": "gpu"}, {}, (True, True)),
    ({"nodeSelector": {"type": "gpu"}, "nodeName": "elsewhere"}, {"type": "gpu"}, {}, (False, False)),
    (affine(matchExpressions=[TERM]), {"type": "gpu"}, {}, (True, True)),
    (affine(matchExpressions=[TERM]), {"type": "cpu"}, {}, (False, False)),
    (affine(matchFields=[{"key": "metadata.name", "operator": "In", "values": ["n1"]}]), {}, {}, (True, True)),
    (affine(matchFields=[{"key": "metadata.name", "operator": "NotIn", "values": ["n1"]}]), {}, {}, (False, False)),
    ({}, {}, {"unschedulable": True, "taints": [
        {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]}, (True, True)),
    ({}, {}, {"taints": NO_SCHEDULE}, (False, True)),
    ({"tolerations": [{"key": "example.com/busy", "operator": "Exists"}]}, {}, {"taints": NO_SCHEDULE}, (True, True)),
    ({}, {}, {"taints": [{**NO_SCHEDULE[0], "effect": "NoExecute"}]}, (False, False)),
    ({}, {}, {"taints": [{**NO_SCHEDULE[0], "effect": "PreferNoSchedule"}]}, (True, True)),
    ({}, {}, {"taints": [{"key": "node.kubernetes.io/network-unavailable", "effect": "NoSchedule"}]}, (False, True)),
    ({"hostNetwork": True}, {}, {"taints": [
        {"key": "node.kubernetes.io/network-unavailable", "effect": "NoSchedule"}]}, (True, True)),
])
def test_where_a_pod_belongs(make, spec, labels, node, wanted) -> None:
    owner = daemon_set(make)
    owner["spec"]["template"]["spec"] |= spec
    found = make.node("n1", **node)
    found["metadata"]["labels"] = labels
    assert should_run(pod_spec_of(owner), found) == wanted


def test_a_toleration_for_a_time_becomes_one_for_ever(make) -> None:
    owner, not_ready = daemon_set(make), {"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}
    own = [
        {**not_ready, "operator": "Exists", "tolerationSeconds": 60}, {"key": "example.com/x", "operator": "Exists"},
        {**not_ready, "operator": "Equal", "value": "v"},
    ]
    owner["spec"]["template"]["spec"]["tolerations"] = own
    found = pod_spec_of(owner)["tolerations"]
    assert found[:2] == own[1:]
    assert [one for one in found if one["key"] == not_ready["key"] and one["operator"] == "Exists"] == [
        {**not_ready, "operator": "Exists"}]


def test_a_pod_with_the_templates_number_is_of_the_present_template(make, flat) -> None:
    owner = daemon_set(make)
    owner["metadata"]["annotations"] = {TEMPLATE_GENERATION: "3"}
    revision, _ = revision_and_hash(owner, make)
    pod = make.pod("adopted", owner, node="n1", ready=True, labels={"app": "web", GENERATION_LABEL: "3"})
    decided = plan(Observed(owner, (pod,), {"n1": make.node("n1")}, (revision,)), make.now)
    assert flat(decided) == []
    [update] = decided.finally_(Outcome())
    assert update.obj["status"]["updatedNumberScheduled"] == 1


def test_revisions_that_say_the_same_become_one(make, flat) -> None:
    owner = daemon_set(make)
    revision, digest = revision_and_hash(owner, make)
    labels = {"app": "web", HASH_LABEL: "double"}
    metadata = {**revision["metadata"], "name": "agent-double", "uid": "uid-double", "labels": labels}
    double = {**revision, "metadata": metadata, "revision": 1}
    pod = daemon_pod(make, owner, "n1", "double", ready=True)
    current = {**revision, "revision": 2}
    writes = flat(plan(Observed(owner, (pod,), {"n1": make.node("n1")}, (double, current)), make.now))
    patches = [(one.name, one.patch["metadata"]["labels"]) for one in writes if isinstance(one, Patch)]
    assert patches == [(name_of(pod), {HASH_LABEL: digest})]
    gone = [(one.resource, one.name) for one in writes if isinstance(one, Delete)]
    assert gone == [(CONTROLLER_REVISIONS, "agent-double")]


def test_revisions_that_pods_have_are_kept_and_count(make, flat) -> None:
    owner = daemon_set(make, revisionHistoryLimit=2, updateStrategy={"type": "OnDelete"})
    revision, _ = revision_and_hash(owner, make)
    old = [
        {**revision, "data": {"spec": {"template": {"number": n}}}, "revision": n, "metadata": {
            **revision["metadata"], "name": f"agent-{n}", "uid": f"uid-{n}",
            "labels": {"app": "web", HASH_LABEL: str(n)}}}
        for n in range(1, 5)
    ]
    current = {**revision, "revision": 9}
    pod = daemon_pod(make, owner, "n1", "1", ready=True)
    writes = flat(plan(Observed(owner, (pod,), {"n1": make.node("n1")}, (*old, current)), make.now))
    assert [one.name for one in writes if isinstance(one, Delete)] == ["agent-2", "agent-3"]
    assert labels_of(pod)[HASH_LABEL] == "1"


def test_a_set_that_selects_everything_is_told_and_does_nothing(make) -> None:
    decided = plan(Observed(daemon_set(make, selector={}), (make.pod("p"),), {"n1": make.node("n1")}), make.now)
    assert not decided.steps and [note.reason for note in decided.notes] == ["SelectingAll"]


def test_pods_that_wait_for_nodes_that_are_gone_are_deleted(make, flat) -> None:
    owner = daemon_set(make)
    revision, digest = revision_and_hash(owner, make)
    there, waiting = (daemon_pod(make, owner, "gone", digest) for _ in range(2))
    waiting["metadata"] |= {"name": "waiting", "uid": "uid-waiting"}
    waiting["spec"] = affine(matchFields=[{"key": "metadata.name", "operator": "In", "values": ["gone"]}])
    writes = flat(plan(Observed(owner, (there, waiting), {}, (revision,)), make.now))
    assert [one.name for one in writes] == ["waiting"], "the other is the pod garbage collector's"


@pytest.mark.parametrize(("tainted", "kinds", "numbers"), [
    # desired, current, misscheduled, ready, available, updated
    ("", {"a": "n+", "b": "n-", "c": ""}, (3, 2, 0, 1, 1, 2)),
    ("a", {"a": "n+", "b": "o+"}, (1, 1, 1, 1, 1, 0)),
    ("", {"a": "nfx"}, (1, 0, 0, 0, 0, 0)),
    ("", {"a": "o- n+"}, (1, 1, 0, 0, 0, 0)),
])
def test_what_the_status_counts(make, tainted, kinds, numbers) -> None:
    owner = daemon_set(make)
    revision, digest = revision_and_hash(owner, make)
    pods = []
    for node, text in kinds.items():
        for number, kind in enumerate(text.split()):
            pod = daemon_pod(
                make, owner, node, digest if kind[0] == "n" else "old", ready="+" in kind,
                phase="Failed" if "f" in kind else "Running", creationTimestamp=f"2026-01-02T03:00:0{number}Z",
                **({"deletionTimestamp": make.now_text} if "x" in kind else {}),
            )
            pods.append(pod)
    nodes = {name: make.node(name, taints=NO_SCHEDULE if name in tainted.split() else None) for name in kinds}
    [update] = plan(Observed(owner, tuple(pods), nodes, (revision,)), make.now).finally_(Outcome())
    names = ("desiredNumberScheduled", "currentNumberScheduled", "numberMisscheduled", "numberReady",
             "numberAvailable", "updatedNumberScheduled")
    assert tuple(update.obj["status"].get(name, 0) for name in names) == numbers
