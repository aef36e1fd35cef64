from __future__ import annotations

from datetime import timedelta

import pytest
from tests.controllers.jobs import jobs
from tests.controllers.lab import Lab, on_a_cluster

from sampan.api.resources import CORE_EVENTS, JOBS, PODS
from sampan.apimachinery.object import Object
from sampan.controllers.jobs.job import is_of_former, plan
from sampan.controllers.jobs.job_pods import INDEX, TRACKING, compressed_indexes, expanded_indexes
from sampan.reconcile.plan import Create, Delete, Patch, Update
from sampan.sim.cluster import SimCluster
from sampan.sim.loop import run
from sampan.sim.stages import RUN_SECONDS


def job(make, **spec) -> Object:
    return jobs.job(make, **{"completions": 3, **spec})


def job_pod(make, owner: Object, name: str, phase: str = "Running", index: int | None = None, **metadata) -> Object:
    annotations = {INDEX: str(index)} if index is not None else {}
    metadata |= {"finalizers": [TRACKING], "annotations": annotations}
    return make.pod(name, owner, phase=phase, since="2026-01-02T03:04:00Z", **metadata)


def of(kind: type, writes: list) -> list:
    return [write for write in writes if isinstance(write, kind)]


def status_in(writes: list) -> Object:
    [update] = [write for write in of(Update, writes) if write.obj["kind"] == "Job"]
    return update.obj["status"]


def conditions_of(status: Object) -> dict[str, str]:
    return {one["type"]: one["reason"] for one in status.get("conditions") or ()}


def test_pods_are_created_with_a_finalizer_up_to_the_parallelism(make, flat) -> None:
    creations = of(Create, flat(plan(job(make), [], make.now)))
    assert len(creations) == 2
    assert creations[0].obj["metadata"]["finalizers"] == [TRACKING]
    assert creations[0].obj["metadata"]["generateName"] == "work-"


def test_no_more_pods_than_completions_are_left(make, flat) -> None:
    owner = job(make)
    owner["status"] = {"succeeded": 2}
    assert len(of(Create, flat(plan(owner, [], make.now)))) == 1


def test_a_finished_pod_is_recorded_then_released_then_counted(make, flat) -> None:
    owner = job(make)
    pods = [job_pod(make, owner, "a", "Succeeded"), job_pod(make, owner, "b")]
    writes = flat(plan(owner, pods, make.now))
    status = status_in(writes)
    assert status["uncountedTerminatedPods"] == {"succeeded": ["uid-a"]} and "succeeded" not in status
    [release] = of(Patch, writes)
    assert (release.name, release.patch["metadata"]["$deleteFromPrimitiveList/finalizers"]) == ("a", [TRACKING])
    assert writes.index(release) > writes.index(of(Update, writes)[0])
    owner["status"] = status
    del pods[0]["metadata"]["finalizers"]
    status = status_in(flat(plan(owner, pods, make.now)))
    assert status["succeeded"] == 1 and status["uncountedTerminatedPods"] == {}
    owner["status"] = status
    assert "succeeded" not in (of(Update, flat(plan(owner, pods, make.now))) or [{}])[0]


def test_new_pods_come_last_since_they_may_be_refused(make, flat) -> None:
    owner = job(make, completions=3, parallelism=2)
    pods = [job_pod(make, owner, "done", "Succeeded"), job_pod(make, owner, "lost", "Failed")]
    writes = [type(one) for one in flat(plan(owner, pods, make.now + timedelta(hours=1)))]
    assert Create in writes and Patch in writes
    assert writes.index(Create) > max(n for n, kind in enumerate(writes) if kind in (Update, Patch))


def test_it_is_complete_when_everything_is_counted(make, flat) -> None:
    owner = job(make)
    owner["status"] = {"succeeded": 3, "startTime": make.now_text}
    decided = plan(owner, [], make.now)
    status = status_in(flat(decided))
    assert conditions_of(status) == {"SuccessCriteriaMet": "CompletionsReached", "Complete": "CompletionsReached"}
    assert status["completionTime"] == make.now_text
    assert [write.done.reason for write in of(Update, flat(decided))] == ["Completed"]


def test_a_failure_delays_the_next_pod_longer_each_time(make, flat) -> None:
    owner = job(make, parallelism=1)
    failed = job_pod(make, owner, "a", "Failed")
    now = make.now - timedelta(seconds=3)
    decided = plan(owner, [failed], now)
    assert not of(Create, flat(decided)) and decided.requeue_after_s == 8.0
    owner["status"] = {"failed": 2}
    assert plan(owner, [failed], now).requeue_after_s == 38.0
    assert of(Create, flat(plan(owner, [failed], now + timedelta(seconds=60))))


def test_beyond_the_backoff_limit_it_fails_and_ends_its_pods(make, flat) -> None:
    owner = job(make, backoffLimit=0)
    pods = [job_pod(make, owner, "a", "Failed"), job_pod(make, owner, "b")]
    writes = flat(plan(owner, pods, make.now))
    assert [write.name for write in of(Delete, writes)] == ["b"]
    status = status_in(writes)
    assert conditions_of(status) == {"FailureTarget": "BackoffLimitExceeded"}
    owner["status"] = {**status, "failed": 2, "uncountedTerminatedPods": {}}
    decided = plan(owner, [], make.now)
    assert conditions_of(status_in(flat(decided)))["Failed"] == "BackoffLimitExceeded"
    [update] = of(Update, flat(decided))
    assert update.done.message == "Job has reached the specified backoff limit"


