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

from sampan.api.resources import CORE_EVENTS, PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS
from sampan.apimachinery.object import labels_of, name_of
from sampan.controllers.workloads.revision_history import HASH_LABEL
from sampan.controllers.workloads.statefulset import Observed, plan
from sampan.reconcile.plan import Update
from sampan.sim.cluster import SimCluster
from sampan.sim.loop import run


def test_the_first_pod_is_made_alone_with_its_name_and_its_claim(make, flat) -> None:
    claim = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}
    owner = stateful_set(make, volumeClaimTemplates=[claim])
    (first,) = flat(decided(owner, [], make))
    writes = [first, *first.then(first.obj)]
    assert writes[1:] == list(first.on_exists(first.obj)), "the claim may be there already"
    assert [name_of(write.obj) for write in writes] == ["data-web-0", "web-0"]
    pod = writes[1].obj
    assert pod["spec"]["hostname"] == "web-0" and pod["spec"]["subdomain"] == "web"
    assert pod["spec"]["volumes"] == [{"name": "data", "persistentVolumeClaim": {"claimName": "data-web-0"}}]
    assert labels_of(pod)["apps.kubernetes.io/pod-index"] == "0"
    assert labels_of(pod)[HASH_LABEL] == name_of(revisions(owner)[0])
    assert "ownerReferences" not in writes[0].obj["metadata"]
    assert writes[1].created.message == "create Pod web-0 in StatefulSet web successful"


def test_the_next_pod_waits_until_the_one_before_is_ready_and_available(make, flat) -> None:
    owner = stateful_set(make)
    assert created(flat(decided(owner, members(make, owner, 0, ready=False), make))) == []
    assert created(flat(decided(owner, members(make, owner, 0), make))) == ["web-1"]
    owner["spec"]["minReadySeconds"] = 60
    fresh = members(make, owner, 0, since="2026-01-02T03:04:00Z")
    waiting = decided(owner, fresh, make)
    assert created(flat(waiting)) == [] and waiting.requeue_after_s == 55.0


def test_parallel_makes_all_at_once_and_ordinals_may_start_anywhere(make, flat) -> None:
    owner = stateful_set(make, podManagementPolicy="Parallel", ordinals={"start": 5})
    assert created(flat(decided(owner, [], make))) == ["web-5", "web-6", "web-7"]


def test_scaling_down_takes_the_highest_one_at_a_time(make, flat) -> None:
    owner = stateful_set(make, replicas=1)
    pods = members(make, owner, 0, 1, 2)
    assert deleted(flat(decided(owner, pods, make))) == ["web-2"]
    pods[2]["metadata"]["deletionTimestamp"] = make.now_text
    assert deleted(flat(decided(owner, pods, make))) == []
    owner["spec"]["podManagementPolicy"] = "Parallel"
    assert deleted(flat(decided(owner, members(make, owner, 0, 1, 2), make))) == ["web-2", "web-1"]
    writes = flat(decided(owner, members(make, owner, 1, 2), make))
    assert (created(writes), deleted(writes)) == (["web-0"], ["web-2", "web-1"])


def test_a_failed_pod_is_deleted_and_made_again_only_when_it_is_gone(make, flat) -> None:
    owner = stateful_set(make)
    pods = members(make, owner, 0) + members(make, owner, 1, phase="Failed")
    going = decided(owner, pods, make)
    assert deleted(flat(going)) == ["web-1"] and created(flat(going)) == []
    assert [note.reason for note in going.notes] == ["RecreatingFailedPod"]
    assert created(flat(decided(owner, pods[:1], make))) == ["web-1"]


def test_a_rolling_update_goes_from_the_highest_down_to_the_partition(make) -> None:
    owner = stateful_set(make)
    old = members(make, owner, 0, 1, 2, revision="web-old")
    assert rolled(make, owner, old) == ["web-2"]
    half = members(make, owner, 0, 1, revision="web-old") + members(make, owner, 2)
    assert rolled(make, owner, half) == ["web-1"]
    owner["spec"]["updateStrategy"]["rollingUpdate"]["partition"] = 2
    assert rolled(make, owner, half) == []
    owner["spec"]["updateStrategy"] = {"type": "OnDelete"}
    assert rolled(make, owner, old) == []


