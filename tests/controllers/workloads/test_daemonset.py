from __future__ import annotations

from dataclasses import replace

from sampan.api.resources import CORE_EVENTS, DAEMON_SETS, NODES, PODS
from sampan.apimachinery.object import Object, name_of
from sampan.controllers.workloads.daemonset import Observed, plan
from sampan.controllers.workloads.daemonset_patience import Patience
from sampan.controllers.workloads.daemonset_pods import pod_spec_of, should_run, target_node
from sampan.controllers.workloads.revision_history import HASH_LABEL
from sampan.reconcile.plan import Create, Delete, End, Outcome, Verify
from sampan.sim.cluster import SimCluster
from sampan.sim.loop import run


def daemon_set(make, **spec) -> Object:
    defaults = {"selector": {"matchLabels": {"app": "web"}}, "template": make.template()}
    return {
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": make.meta("agent"), "spec": {**defaults, **spec},
        "status": {},
    }


def nodes(make, *names: str) -> dict[str, Object]:
    return {name: make.node(name) for name in names}


def revision_and_hash(owner: Object, make) -> tuple[Object, str]:
    """The current revision of `owner`, as it would be stored."""
    [create] = [step for step in plan(Observed(owner, (), {}), make.now).steps if isinstance(step, Create)]
    stored = {**create.obj, "metadata": {**create.obj["metadata"], "uid": f"uid-{name_of(create.obj)}"}}
    return stored, stored["metadata"]["labels"][HASH_LABEL]


def daemon_pod(make, owner: Object, node: str, digest: str, **fields) -> Object:
    return make.pod(f"agent-{node}-{digest}", owner, node=node, labels={"app": "web", HASH_LABEL: digest}, **fields)


def test_every_fitting_node_gets_a_pod_made_for_it(make, flat) -> None:
    owner = daemon_set(make)
    creations = [
        write for write in flat(plan(Observed(owner, (), nodes(make, "n1", "n2")), make.now))
        if isinstance(write, Create) and write.resource == PODS
    ]
    assert [target_node(write.obj) for write in creations] == ["n1", "n2"]
    metadata = creations[0].obj["metadata"]
    assert metadata["generateName"] == "agent-"
    assert metadata["labels"].keys() == {"app", HASH_LABEL, "pod-template-generation"}


def test_selectors_and_taints_decide_where_it_runs(make) -> None:
    spec = pod_spec_of(daemon_set(make))
    tainted = {"key": "example.com/x", "effect": "NoSchedule"}
    assert should_run(spec, make.node()) == (True, True)
    assert should_run(spec, make.node(taints=[tainted])) == (False, True)
    assert should_run(spec, make.node(taints=[{**tainted, "effect": "NoExecute"}])) == (False, False)
    assert should_run({**spec, "nodeSelector": {"disk": "ssd"}}, make.node()) == (False, False)


def test_troubled_nodes_are_tolerated(make) -> None:
    spec = pod_spec_of(daemon_set(make))
    for key, effect in (
        ("not-ready", "NoExecute"), ("unreachable", "NoExecute"), ("unschedulable", "NoSchedule"),
        ("disk-pressure", "NoSchedule"), ("memory-pressure", "NoSchedule"), ("pid-pressure", "NoSchedule"),
    ):
        taint = {"key": f"node.kubernetes.io/{key}", "effect": effect}
        assert should_run(spec, make.node(taints=[taint])) == (True, True)


def test_a_failed_pod_is_replaced_and_told(make, flat) -> None:
    owner = daemon_set(make)
    revision, digest = revision_and_hash(owner, make)
    failed = daemon_pod(make, owner, "n1", digest, phase="Failed")
    decided = plan(Observed(owner, (failed,), nodes(make, "n1"), (revision,)), make.now)
    [delete] = flat(decided)
    assert isinstance(delete, Delete) and delete.name == name_of(failed)
    assert [note.reason for note in decided.notes] == ["FailedDaemonPod"]


def test_a_node_that_fits_no_longer_loses_its_pod(make, flat) -> None:
    owner = daemon_set(make)
    revision, digest = revision_and_hash(owner, make)
    pod = daemon_pod(make, owner, "n1", digest, ready=True)
    owner["spec"]["template"]["spec"]["nodeSelector"] = {"disk": "ssd"}
    writes = flat(plan(Observed(owner, (pod,), nodes(make, "n1"), (revision,)), make.now))
    assert [write.name for write in writes if isinstance(write, Delete)] == [name_of(pod)]


