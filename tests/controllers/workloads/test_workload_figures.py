"""What the controllers of workloads count of their own work, under upstream's names."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.controllers.jobs.jobs import job
from tests.controllers.lab import Lab, on_a_cluster, template, workload

from sampan.api.resources import CRON_JOBS, JOBS, PODS, REPLICA_SETS
from sampan.apimachinery.object import Object, name_of
from sampan.controllers.config import ControllerManagerConfig
from sampan.controllers.jobs.job_figures import JobFigures
from sampan.controllers.jobs.job_pods import TRACKING
from sampan.controllers.manager import ControllerManager
from sampan.controllers.workloads.replicaset import age_ratios
from sampan.reconcile.measures import Measure, Spread, exponential, families
from sampan.reconcile.plan import Account, Create, Delete, Parallel, Plan, Update


def samples(figure: Measure) -> dict[str, float]:
    return {
        f"{one.name}{sorted(one.labels.items())}": one.value for family in families([figure]) for one in family.samples
    }


def test_a_spread_counts_what_is_within_its_bounds() -> None:
    spread = Spread("web_took_seconds", "Took.", exponential(1, 2, 3), ("who",))
    for seconds in (0.5, 1, 3, 99):
        spread.observe(seconds, "a")
    shown = samples(spread)
    bounds = [shown[f"web_took_seconds_bucket[('le', '{bound}'), ('who', 'a')]"] for bound in (1, 2, 4, "+Inf")]
    assert bounds == [2, 2, 3, 4] and shown["web_took_seconds_sum[('who', 'a')]"] == 103.5
    assert not samples(Spread("web_took_seconds", "Took.", exponential(1, 2, 3)))


def written(owner: Object, **status: Any) -> Update:
    return Update(JOBS, {**owner, "status": status}, subresource="status")


CREATE = Create(PODS, {})


@pytest.mark.parametrize(("account", "result", "action"), [
    (Account(), "success", "tracking"), (Account((CREATE,)), "success", "pods_created"),
    (Account((), (CREATE,), ValueError()), "error", "pods_created"),
    (Account((Delete(PODS, "a", "default"),)), "success", "pods_deleted"),
])
@pytest.mark.parametrize("mode", ["Indexed", "NonIndexed"])
def test_a_look_at_a_job_is_counted_and_measured(make, mode, account, result, action) -> None:
    figures = JobFigures()
    figures.on(job(make, completionMode=mode), [])(account)
    assert figures.syncs.counts == {(mode, result, action): 1} and sum(figures.sync_s.counts[mode, result, action]) == 1


@pytest.mark.parametrize(("spec", "status", "reason"), [
    ({}, {}, "new"), ({}, {"failed": 1}, "recreate_terminating_or_failed"),
    ({}, {"terminating": 1}, "recreate_terminating_or_failed"),
    ({}, {"uncountedTerminatedPods": {"failed": ["a"]}}, "recreate_terminating_or_failed"),
    ({"podReplacementPolicy": "Failed"}, {"failed": 1}, "recreate_failed"),
    ({"podReplacementPolicy": "Failed"}, {"terminating": 1}, "new"),
])
def test_pods_are_created_for_a_reason(make, spec, status, reason) -> None:
    figures, owner = JobFigures(), job(make, status=status, **spec)
    figures.on(owner, [])(Account((CREATE, CREATE), (CREATE,)))
    assert figures.created.counts == {(reason, "succeeded"): 2, (reason, "failed"): 1}


def over(kind: str, reason: str) -> dict[str, Any]:
    return {"conditions": [{"type": kind, "status": "True", "reason": reason}]}


@pytest.mark.parametrize(("status", "jobs"), [
    (over("Complete", "CompletionsReached"), {("NonIndexed", "succeeded", ""): 1}),
    (over("Failed", "DeadlineExceeded"), {("NonIndexed", "failed", "DeadlineExceeded"): 1}),
    (over("FailureTarget", "DeadlineExceeded"), {}), ({}, {}),
])
def test_a_job_is_counted_when_it_is_over(make, status, jobs) -> None:
    figures, owner = JobFigures(), job(make)
    figures.on(owner, [])(Account((written(owner, **status),)))
    assert figures.jobs.counts == jobs
    figures.on(owner, [])(Account((), (written(owner, **status),), ValueError()))
    assert figures.jobs.counts == jobs, "what was not written is not counted"


def test_pods_indexes_and_rulings_are_counted_once_the_status_tells_of_them(make) -> None:
    figures = JobFigures()
    before = {"succeeded": 2, "failed": 1, "completedIndexes": "0,1", "failedIndexes": ""}
    owner = job(make, completionMode="Indexed", backoffLimitPerIndex=1, status=before)
    after = {"succeeded": 4, "failed": 2, "completedIndexes": "0-3", "failedIndexes": "4"}
    figures.on(owner, ["Ignore", "Count", "Ignore"])(Account((written(owner, **after),)))
    assert figures.pods.counts == {("Indexed", "succeeded"): 2, ("Indexed", "failed"): 1}
    assert figures.indexes.counts == {("succeeded", "perIndex"): 2, ("failed", "perIndex"): 1}
    assert figures.rulings.counts == {("Ignore",): 2, ("Count",): 1}


def test_ended_pods_are_counted_as_they_come_and_go(make) -> None:
    figures = JobFigures()
    running, failed = make.pod("a", finalizers=[TRACKING]), make.pod("a", phase="Failed", finalizers=[TRACKING])
    for old, new in ((None, running), (running, failed), (failed, failed), (failed, make.pod("a", phase="Failed"))):
        figures.heard(old, new)
    figures.heard(None, failed)
    figures.heard(failed, None)
    assert figures.ended.counts == {("add",): 2, ("delete",): 2}


def test_a_job_of_another_controller_is_counted_once(make) -> None:
    figures, owner = JobFigures(), job(make, managedBy="example.com/other")
    for _ in range(2):
        figures.seen_foreign("default/work", owner)
    figures.gone("default/work")
    figures.seen_foreign("default/work", owner)
    assert figures.foreign.counts == {("example.com/other",): 2}


def test_how_old_a_deleted_pod_is_beside_the_youngest(make) -> None:
    pods = [
        make.pod(name, ready=ready, creationTimestamp=f"2026-01-02T0{hour}:04:05Z")
        for name, ready, hour in (("old", True, 0), ("young", True, 2), ("unready", False, 1))
    ]
    steps = (Parallel(tuple(Delete(PODS, name_of(pod), "default", uid=pod["metadata"]["uid"]) for pod in pods)),)
    assert sorted(age_ratios(pods, Plan(steps), make.now)) == [1, 3]
    assert not list(age_ratios(pods, Plan(), make.now))


SHOWN = (
    "job_controller_jobs_finished_total", "job_controller_job_pods_finished_total", "job_controller_job_syncs_total",
    "job_controller_job_sync_duration_seconds_count", "job_controller_job_pods_creation_total",
    "job_controller_terminated_pods_tracking_finalizer_total", "pod_gc_collector_force_delete_pods_total",
    "ttl_after_finished_controller_job_deletion_duration_seconds_count",
    "cronjob_controller_job_creation_skew_duration_seconds_count",
    "replicaset_controller_sorting_deletion_age_ratio_count",
)
COUNTING = "job-controller,pod-garbage-collector,ttl-after-finished-controller,replicaset-controller,cronjob-controller"


def test_the_controller_manager_shows_them_all() -> None:
    async def scenario(lab: Lab) -> None:
        manager = ControllerManager(lab.client, ControllerManagerConfig(controllers=COUNTING))
        task = asyncio.create_task(manager.run())
        await lab.create(REPLICA_SETS, "web", spec=workload(replicas=2))
        await lab.running(2)
        await lab.make_ready(*await lab.pods())
        await lab.patch(REPLICA_SETS, "web", spec={"replicas": 0})
        await lab.running(0)
        ends = {"spec": template()["spec"] | {"restartPolicy": "Never"}}
        await lab.create(JOBS, "work", spec={"template": ends, "ttlSecondsAfterFinished": 60})
        await lab.running(1)
        await lab.set_phase("Succeeded", *await lab.pods())
        every_minute = {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": ends}}}
        await lab.create(CRON_JOBS, "often", spec=every_minute)
        await lab.create(PODS, "orphan", spec=template()["spec"] | {"nodeName": "nowhere"})

        async def are_told() -> bool:
            found: dict[str, float] = {}
            for family in manager.collect():
                found |= {one.name: one.value for one in family.samples if one.value}
            return found.keys() >= set(SHOWN)

        await lab.until(are_told, within_s=300)
        task.cancel()

    on_a_cluster(scenario, controllers=",".join(["*", *(f"-{name}" for name in COUNTING.split(","))]))