def test_max_unavailable_lets_several_go_at_once_and_counts_those_that_are_down(make) -> None:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"partition": 0, "maxUnavailable": 2}}
    owner = stateful_set(make, replicas=4, updateStrategy=rolling, podManagementPolicy="Parallel")
    old = members(make, owner, 0, 1, 2, 3, revision="web-old")
    assert rolled(make, owner, old) == ["web-3", "web-2"]
    down = members(make, owner, 0, 1, 2, revision="web-old") + members(make, owner, 3, ready=False)
    assert rolled(make, owner, down) == ["web-2"]
    broken = members(make, owner, 0, 1, ready=False, revision="web-old") + members(make, owner, 2, 3)
    assert rolled(make, owner, broken) == ["web-1", "web-0"]


@pytest.mark.parametrize(("value", "replicas", "deleted"), [
    (None, 5, 1), (3, 5, 3), ("10%", 5, 1), ("25%", 10, 2), ("35%", 10, 3), ("100%", 4, 4),
])
def test_max_unavailable_in_percent_is_rounded_down_but_is_at_least_one(make, value, replicas, deleted) -> None:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"partition": 0, "maxUnavailable": value}}
    if value is None:
        del rolling["rollingUpdate"]["maxUnavailable"]
    owner = stateful_set(make, replicas=replicas, updateStrategy=rolling)
    assert len(rolled(make, owner, members(make, owner, *range(replicas), revision="web-old"))) == deleted


def test_in_parallel_missing_and_surplus_pods_do_not_stop_an_update_but_count_as_unavailable(make, flat) -> None:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"partition": 0, "maxUnavailable": 2}}
    owner = stateful_set(make, replicas=4, updateStrategy=rolling, podManagementPolicy="Parallel")
    old = members(make, owner, 1, 2, 3, 4, revision="web-old")
    writes = flat(decided(owner, old, make))
    assert created(writes) == ["web-0"] and deleted(writes) == ["web-4", "web-3"]
    failed = members(make, owner, 0, 1, phase="Failed", revision="web-old")
    writes = flat(decided(owner, [*failed, *members(make, owner, 2, 3, revision="web-old")], make))
    assert deleted(writes) == ["web-0", "web-1"]


def test_an_update_is_through_only_with_all_the_pods_that_are_wanted(make) -> None:
    owner = stateful_set(make, replicas=3)
    [before] = revisions(stateful_set(make, template=make.template("web:0")))
    owner["status"] = {"currentRevision": name_of(before)}
    known = (before, *revisions(owner))
    [update] = decided(owner, members(make, owner, 0, 1), make, known=known).finally_(None)
    assert update.obj["status"]["currentRevision"] == name_of(before)
    [update] = decided(owner, members(make, owner, 0, 1, 2), make, known=known).finally_(None)
    assert update.obj["status"]["currentRevision"] == name_of(revisions(owner)[0])


def test_a_pod_below_the_partition_comes_back_in_its_old_revision(make, flat) -> None:
    owner = stateful_set(make)
    [before] = revisions(owner)
    owner["spec"]["template"] = make.template("web:2")
    owner["spec"]["updateStrategy"]["rollingUpdate"]["partition"] = 1
    owner["status"] = {"currentRevision": name_of(before)}
    writes = flat(plan(Observed(owner, (), {}, (before,)), make.now))
    [pod] = [write.obj for write in writes if write.resource == PODS]
    assert pod["spec"]["containers"][0]["image"] == "web:1"
    assert labels_of(pod)[HASH_LABEL] == name_of(before)