def test_the_deadline_is_kept_and_looked_at_in_time(make, flat) -> None:
    owner = job(make, activeDeadlineSeconds=30)
    owner["status"] = {"startTime": "2026-01-02T03:04:00Z"}
    assert plan(owner, [], make.now).requeue_after_s == 25.0
    status = status_in(flat(plan(owner, [], make.now + timedelta(seconds=26))))
    assert conditions_of(status)["Failed"] == "DeadlineExceeded"


def test_a_suspended_job_has_no_pods_and_can_be_resumed(make, flat) -> None:
    owner = job(make, suspend=True)
    decided = plan(owner, [job_pod(make, owner, "a")], make.now)
    assert [write.name for write in of(Delete, flat(decided))] == ["a"]
    status = status_in(flat(decided))
    assert conditions_of(status) == {"Suspended": "JobSuspended"} and "startTime" not in status
    owner["status"], owner["spec"]["suspend"] = status, False
    decided = plan(owner, [], make.now)
    assert [note.message for note in decided.notes] == ["Job resumed"]
    assert len(of(Create, flat(decided))) == 2


def test_each_index_has_one_pod_that_knows_it(make, flat) -> None:
    owner = job(make, completionMode="Indexed", completions=4, parallelism=3)
    pods = [job_pod(make, owner, "a", "Succeeded", 0), job_pod(make, owner, "b", index=2)]
    writes = flat(plan(owner, pods, make.now))
    creations = of(Create, writes)
    assert [create.obj["metadata"]["annotations"][INDEX] for create in creations] == ["1", "3"]
    assert creations[0].obj["spec"]["hostname"] == "work-1"
    [variable] = creations[0].obj["spec"]["containers"][0]["env"]
    assert variable["name"] == "JOB_COMPLETION_INDEX"
    assert variable["valueFrom"] == {"fieldRef": {"fieldPath": f"metadata.labels['{INDEX}']"}}
    assert status_in(writes)["completedIndexes"] == "0"


@pytest.mark.parametrize(("indexes", "text"), [([], ""), ([1], "1"), ([0, 1, 2, 4, 6, 7], "0-2,4,6,7")])
def test_indexes_are_written_in_runs(indexes, text) -> None:
    assert compressed_indexes(indexes) == text
    assert expanded_indexes(text) == indexes


def test_parts_that_are_no_indexes_are_left_out() -> None:
    assert expanded_indexes("0-1,x,3-y,-,7") == [0, 1, 7]


def test_the_name_of_an_index_is_short_enough_and_its_host_name_is_its_own(make, flat) -> None:
    owner = job(make, completionMode="Indexed", completions=12, parallelism=12)
    owner["metadata"]["name"] = "n" * 60
    owner["spec"]["template"]["spec"]["hostname"] = "of-the-template"
    last = of(Create, flat(plan(owner, [], make.now)))[-1].obj
    assert last["metadata"]["generateName"] == "n" * 54 + "-11-"
    assert last["spec"]["hostname"] == "n" * 60 + "-11"


def test_a_job_of_many_completions_runs_to_its_end_on_a_cluster() -> None:
    async def scenario() -> None:
        async with SimCluster(3, 4) as cluster:
            template = {
                "metadata": {"annotations": {RUN_SECONDS: "20"}},
                "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "work:1"}]},
            }
            await cluster.client.create(JOBS, {
                "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "work", "namespace": "default"},
                "spec": {"completions": 20, "parallelism": 5, "completionMode": "Indexed", "template": template},
            })
            most = 0

            async def over() -> bool:
                nonlocal most
                status = (await cluster.client.get(JOBS, "work", "default")).get("status") or {}
                most = max(most, status.get("active", 0))
                return "Complete" in conditions_of(status)

            await cluster.until(over)
            status = (await cluster.client.get(JOBS, "work", "default"))["status"]
            assert (status["succeeded"], status["completedIndexes"], most) == (20, "0-19", 5)
            assert "failed" not in status
            pods = (await cluster.client.list(PODS, "default"))["items"]
            assert not [pod for pod in pods if pod["metadata"].get("finalizers")]
            events = (await cluster.client.list(CORE_EVENTS, "default"))["items"]
            assert "Job completed" in [event["message"] for event in events]
            await cluster.client.delete(JOBS, "work", "default", propagation="Background")

            async def empty() -> bool:
                return not (await cluster.client.list(PODS, "default"))["items"]

            await cluster.until(empty)

    run(scenario())


def test_an_orphan_is_adopted_with_the_finalizer_and_a_stranger_let_go_without(make, flat) -> None:
    owner = job(make)
    orphan = make.pod("orphan")
    stranger = job_pod(make, owner, "stranger", labels={"app": "debug"})
    adopt, release = of(Patch, flat(plan(owner, [orphan, stranger], make.now)))
    assert adopt.patch["metadata"]["finalizers"] == [TRACKING]
    assert release.patch["metadata"]["$deleteFromPrimitiveList/finalizers"] == [TRACKING]