def test_a_rolling_update_replaces_one_available_pod_at_a_time_and_broken_ones_at_once(make, flat) -> None:
    owner = daemon_set(make)
    pods = tuple(daemon_pod(make, owner, f"n{n}", "old", ready=True) for n in range(3))
    broken = daemon_pod(make, owner, "n3", "old")
    revision, _ = revision_and_hash(owner, make)
    observed = Observed(owner, pods, nodes(make, "n0", "n1", "n2"), (revision,))
    assert [write.name for write in flat(plan(observed, make.now))] == ["agent-n0-old"]
    observed = Observed(owner, (*pods, broken), nodes(make, "n0", "n1", "n2", "n3"), (revision,))
    assert [write.name for write in flat(plan(observed, make.now))] == ["agent-n3-old"]
    owner["spec"]["updateStrategy"] = {"type": "OnDelete"}
    assert flat(plan(observed, make.now)) == []


def test_with_surge_the_new_pod_comes_first(make, flat) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    owner = daemon_set(make, updateStrategy=strategy)
    revision, digest = revision_and_hash(owner, make)
    old = tuple(daemon_pod(make, owner, name, "old", ready=True) for name in ("n1", "n2"))
    [create] = flat(plan(Observed(owner, old, nodes(make, "n1", "n2"), (revision,)), make.now))
    assert target_node(create.obj) == "n1"
    starting = daemon_pod(make, owner, "n1", digest)
    assert flat(plan(Observed(owner, (*old, starting), nodes(make, "n1", "n2"), (revision,)), make.now)) == []
    ready = daemon_pod(make, owner, "n1", digest, ready=True)
    writes = flat(plan(Observed(owner, (*old, ready), nodes(make, "n1", "n2"), (revision,)), make.now))
    assert [write.name for write in writes if isinstance(write, Delete)] == ["agent-n1-old"]


def test_the_status_counts_nodes(make) -> None:
    owner = daemon_set(make)
    revision, digest = revision_and_hash(owner, make)
    pods = (daemon_pod(make, owner, "n1", digest, ready=True), daemon_pod(make, owner, "n2", "old"))
    [update] = plan(Observed(owner, pods, nodes(make, "n1", "n2", "n3"), (revision,)), make.now).finally_(Outcome())
    assert update.obj["status"] == {
        "currentNumberScheduled": 2, "numberMisscheduled": 0, "desiredNumberScheduled": 3, "numberReady": 1,
        "observedGeneration": 1, "updatedNumberScheduled": 1, "numberAvailable": 1, "numberUnavailable": 2,
    }


def test_a_node_counts_as_updated_only_when_its_old_pod_is_gone(make) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    owner = daemon_set(make, updateStrategy=strategy)
    revision, digest = revision_and_hash(owner, make)
    old = daemon_pod(make, owner, "n1", "old", ready=True)
    new = daemon_pod(make, owner, "n1", digest, ready=True, creationTimestamp="2026-01-02T03:01:00Z")
    waiting = daemon_pod(make, owner, "n1", digest, ready=True, creationTimestamp="2026-01-01T00:00:00Z")
    waiting["spec"] = {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}]}}}}
    for pods, updated in (((old, new), None), ((old, waiting), None), ((new,), 1)):
        [update] = plan(Observed(owner, pods, nodes(make, "n1"), (revision,)), make.now).finally_(Outcome())
        assert update.obj["status"].get("updatedNumberScheduled") == updated
        assert update.obj["status"]["numberReady"] == 1


def test_it_follows_the_nodes_of_a_cluster_and_rolls() -> None:
    def image(name: str) -> Object:
        return {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": name}]}}}}

    async def scenario() -> None:
        async with SimCluster(5, 4) as cluster:
            labels = {"app": "agent"}
            template = {"metadata": {"labels": labels}, **image("agent:1")["spec"]["template"]}
            await cluster.client.create(DAEMON_SETS, {
                "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent", "namespace": "default"},
                "spec": {"selector": {"matchLabels": labels}, "template": template},
            })

            async def everywhere(wanted: str, count: int) -> bool:
                status = (await cluster.client.get(DAEMON_SETS, "agent", "default")).get("status") or {}
                pods = (await cluster.client.list(PODS, "default"))["items"]
                images = {pod["spec"]["containers"][0]["image"] for pod in pods}
                placed = {pod["spec"].get("nodeName") for pod in pods}
                return images == {wanted} and len(placed) == len(pods) == count == status.get("numberAvailable")

            await cluster.until(lambda: everywhere("agent:1", 4))
            await cluster.client.patch(DAEMON_SETS, "agent", image("agent:2"), "default", type="strategic")
            await cluster.until(lambda: everywhere("agent:2", 4))
            [first, *_] = (await cluster.client.list(NODES))["items"]
            cluster.fleet.stop_node(name_of(first))
            await cluster.client.delete(NODES, name_of(first))
            await cluster.until(lambda: everywhere("agent:2", 3))
            events = (await cluster.client.list(CORE_EVENTS, "default"))["items"]
            assert {"SuccessfulCreate", "SuccessfulDelete"} <= {event["reason"] for event in events}

    run(scenario())