def test_claims_follow_the_retention_policy(make, flat) -> None:
    claim = {"metadata": {"name": "data"}, "spec": {}}
    policy = {"whenScaled": "Delete", "whenDeleted": "Delete"}
    owner = stateful_set(
        make, replicas=1, volumeClaimTemplates=[claim], persistentVolumeClaimRetentionPolicy=policy
    )
    claims = {f"data-web-{n}": {"metadata": make.meta(f"data-web-{n}")} for n in range(2)}
    writes = flat(decided(owner, members(make, owner, 0, 1), make, claims))
    owners = {
        name_of(write.obj): write.obj["metadata"]["ownerReferences"][0]["kind"]
        for write in writes if isinstance(write, Update)
    }
    assert owners == {"data-web-0": "StatefulSet", "data-web-1": "Pod"}
    policy |= {"whenScaled": "Retain", "whenDeleted": "Retain"}
    writes = flat(decided(owner, members(make, owner, 0, 1), make, claims))
    assert not [write for write in writes if isinstance(write, Update)]


def test_the_status_counts_and_the_update_becomes_current_when_it_is_through(make) -> None:
    owner = stateful_set(make)
    owner["status"] = {"currentRevision": "web-gone"}
    pods = members(make, owner, 0, 1, 2)
    [update] = decided(owner, pods, make).finally_(None)
    new = name_of(revisions(owner)[0])
    assert update.obj["status"] == {
        "observedGeneration": 1, "replicas": 3, "readyReplicas": 3, "currentReplicas": 3, "updatedReplicas": 3,
        "currentRevision": new, "updateRevision": new, "collisionCount": 0, "availableReplicas": 3,
    }
    owner["status"] = update.obj["status"]
    assert decided(owner, pods, make).finally_(None) == ()
    owner["status"]["conditions"] = [{"type": "FromAnother", "status": "True"}]
    assert decided(owner, pods, make).finally_(None) == ()
    assert plan(Observed(owner, tuple(pods), {}, revisions(owner)), make.now + timedelta(days=1)).steps == ()


def test_on_a_cluster_it_grows_rolls_and_shrinks_in_order() -> None:
    async def scenario() -> None:
        async with SimCluster(5, 4) as cluster:
            labels = {"app": "db"}
            template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "db:1"}]}}
            await cluster.client.create(STATEFUL_SETS, {
                "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db", "namespace": "default"},
                "spec": {
                    "replicas": 3, "selector": {"matchLabels": labels}, "serviceName": "db", "template": template,
                },
            })

            async def through(image: str, ready: int) -> bool:
                found = await cluster.client.get(STATEFUL_SETS, "db", "default")
                status = found["status"]
                pods = (await cluster.client.list(PODS, "default"))["items"]
                images = [pod["spec"]["containers"][0]["image"] for pod in pods]
                return status.get("readyReplicas", 0) == ready == status["replicas"] and images == [image] * ready

            await cluster.until(lambda: through("db:1", 3))
            change = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "db:2"}]}}}}
            await cluster.client.patch(STATEFUL_SETS, "db", change, "default", type="strategic")
            await cluster.until(lambda: through("db:2", 3))
            status = (await cluster.client.get(STATEFUL_SETS, "db", "default"))["status"]
            assert status["currentRevision"] == status["updateRevision"] and status["currentReplicas"] == 3
            await cluster.client.patch(STATEFUL_SETS, "db", {"spec": {"replicas": 1}}, "default")
            await cluster.until(lambda: through("db:2", 1))
            assert not (await cluster.client.list(PERSISTENT_VOLUME_CLAIMS, "default"))["items"]
            events = (await cluster.client.list(CORE_EVENTS, "default"))["items"]
            told = {one["message"] for one in events if one["involvedObject"]["kind"] == "StatefulSet"}
            assert {f"create Pod db-{n} in StatefulSet db successful" for n in range(3)} <= told
            assert "delete Pod db-2 in StatefulSet db successful" in told

    run(scenario())
