"""What upstream's conformance tests ask of Deployments, Jobs, CronJobs, disruption budgets and the garbage collector.

Each is played on a whole simulated cluster; the names of upstream's tests (test/e2e/apps, test/e2e/apimachinery) are in
the docstrings.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.controllers.lab import HELD, LABELS, NAMESPACE, Lab, on_a_cluster, template, workload
from tests.meanwhile import meanwhile

from sampan.api.resources import (
    CRON_JOBS,
    DEPLOYMENTS,
    JOBS,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
)
from sampan.apimachinery.errors import TooManyRequests
from sampan.apimachinery.object import Object, dig, meta, name_of, uid_of
from sampan.controllers.jobs.job_pods import TRACKING
from sampan.sim.stages import EXIT_CODE, RUN_SECONDS


async def sizes(lab: Lab) -> dict[str, int]:
    """The size of each ReplicaSet by its image."""
    return {
        one["spec"]["template"]["spec"]["containers"][0]["image"]: one["spec"]["replicas"]
        for one in await lab.list(REPLICA_SETS)
    }


def rolling(surge: int, unavailable: int) -> Object:
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}


def test_scaling_in_the_middle_of_a_rollout_is_proportional() -> None:
    """deployment should support proportional scaling"""

    async def scenario(lab: Lab) -> None:
        await lab.create(DEPLOYMENTS, "web", spec=workload(replicas=10, strategy=rolling(3, 2)))
        await lab.status(DEPLOYMENTS, "web", availableReplicas=10)
        await lab.patch(DEPLOYMENTS, "web", spec={"template": template("bad:1", **HELD)})

        async def are(**wanted: int) -> None:
            async def check() -> bool:
                return await sizes(lab) == {name.replace("_", ":"): size for name, size in wanted.items()}

            await lab.until(check, what=str(wanted))

        await are(web_1=8, bad_1=5)
        await lab.status(DEPLOYMENTS, "web", availableReplicas=8, updatedReplicas=5)
        await lab.patch(DEPLOYMENTS, "web", spec={"replicas": 30})
        await are(web_1=20, bad_1=13)

    on_a_cluster(scenario, nodes=3)


def test_a_new_template_in_the_middle_of_a_rollout_overtakes_it() -> None:
    """deployment should support rollover"""

    async def scenario(lab: Lab) -> None:
        await lab.create(DEPLOYMENTS, "web", spec=workload(replicas=3, strategy=rolling(1, 0), minReadySeconds=5))
        await lab.status(DEPLOYMENTS, "web", availableReplicas=3)
        await lab.patch(DEPLOYMENTS, "web", spec={"template": template("bad:1", **HELD)})

        async def stuck() -> bool:
            return await sizes(lab) == {"web:1": 3, "bad:1": 1}

        await lab.until(stuck)
        good = template("web:3")
        good["metadata"]["annotations"] = None
        await lab.patch(DEPLOYMENTS, "web", spec={"template": good})

        async def done() -> bool:
            return await sizes(lab) == {"web:1": 0, "bad:1": 0, "web:3": 3}

        await lab.until(done)
        await lab.status(DEPLOYMENTS, "web", availableReplicas=3, updatedReplicas=3, replicas=3)

    on_a_cluster(scenario)


def test_recreate_never_runs_two_templates_at_once() -> None:
    """RecreateDeployment should delete old pods and create new ones"""

    async def scenario(lab: Lab) -> None:
        await lab.create(DEPLOYMENTS, "web", spec=workload(replicas=3, strategy={"type": "Recreate"}))
        await lab.status(DEPLOYMENTS, "web", availableReplicas=3)
        seen: set[frozenset[str]] = set()

        async def watch() -> None:
            while True:
                found = await lab.list(PODS)
                seen.add(frozenset(one["spec"]["containers"][0]["image"] for one in found))
                await asyncio.sleep(0.05)

        async with meanwhile(watch()):
            await lab.patch(DEPLOYMENTS, "web", spec={"template": template("web:2")})
            await lab.status(DEPLOYMENTS, "web", observedGeneration=2, availableReplicas=3, updatedReplicas=3)
        assert seen - {frozenset()} == {frozenset({"web:1"}), frozenset({"web:2"})}

    on_a_cluster(scenario)


def test_old_replica_sets_go_beyond_the_history_limit() -> None:
    """deployment should delete old replica sets"""

    async def scenario(lab: Lab) -> None:
        await lab.create(DEPLOYMENTS, "web", spec=workload(replicas=1, revisionHistoryLimit=0))
        await lab.status(DEPLOYMENTS, "web", availableReplicas=1)
        await lab.patch(DEPLOYMENTS, "web", spec={"template": template("web:2")})

        async def one_left() -> bool:
            return await sizes(lab) == {"web:2": 1}

        await lab.until(one_left)

    on_a_cluster(scenario)


def job(annotations: dict[str, str] | None = None, **spec: Any) -> Object:
    made = template(**(annotations or {}))
    made["spec"]["restartPolicy"] = "Never"
    return {"template": {"metadata": {"annotations": annotations or {}}, "spec": made["spec"]}, **spec}


def test_a_jobs_orphan_is_adopted_again_and_a_relabelled_pod_released_with_its_finalizer() -> None:
    """should adopt matching orphans and release non-matching pods"""

    async def scenario(lab: Lab) -> None:
        await lab.create(JOBS, "work", spec=job({RUN_SECONDS: "1000"}, parallelism=2, completions=2))
        await lab.running(2)
        orphan, stray = sorted(await lab.pods())
        await lab.patch(PODS, orphan, metadata={"ownerReferences": None})

        async def adopted() -> bool:
            return bool(meta((await lab.pods())[orphan]).get("ownerReferences"))

        await lab.until(adopted)
        await lab.patch(PODS, stray, metadata={"labels": None})

        async def released() -> bool:
            metadata = meta((await lab.pods())[stray])
            return not metadata.get("ownerReferences") and TRACKING not in (metadata.get("finalizers") or [])

        await lab.until(released)

    on_a_cluster(scenario)


def test_an_indexed_job_grows_and_shrinks_and_keeps_its_lowest_indexes() -> None:
    """KEP-3715: elastic indexed Jobs"""

    async def scenario(lab: Lab) -> None:
        spec = job({RUN_SECONDS: "100000"}, parallelism=3, completions=3, completionMode="Indexed")
        await lab.create(JOBS, "work", spec=spec)
        await lab.running(3)

        async def indexes(*wanted: int) -> None:
            async def check() -> bool:
                key = "batch.kubernetes.io/job-completion-index"
                found = sorted(int(meta(one)["annotations"][key]) for one in (await lab.pods()).values())
                return found == list(wanted)

            await lab.until(check, what=str(wanted))

        await lab.patch(JOBS, "work", spec={"parallelism": 5, "completions": 5})
        await indexes(0, 1, 2, 3, 4)
        await lab.patch(JOBS, "work", spec={"parallelism": 2, "completions": 2})
        await indexes(0, 1)

    on_a_cluster(scenario)


def test_a_job_suspended_in_the_middle_loses_its_pods_and_goes_on_later() -> None:
    """should delete pods when suspended · should not create pods when created in suspend state"""

    async def scenario(lab: Lab) -> None:
        await lab.create(JOBS, "work", spec=job({RUN_SECONDS: "20"}, parallelism=2, completions=2))
        await lab.running(2)
        await lab.patch(JOBS, "work", spec={"suspend": True})
        await lab.running(0)
        found = await lab.condition(JOBS, "work", "Suspended")
        assert found is not None and found["status"] == "True"
        started = (await lab.get(JOBS, "work"))["status"]["startTime"]
        await lab.patch(JOBS, "work", spec={"suspend": False})
        await lab.status(JOBS, "work", succeeded=2)
        assert (await lab.get(JOBS, "work"))["status"]["startTime"] > started
        assert {"Suspended", "Resumed", "Completed"} <= await lab.reasons("work")

    on_a_cluster(scenario)


def test_an_eviction_does_not_count_against_a_job_that_ignores_disruptions() -> None:
    """should not count evictions towards the backoffLimit"""

    async def scenario(lab: Lab) -> None:
        ignore = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
        await lab.create(JOBS, "work", spec=job(
            {RUN_SECONDS: "30"}, completions=1, backoffLimit=0, podFailurePolicy={"rules": [ignore]}
        ))
        await lab.running(1)
        [evicted] = (await lab.pods()).values()
        await lab.create_eviction(name_of(evicted))
        await lab.status(JOBS, "work", succeeded=1)
        assert dig(await lab.get(JOBS, "work"), "status", "failed", default=0) == 0

    on_a_cluster(scenario)


@pytest.mark.parametrize("policy", ["Forbid", "Replace"])
def test_the_next_run_waits_or_takes_over(policy: str) -> None:
    """should not schedule new jobs when ForbidConcurrent · should replace jobs when ReplaceConcurrent"""

    async def scenario(lab: Lab) -> None:
        endless = {"spec": job({RUN_SECONDS: "100000"})}
        await lab.create(CRON_JOBS, "tick", spec={
            "schedule": "* * * * *", "concurrencyPolicy": policy, "jobTemplate": endless,
        })

        async def one_active() -> bool:
            return len(dig(await lab.get(CRON_JOBS, "tick"), "status", "active", default=())) == 1

        await lab.until(one_active)
        [first] = [name_of(one) for one in await lab.list(JOBS)]
        await asyncio.sleep(150)
        names = [name_of(one) for one in await lab.list(JOBS)]
        assert await one_active()
        assert (names == [first]) == (policy == "Forbid")
        if policy == "Forbid":
            assert "JobAlreadyActive" in await lab.reasons("tick")

    on_a_cluster(scenario)


def test_an_eviction_is_refused_until_the_budget_allows_it() -> None:
    """should block an eviction until the PDB is updated to allow it"""

    async def scenario(lab: Lab) -> None:
        await lab.create(REPLICA_SETS, "web", spec=workload(replicas=3))
        await lab.create(POD_DISRUPTION_BUDGETS, "web", spec={"minAvailable": 3, "selector": {"matchLabels": LABELS}})
        await lab.status(POD_DISRUPTION_BUDGETS, "web", currentHealthy=3, disruptionsAllowed=0)
        victim = sorted(await lab.pods())[0]
        with pytest.raises(TooManyRequests, match=r"violate the pod's disruption budget"):
            await lab.create_eviction(victim)
        await lab.patch(POD_DISRUPTION_BUDGETS, "web", spec={"minAvailable": 2})
        await lab.status(POD_DISRUPTION_BUDGETS, "web", disruptionsAllowed=1)
        await lab.create_eviction(victim)
        with pytest.raises(TooManyRequests):
            await lab.create_eviction(sorted(await lab.pods())[-1])
        await lab.status(POD_DISRUPTION_BUDGETS, "web", currentHealthy=3, disruptionsAllowed=1)

    on_a_cluster(scenario)


def owner(obj: Object, *, blocks: bool = True) -> Object:
    return {
        "apiVersion": obj["apiVersion"], "kind": obj["kind"], "name": name_of(obj), "uid": uid_of(obj),
        "blockOwnerDeletion": blocks,
    }


def test_a_circle_of_owners_does_not_block_its_collection() -> None:
    """should not be blocked by dependency circle"""

    async def scenario(lab: Lab) -> None:
        pods = [await lab.create(PODS, name, spec=template()["spec"]) for name in ("one", "two", "three")]
        for pod, above in zip(pods, [pods[2], pods[0], pods[1]], strict=True):
            await lab.patch(PODS, name_of(pod), metadata={"ownerReferences": [owner(above)]})
        await lab.running(3)
        await lab.client.delete(PODS, "one", NAMESPACE, propagation="Foreground")
        await lab.running(0)

    on_a_cluster(scenario)


def test_a_dependent_with_another_living_owner_stays() -> None:
    """should not delete dependents that have both valid owner and owner that's waiting for dependents to be deleted"""

    async def scenario(lab: Lab) -> None:
        spec = {"replicas": 4, "selector": LABELS, "template": template()}
        going = await lab.create(REPLICATION_CONTROLLERS, "going", spec=spec)
        other = {"selector": {"app": "other"}, "template": {**template(), "metadata": {"labels": {"app": "other"}}}}
        staying = await lab.create(REPLICATION_CONTROLLERS, "staying", spec={"replicas": 0, **other})
        await lab.running(4)
        shared = sorted(await lab.pods())[:2]
        for name in shared:
            known = meta((await lab.pods())[name])["ownerReferences"]
            await lab.patch(PODS, name, metadata={"ownerReferences": [*known, owner(staying, blocks=False)]})
        await lab.client.delete(REPLICATION_CONTROLLERS, "going", NAMESPACE, propagation="Foreground")

        async def only_the_shared() -> bool:
            left = [name_of(one) for one in await lab.list(REPLICATION_CONTROLLERS)]
            return left == ["staying"] and sorted(await lab.pods()) == shared

        await lab.until(only_the_shared)
        for pod in (await lab.pods()).values():
            assert [one["uid"] for one in meta(pod)["ownerReferences"]] == [uid_of(staying)] != [uid_of(going)]

    on_a_cluster(scenario)


def test_exit_codes_decide_what_becomes_of_indexes_on_a_cluster() -> None:
    """should mark indexes as failed when the FailIndex action is matched in podFailurePolicy"""

    async def scenario(lab: Lab) -> None:
        rule = {"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [3]}}
        await lab.create(JOBS, "work", spec=job(
            {RUN_SECONDS: "1", EXIT_CODE: "3"}, completions=2, parallelism=2, completionMode="Indexed",
            backoffLimitPerIndex=5, podFailurePolicy={"rules": [rule]},
        ))
        await lab.status(JOBS, "work", failedIndexes="0,1", failed=2)
        found = await lab.condition(JOBS, "work", "Failed")
        assert found is None or found["reason"] == "FailedIndexes"

    on_a_cluster(scenario)