def test_pods_that_keep_failing_are_replaced_later_and_later(make, flat) -> None:
    owner = daemon_set(make)
    stored, digest = revision_and_hash(owner, make)
    failed = daemon_pod(make, owner, "n1", digest, phase="Failed")
    observed = Observed(owner, (failed,), nodes(make, "n1"), (stored,))
    assert [write.name for write in flat(plan(observed, make.now))] == [name_of(failed)]
    waiting = replace(observed, waits={"n1": 4.0})
    assert not flat(plan(waiting, make.now)) and plan(waiting, make.now).requeue_after_s == 4.0


def test_the_delay_doubles_for_each_node_alone_and_is_forgotten_in_the_end() -> None:
    patience = Patience()
    assert patience.waits("ns/agent", "1", {"n1"}, 0.0) == {}
    assert patience.waits("ns/agent", "1", {"n1", "n2"}, 0.25) == {"n1": 0.75}
    assert patience.waits("ns/agent", "1", {"n1"}, 1.0) == {}
    assert patience.waits("ns/agent", "1", {"n1"}, 1.5) == {"n1": 1.5}
    now = 3.0
    for _ in range(12):
        assert patience.waits("ns/agent", "1", {"n1"}, now) == {}
        now += patience.waits("ns/agent", "1", {"n1"}, now)["n1"]
    assert patience.waits("ns/agent", "1", {"n1"}, now) == {}
    assert patience.waits("ns/agent", "1", {"n1"}, now)["n1"] == 900.0
    assert patience.waits("ns/agent", "1", {"n1"}, now + 2800.0) == {}
    assert patience.waits("ns/agent", "1", {"n1"}, now + 2800.5) == {"n1": 0.5}
    assert patience.waits("ns/agent", "2", {"n1"}, now + 2800.5) == {}, "the set has changed"


def test_with_surge_the_old_pod_goes_when_it_is_not_ready_or_the_new_one_is_available(make, flat) -> None:
    rolling = {"maxSurge": 1, "maxUnavailable": 0}
    owner = daemon_set(make, updateStrategy={"type": "RollingUpdate", "rollingUpdate": rolling})
    stored, digest = revision_and_hash(owner, make)

    def deleted(*pods: Object) -> list[str]:
        decided = plan(Observed(owner, pods, nodes(make, "n1"), (stored,)), make.now)
        return [write.name for write in flat(decided) if isinstance(write, Delete)]

    new, ready_new = (daemon_pod(make, owner, "n1", digest, ready=ready) for ready in (False, True))
    old, ready_old = (daemon_pod(make, owner, "n1", "old", ready=ready) for ready in (False, True))
    assert deleted(ready_old, new) == []
    assert deleted(old, new) == ["agent-n1-old"]
    assert deleted(ready_old, ready_new) == ["agent-n1-old"]


def test_revisions_of_an_orphaned_set_are_adopted_and_go_on(make, flat) -> None:
    owner = daemon_set(make)
    stored, digest = revision_and_hash(owner, make)
    orphan = {**stored, "metadata": {k: v for k, v in stored["metadata"].items() if k != "ownerReferences"}}
    pod = daemon_pod(make, owner, "n1", digest, ready=True)
    verify, adopt = flat(plan(Observed(owner, (pod,), nodes(make, "n1"), (orphan,)), make.now))
    assert isinstance(verify, Verify) and adopt.name == name_of(stored)


def test_a_revision_name_that_another_has_raises_the_collision_count(make, flat) -> None:
    owner = daemon_set(make)
    [create] = [one for one in flat(plan(Observed(owner, (), {}), make.now)) if isinstance(one, Create)]
    update, _ = create.on_exists({**create.obj, "data": {}})
    assert update.obj["status"]["collisionCount"] == 1
    assert create.on_exists(create.obj) == (End(),)


def test_no_new_pod_comes_beside_two_old_ones(make, flat) -> None:
    """A template that changes again during a surge: the node is cleaned first, and counts as one that surges."""
    surge = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    owner = daemon_set(make, updateStrategy=surge)
    revision, digest = revision_and_hash(owner, make)
    pods = [
        daemon_pod(make, owner, node, old, ready=True, since="2026-01-02T03:00:00Z")
        for node in ("n1", "n2") for old in ("first", "second") if (node, old) != ("n2", "second")
    ]
    assert digest not in ("first", "second")
    writes = flat(plan(Observed(owner, tuple(pods), nodes(make, "n1", "n2"), (revision,)), make.now))
    assert not [one for one in writes if isinstance(one, Create) and one.resource == PODS]
    assert [one.name for one in writes if isinstance(one, Delete)] == ["agent-n1-second"]
