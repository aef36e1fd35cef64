from __future__ import annotations

from datetime import timedelta

import pytest
from tests.controllers.lab import LABELS, Lab, on_a_cluster, workload

from sampan.api.resources import DEPLOYMENTS, EVICTIONS, POD_DISRUPTION_BUDGETS, PODS, REPLICA_SETS
from sampan.apimachinery import errors
from sampan.apimachinery.object import Object, name_of
from sampan.controllers.workloads.disruption import Expected, plan, stale_target
from sampan.sim.cluster import SimCluster
from sampan.sim.loop import run


def budget(make, **spec) -> Object:
    spec.setdefault("selector", {"matchLabels": {"app": "web"}})
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": make.meta("web"), "spec": spec}


def pods(make, ready: int, unready: int = 0) -> list[Object]:
    return [make.pod(f"p{n}", ready=n < ready) for n in range(ready + unready)]


def status_of(decided) -> Object:
    [update] = decided.steps
    return update.obj["status"]


@pytest.mark.parametrize(("spec", "ready", "unready", "scale", "numbers"), [
    ({"minAvailable": 2}, 3, 0, 0, (1, 3, 2, 3)), ({"minAvailable": 2}, 1, 1, 0, (0, 1, 2, 2)),
    ({"minAvailable": "50%"}, 3, 0, 5, (0, 3, 3, 5)), ({"maxUnavailable": 1}, 4, 0, 4, (1, 4, 3, 4)),
    ({"maxUnavailable": "25%"}, 4, 1, 5, (1, 4, 3, 5)), ({"maxUnavailable": 9}, 0, 0, 0, (0, 0, 0, 0)),
])
def test_allowed_is_what_is_healthy_beyond_what_must_be(make, spec, ready, unready, scale, numbers) -> None:
    status = status_of(plan(budget(make, **spec), pods(make, ready, unready), Expected(scale), make.now))
    fields = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")
    assert tuple(status[field] for field in fields) == numbers
    assert status["conditions"][0]["reason"] == ("SufficientPods" if numbers[0] else "InsufficientPods")


def test_a_granted_eviction_counts_until_its_pod_goes_or_two_minutes_are_over(make) -> None:
    owner = budget(make, minAvailable=1)
    owner["status"] = {"disruptedPods": {"p0": "2026-01-02T03:03:05Z", "gone": "2026-01-02T03:03:05Z"}}
    decided = plan(owner, pods(make, 3), Expected(), make.now)
    status = status_of(decided)
    assert status["disruptedPods"] == {"p0": "2026-01-02T03:03:05Z"} and status["disruptionsAllowed"] == 1
    assert decided.requeue_after_s == 61.0
    late = plan(owner, pods(make, 3), Expected(), make.now + timedelta(minutes=2))
    assert status_of(late)["disruptionsAllowed"] == 2 and [note.reason for note in late.notes] == ["NotDeleted"]
    set_back = plan(owner, pods(make, 3), Expected(), make.now - timedelta(hours=1))
    assert status_of(set_back)["disruptionsAllowed"] == 2, "granted by a clock that has been set back since"


def test_what_cannot_be_known_allows_nothing(make) -> None:
    owner = budget(make, maxUnavailable=1)
    decided = plan(owner, pods(make, 3), Expected(error='found no controllers for pod "p0"'), make.now)
    assert status_of(decided)["disruptionsAllowed"] == 0
    assert status_of(decided)["conditions"][0]["reason"] == "SyncFailed"
    assert [note.reason for note in decided.notes] == ["CalculateExpectedPodCountFailed"]


def test_the_announcement_of_an_eviction_that_never_came_is_taken_back(make) -> None:
    pod = make.pod("p0")
    pod["status"]["conditions"].append(
        {"type": "DisruptionTarget", "status": "True", "lastTransitionTime": "2026-01-02T03:03:05Z"}
    )
    assert stale_target(pod, make.now) == (None, 60.0)
    patch, _ = stale_target(pod, make.now + timedelta(minutes=1))
    assert patch.patch["status"]["conditions"][0]["status"] == "False"


def test_evictions_spend_the_budget_and_wait_for_it_to_recover() -> None:
    async def scenario() -> None:
        async with SimCluster(3, 3) as cluster:
            labels = {"app": "web"}
            template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "web:1"}]}}
            await cluster.client.create(DEPLOYMENTS, {
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"},
                "spec": {"replicas": 4, "selector": {"matchLabels": labels}, "template": template},
            })
            await cluster.client.create(POD_DISRUPTION_BUDGETS, {
                "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
                "metadata": {"name": "web", "namespace": "default"},
                "spec": {"maxUnavailable": "25%", "selector": {"matchLabels": labels}},
            })

            async def allowed() -> bool:
                found = await cluster.client.get(POD_DISRUPTION_BUDGETS, "web", "default")
                return found.get("status", {}).get("disruptionsAllowed") == 1

            async def evict(pod: str) -> None:
                eviction = {"apiVersion": EVICTIONS.api_version, "kind": "Eviction", "metadata": {"name": pod}}
                await cluster.client.create(PODS, eviction, "default", name=pod, subresource="eviction")

            await cluster.until(allowed)
            first, second, *_ = sorted(name_of(pod) for pod in (await cluster.client.list(PODS, "default"))["items"])
            await evict(first)
            with pytest.raises(errors.TooManyRequests):
                await evict(second)
            await cluster.until(allowed)
            await evict(second)

    run(scenario())


@pytest.mark.parametrize(("policy", "broken", "wanted", "evicted", "spends"), [
    (None, 1, 2, True, False),  # enough are well without it
    (None, 1, 3, False, False),
    ("IfHealthyBudget", 1, 2, True, False),
    ("IfHealthyBudget", 2, 2, False, False),
    ("AlwaysAllow", 2, 3, True, False),
    ("AlwaysAllow", 0, 3, False, False),  # it is well, and guarded
    ("AlwaysAllow", 0, 2, True, True),
    ("IfHealthyBudget", 0, 2, True, True),
])
def test_a_pod_that_is_not_ready_may_go_as_its_budget_says(policy, broken, wanted, evicted, spends) -> None:
    async def scenario(lab: Lab) -> None:
        spec: dict = {"minAvailable": wanted, "selector": {"matchLabels": LABELS}}
        await lab.create(POD_DISRUPTION_BUDGETS, "web", spec=spec | (
            {"unhealthyPodEvictionPolicy": policy} if policy else {}))
        await lab.create(REPLICA_SETS, "web", spec=workload(replicas=3))
        await lab.status(POD_DISRUPTION_BUDGETS, "web", currentHealthy=3)
        names = sorted(await lab.pods())
        await lab.make_ready(*names[:broken], ready=False)
        await lab.status(POD_DISRUPTION_BUDGETS, "web", currentHealthy=3 - broken)
        before = (await lab.get(POD_DISRUPTION_BUDGETS, "web"))["status"]["disruptionsAllowed"]
        if not evicted:
            with pytest.raises(errors.TooManyRequests):
                await lab.create_eviction(names[0])
            return
        await lab.create_eviction(names[0])
        after = (await lab.get(POD_DISRUPTION_BUDGETS, "web"))["status"]
        assert (names[0] in after.get("disruptedPods", {})) == spends
        assert after["disruptionsAllowed"] == before - spends

    on_a_cluster(scenario)