def test_successes_of_indexes_need_no_list_and_follow_a_smaller_number_of_completions(make, flat) -> None:
    owner = job(make, completionMode="Indexed")
    pods = [job_pod(make, owner, f"p{index}", "Succeeded", index) for index in (0, 2)]
    writes = flat(plan(owner, pods, make.now))
    status = status_in(writes)
    assert (status["succeeded"], status["completedIndexes"], status["uncountedTerminatedPods"]) == (2, "0,2", {})
    assert [patch.name for patch in of(Patch, writes)] == ["p0", "p2"]
    owner["spec"] |= {"completions": 2, "parallelism": 2}
    owner["status"] = status
    assert status_in(flat(plan(owner, [], make.now)))["succeeded"] == 1


def test_pods_without_an_index_of_their_own_go_first(make, flat) -> None:
    owner = job(make, completionMode="Indexed", completions=2, parallelism=2)
    pods = [
        job_pod(make, owner, "zero", index=0), job_pod(make, owner, "beyond", index=3),
        job_pod(make, owner, "one", index=1), job_pod(make, owner, "nameless"),
    ]
    assert sorted(one.name for one in of(Delete, flat(plan(owner, pods, make.now)))) == ["beyond", "nameless"]


def test_restarts_in_place_count_those_of_init_containers_too(make, flat) -> None:
    owner = job(make, backoffLimit=3)
    owner["spec"]["template"]["spec"]["restartPolicy"] = "OnFailure"
    pod = job_pod(make, owner, "a")
    pod["status"] |= {"containerStatuses": [{"restartCount": 1}], "initContainerStatuses": [{"restartCount": 1}]}
    assert not of(Delete, flat(plan(owner, [pod], make.now)))
    pod["status"]["initContainerStatuses"] = [{"restartCount": 2}]
    assert [one.name for one in of(Delete, flat(plan(owner, [pod], make.now)))] == ["a"]


def test_failed_pods_count_also_where_containers_are_restarted_in_place(make, flat) -> None:
    owner = job(make, backoffLimit=1)
    owner["spec"]["template"]["spec"]["restartPolicy"] = "OnFailure"
    evicted = [job_pod(make, owner, name, phase="Failed") for name in ("a", "b")]
    writes = flat(plan(owner, evicted, make.now))
    [update] = of(Update, writes)
    assert [one["reason"] for one in update.obj["status"]["conditions"]] == ["BackoffLimitExceeded"]


def test_pods_of_a_former_job_of_the_name_are_known_by_their_age_or_end(make) -> None:
    present = job(make)
    meta = present["metadata"]
    meta["creationTimestamp"] = "2026-01-01T00:10:00Z"
    former = {**present, "metadata": {**meta, "uid": "former"}}

    def pod(owner: Object, created: str, **metadata) -> Object:
        found = job_pod(make, owner, "a")
        found["metadata"] |= {"creationTimestamp": created, **metadata}
        return found

    assert is_of_former(pod(former, "2026-01-01T00:09:59Z"), present)
    assert is_of_former(pod(former, "2026-01-01T00:11:00Z", deletionTimestamp="2026-01-01T00:12:00Z"), present)
    assert not is_of_former(pod(former, "2026-01-01T00:11:00Z"), present), "our copy of the Job may be old"
    assert not is_of_former(pod(present, "2026-01-01T00:09:59Z"), present)


def with_the_finalizer(name: str, **metadata) -> Object:
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "finalizers": [TRACKING], **metadata},
        "spec": {"containers": [{"name": "main", "image": "web:1"}]},
    }


def reference(kind: str = "Job", group: str = "batch/v1", name: str = "nobody", **fields) -> list[Object]:
    return [{"apiVersion": group, "kind": kind, "name": name, "uid": f"uid-{name}", **fields}]


def test_the_finalizer_goes_from_pods_that_no_job_takes_care_of() -> None:
    """Upstream's TestSyncOrphanPod and TestWatchOrphanPods."""
    owned = {"controller": True}
    freed = {
        "alone": {}, "of-a-job-that-is-gone": {"ownerReferences": reference(**owned)},
        "owned-not-controlled": {"ownerReferences": reference()},
        "owned-by-another-kind": {"ownerReferences": reference(group="example.com/v1")},
    }
    kept = {
        "of-a-cronjob": {"ownerReferences": reference("CronJob", **owned)},
        "of-another-job-kind": {"ownerReferences": reference(group="example.com/v1", **owned)},
    }

    async def scenario(lab: Lab) -> None:
        for name, metadata in {**freed, **kept}.items():
            await lab.client.create(PODS, with_the_finalizer(name, **metadata))

        async def held(*names: str) -> bool:
            found = await lab.list(PODS)
            return {one["metadata"]["name"] for one in found if one["metadata"].get("finalizers")} == set(names)

        await lab.until(lambda: held(*kept))

    on_a_cluster(scenario, nodes=0, controllers="job,serviceaccount")
