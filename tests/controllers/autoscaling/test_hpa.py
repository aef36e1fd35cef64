from __future__ import annotations

from datetime import UTC, datetime, timedelta

import orjson
import pytest
from tests.controllers.lab import Lab, on_a_cluster, workload

from sampan.api.resources import CORE_EVENTS, DEPLOYMENTS, HORIZONTAL_POD_AUTOSCALERS
from sampan.apimachinery import errors
from sampan.apimachinery.http import Response
from sampan.apimachinery.object import Object
from sampan.controllers import times
from sampan.controllers.autoscaling.horizontal_pod_autoscaler import decide, status_of
from sampan.controllers.autoscaling.hpa_behavior import Memory, limit, tolerance_of
from sampan.controllers.autoscaling.hpa_metrics import Metrics
from sampan.controllers.autoscaling.hpa_readings import Reading, Target, read
from sampan.controllers.autoscaling.hpa_replicas import (
    Groups,
    Measured,
    MetricError,
    Proposal,
    Sample,
    Tolerance,
    by_average,
    by_utilization,
    by_value,
    by_value_per_pod,
    group_pods,
    requests_of,
)
from sampan.controllers.autoscaling.hpa_settings import AutoscalingSettings
from sampan.sim.cluster import SimCluster
from sampan.sim.loop import run

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def samples(*values: int) -> dict[str, Sample]:
    return {f"p{n}": Sample(value, NOW) for n, value in enumerate(values)}


def measured(current: int, found: dict[str, Sample], **groups) -> Measured:
    ready = len(found) - len(groups.get("unready", ()))
    return Measured(current, found, Groups(ready, **groups), Tolerance())


@pytest.mark.parametrize(("values", "target", "replicas"), [
    ((500, 500), 50, 2), ((900, 900), 50, 4), ((100, 100), 50, 1), ((525, 525), 50, 2), ((560, 560), 50, 3),
])
def test_the_ratio_of_use_and_target_says_how_many_unless_it_is_near_one(values, target, replicas) -> None:
    proposal = by_utilization(measured(2, samples(*values)), target, dict.fromkeys(("p0", "p1"), 1000))
    assert proposal.replicas == replicas and proposal.utilization == sum(values) * 100 // 2000


def test_pods_that_are_not_ready_are_idle_when_scaling_up_and_unknown_otherwise() -> None:
    found = samples(1000, 1000, 1000)
    asked = dict.fromkeys(found, 1000)
    assert by_utilization(measured(3, found), 50, asked).replicas == 6
    assert by_utilization(measured(3, found, unready={"p2"}), 50, asked).replicas == 4
    idle = samples(100, 100, 9000)
    assert by_utilization(measured(3, idle, unready={"p2"}), 50, asked).replicas == 1


def test_missing_numbers_never_make_the_change_larger() -> None:
    asked = dict.fromkeys(("p0", "p1", "p2", "p3"), 1000)
    assert by_utilization(measured(4, samples(100, 100), missing={"p2", "p3"}), 50, asked).replicas == 4
    assert by_utilization(measured(4, samples(1000, 1000), missing={"p2", "p3"}), 50, asked).replicas == 4
    assert by_average(measured(3, samples(100, 100), missing={"p2"}), 200).replicas == 2


def test_nothing_is_decided_from_nothing() -> None:
    with pytest.raises(MetricError, match="did not receive metrics for targeted pods"):
        by_average(measured(2, {}), 100)


def test_one_number_for_all_pods_as_it_is_and_divided() -> None:
    assert by_value(2, 1000, 3000, 2, Tolerance()).replicas == 6
    assert by_value(0, 1000, 1500, 0, Tolerance()).replicas == 2
    assert by_value_per_pod(2, 1000, 3000, Tolerance()) == Proposal(3, 1500)
    assert by_value_per_pod(3, 1000, 3100, Tolerance()).replicas == 3


def test_pods_are_sorted_by_what_their_numbers_are_worth(make) -> None:
    fresh = make.pod("fresh", ready=True, since="2026-01-02T03:04:00Z")
    fresh["status"]["startTime"] = "2026-01-02T03:03:00Z"
    old = make.pod("old", ready=True)
    old["status"]["startTime"] = "2026-01-02T02:00:00Z"
    pods = [fresh, old, make.pod("pending", phase="Pending"), make.pod("silent", ready=True),
            make.pod("gone", deletionTimestamp=make.now_text)]
    found = {"fresh": Sample(1, NOW), "old": Sample(1, NOW)}
    groups = group_pods(pods, found, NOW, cpu=True)
    assert groups == Groups(1, {"fresh", "pending"}, {"silent"}, {"gone"})
    assert group_pods(pods, found, NOW, cpu=False).ready == 2
    with pytest.raises(MetricError, match="missing request for cpu in container c of Pod old"):
        requests_of([old], "cpu")


def hpa(make, **spec) -> Object:
    defaults = {"minReplicas": 1, "maxReplicas": 10, "scaleTargetRef": {"kind": "Deployment", "name": "web"}}
    return {
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": make.meta("web"),
        "spec": {**defaults, **spec}, "status": {},
    }


def asks(replicas: int) -> Reading:
    return Reading("cpu resource", Proposal(replicas), {"type": "Resource"})


def reasons(conditions) -> dict[str, str]:
    return {one.type: one.reason for one in conditions}


def test_with_an_empty_behavior_it_grows_by_four_or_doubles_and_shrinks_after_five_minutes(make) -> None:
    owner, memory = hpa(make, maxReplicas=100, behavior={}), Memory()
    first = limit(owner, 3, 50, memory, NOW)
    assert first.replicas == 7 and reasons(first.conditions)["ScalingLimited"] == "ScaleUpLimit"
    memory.changes.append((NOW, 4))
    assert limit(owner, 7, 50, memory, NOW + timedelta(seconds=10)).replicas == 7
    assert limit(owner, 7, 50, memory, NOW + timedelta(seconds=16)).replicas == 14
    calm = limit(owner, 14, 2, memory, NOW + timedelta(seconds=60))
    assert calm.replicas == 14 and reasons(calm.conditions)["AbleToScale"] == "ScaleDownStabilized"
    assert limit(owner, 14, 2, memory, NOW + timedelta(seconds=400)).replicas == 2


@pytest.mark.parametrize(("now", "wanted", "least", "most", "set_to", "reason"), [
    (3, 5, 1, 10, 5, "DesiredWithinRange"), (3, 7, 1, 10, 6, "ScaleUpLimit"), (1, 9, 1, 10, 4, "ScaleUpLimit"),
    (5, 100, 1, 10, 10, "TooManyReplicas"), (5, 11, 1, 10, 10, "TooManyReplicas"),
])
def test_without_a_behavior_it_doubles_at_once_or_grows_to_four(
    make, now, wanted, least, most, set_to, reason
) -> None:
    found = limit(hpa(make, minReplicas=least, maxReplicas=most), now, wanted, Memory(), NOW)
    assert (found.replicas, reasons(found.conditions)["ScalingLimited"]) == (set_to, reason)


def test_without_a_behavior_the_highest_of_five_minutes_holds(make) -> None:
    owner, memory = hpa(make, minReplicas=2, maxReplicas=100), Memory()
    assert limit(owner, 8, 8, memory, NOW).replicas == 8
    calm = limit(owner, 8, 1, memory, NOW + timedelta(seconds=290))
    assert calm.replicas == 8 and reasons(calm.conditions)["AbleToScale"] == "ScaleDownStabilized"
    low = limit(owner, 8, 1, memory, NOW + timedelta(seconds=310))
    assert low.replicas == 2 and reasons(low.conditions) == {
        "AbleToScale": "ReadyForNewScale", "ScalingLimited": "TooFewReplicas"}


@pytest.mark.parametrize(("policies", "select", "changes", "pace"), [
    ([("Pods", 4, 60)], "Max", (), 9),
    ([("Pods", 4, 60)], "Max", ((30, 2),), 7),
    ([("Pods", 4, 60)], "Max", ((61, 2),), 9),
    ([("Pods", 4, 60)], "Max", ((30, -2),), 11),
    ([("Percent", 50, 60)], "Max", (), 8),
    ([("Percent", 100, 60), ("Pods", 2, 60)], "Min", (), 7),
    ([("Percent", 100, 60), ("Pods", 2, 60)], "Max", (), 10),
    ([("Percent", 100, 60)], "Disabled", (), 5),
])
def test_how_far_up_the_policies_let_it_go(make, policies, select, changes, pace) -> None:
    rule = {"selectPolicy": select, "policies": [
        {"type": kind, "value": value, "periodSeconds": period} for kind, value, period in policies]}
    memory = Memory(changes=[(NOW - timedelta(seconds=age), change) for age, change in changes])
    assert limit(hpa(make, maxReplicas=99, behavior={"scaleUp": rule}), 5, 90, memory, NOW).replicas == pace


@pytest.mark.parametrize(("policies", "select", "changes", "pace"), [
    ([("Pods", 3, 60)], "Max", (), 7),
    ([("Pods", 3, 60)], "Max", ((30, -2),), 9),
    ([("Pods", 3, 60)], "Max", ((30, 2),), 5),
    ([("Percent", 33, 60)], "Max", (), 6),
    ([("Percent", 50, 60), ("Pods", 2, 60)], "Min", (), 8),
    ([("Percent", 50, 60), ("Pods", 2, 60)], "Max", (), 5),
])
def test_how_far_down_the_policies_let_it_go(make, policies, select, changes, pace) -> None:
    rule = {"selectPolicy": select, "stabilizationWindowSeconds": 0, "policies": [
        {"type": kind, "value": value, "periodSeconds": period} for kind, value, period in policies]}
    memory = Memory(changes=[(NOW - timedelta(seconds=age), change) for age, change in changes])
    assert limit(hpa(make, behavior={"scaleDown": rule}), 10, 1, memory, NOW).replicas == pace


def test_policies_limit_the_pace_in_both_directions(make) -> None:
    behavior = {
        "scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}], "stabilizationWindowSeconds": 30},
        "scaleDown": {"stabilizationWindowSeconds": 0, "selectPolicy": "Min", "policies": [
            {"type": "Percent", "value": 50, "periodSeconds": 60}, {"type": "Pods", "value": 1, "periodSeconds": 60}]},
    }
    owner = hpa(make, behavior=behavior)
    memory = Memory([(NOW - timedelta(seconds=10), 3)])
    assert limit(owner, 4, 8, memory, NOW).replicas == 4  # three were enough ten seconds ago
    assert limit(owner, 4, 8, memory, NOW + timedelta(seconds=40)).replicas == 5
    assert limit(owner, 8, 1, Memory(), NOW).replicas == 7
    behavior["scaleDown"]["selectPolicy"] = "Disabled"
    assert limit(owner, 8, 1, Memory(), NOW).replicas == 8


def test_the_bounds_hold_before_and_after_the_metrics(make) -> None:
    assert decide(hpa(make, maxReplicas=4), 9, [], Memory(), NOW).replicas == 4
    assert decide(hpa(make, minReplicas=2), 1, [], Memory(), NOW).reason.endswith("below Spec.MinReplicas")
    found = decide(hpa(make, maxReplicas=4), 3, [asks(9), asks(2)], Memory(), NOW)
    assert found.replicas == 4 and reasons(found.conditions)["ScalingLimited"] == "TooManyReplicas"
    assert found.reason == "cpu resource above target"
    assert reasons(decide(hpa(make), 0, [], Memory(), NOW).conditions) == {"ScalingActive": "ScalingDisabled"}


def test_a_metric_that_cannot_be_read_never_shrinks_the_target(make) -> None:
    bad = Reading("x", error="no such metric", reason="FailedGetPodsMetric")
    found = decide(hpa(make), 3, [bad, asks(1)], Memory(), NOW)
    assert found.replicas == 3 and reasons(found.conditions) == {"ScalingActive": "FailedGetPodsMetric"}
    assert [note.reason for note in found.notes] == ["FailedGetPodsMetric", "FailedComputeMetricsReplicas"]
    assert decide(hpa(make), 3, [bad, asks(5)], Memory(), NOW).replicas == 5
    status = status_of({**hpa(make), "status": {"desiredReplicas": 2}}, found, 3, NOW)
    assert (status["currentReplicas"], status["desiredReplicas"]) == (3, 2) and "lastScaleTime" not in status


class FakeAPI:
    """Metrics as an aggregated server answers them."""

    def __init__(self, documents: dict[str, Object]) -> None:
        self.documents, self.asked = documents, []

    async def raw(self, method, path, query=None, body=None, headers=None) -> Response:
        self.asked.append((path, query))
        if path not in self.documents:
            raise errors.NotFound("the server could not find the requested resource")
        return Response(200, {}, orjson.dumps(self.documents[path]))


def reading(make, metric: Object, documents: dict[str, Object], pods: tuple = ()) -> Reading:
    async def ask() -> Reading:
        api = FakeAPI(documents)
        return await read(Metrics(api), metric, Target("default", "app=web", 2, 2, pods, Tolerance()), NOW)

    return run(ask())


def ready_pods(make) -> tuple[Object, ...]:
    found = tuple(make.pod(f"p{n}", ready=True) for n in range(2))
    for pod in found:
        pod["status"]["startTime"] = "2026-01-02T02:00:00Z"
        pod["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "200m"}}
    return found


def test_each_source_of_metrics_is_read(make) -> None:
    at = "2026-01-02T03:04:00Z"
    usage = [{"metadata": {"name": f"p{n}"}, "timestamp": at, "window": "15s", "containers": [
        {"name": "c", "usage": {"cpu": "300m"}}, {"name": "side", "usage": {"cpu": "100m"}}]} for n in range(2)]
    served = {"/apis/metrics.k8s.io/v1beta1/namespaces/default/pods": {"items": usage}}
    target = {"type": "Utilization", "averageUtilization": 100}
    found = reading(make, {"type": "Resource", "resource": {"name": "cpu", "target": target}}, served, ready_pods(make))
    assert found.replicas == 4 and found.shown["resource"]["current"] == {
        "averageUtilization": 200, "averageValue": "400m"}
    one = {"name": "cpu", "container": "c", "target": {"averageValue": "150m"}}
    found = reading(make, {"type": "ContainerResource", "containerResource": one}, served, ready_pods(make))
    assert found.replicas == 4 and found.name == "cpu container resource"
    custom = "/apis/custom.metrics.k8s.io/v1beta1/namespaces/default"
    rates = [{"describedObject": {"name": f"p{n}"}, "timestamp": at, "value": "7"} for n in range(2)]
    served = {f"{custom}/pods/*/rate": {"items": rates}, f"{custom}/services/web/rate": {"items": rates[:1]}}
    pods = {"metric": {"name": "rate"}, "target": {"averageValue": "2"}}
    assert reading(make, {"type": "Pods", "pods": pods}, served, ready_pods(make)).replicas == 7
    service = {"apiVersion": "v1", "kind": "Service", "name": "web"}
    about = {"metric": {"name": "rate"}, "describedObject": service, "target": {"value": "2"}}
    assert reading(make, {"type": "Object", "object": about}, served, ready_pods(make)).replicas == 7
    path = "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/depth"
    queue = {"metric": {"name": "depth"}, "target": {"averageValue": "10"}}
    served = {path: {"items": [{"value": "30"}, {"value": "12"}]}}
    assert reading(make, {"type": "External", "external": queue}, served).replicas == 5


def test_an_absent_metrics_api_is_told_in_upstreams_words(make) -> None:
    target = {"type": "Utilization", "averageUtilization": 50}
    found = reading(make, {"type": "Resource", "resource": {"name": "cpu", "target": target}}, {})
    assert found.reason == "FailedGetResourceMetric" and found.error.startswith(
        "failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from resource "
        "metrics API: the server could not find the requested resource (get pods.metrics.k8s.io)")
    assert found.failure == "failed to get cpu resource metric value"


def test_bounds_are_enforced_and_missing_metrics_told_on_a_cluster() -> None:
    async def scenario() -> None:
        async with SimCluster(3, 2) as cluster:
            labels = {"app": "web"}
            template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "web:1"}]}}
            await cluster.client.create(DEPLOYMENTS, {
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"},
                "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
            })
            target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
            await cluster.client.create(HORIZONTAL_POD_AUTOSCALERS, {
                "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
                "metadata": {"name": "web", "namespace": "default"},
                "spec": {"minReplicas": 3, "maxReplicas": 5, "scaleTargetRef": target},
            })

            async def scaled() -> bool:
                found = await cluster.client.get(DEPLOYMENTS, "web", "default")
                return found["spec"]["replicas"] == 3

            async def told() -> bool:
                found = await cluster.client.get(HORIZONTAL_POD_AUTOSCALERS, "web", "default")
                known = {one["type"]: one["reason"] for one in found["status"].get("conditions") or ()}
                return known.get("ScalingActive") == "FailedGetResourceMetric"

            await cluster.until(scaled, within_s=60)
            await cluster.until(told, within_s=60)
            events = (await cluster.client.list(CORE_EVENTS, "default"))["items"]
            text = "New size: 3; reason: Current number of replicas below Spec.MinReplicas"
            assert text in [event["message"] for event in events]

    run(scenario())


@pytest.mark.parametrize("answer", [
    {"items": [{}]}, {"items": [{"value": "many"}]}, {"items": ["x"]}, {"items": [{"value": None}]},
])
def test_a_malformed_answer_is_told_and_breaks_nothing(make, answer) -> None:
    path = "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/depth"
    queue = {"metric": {"name": "depth"}, "target": {"averageValue": "10"}}
    found = reading(make, {"type": "External", "external": queue}, {path: answer})
    assert found.proposal is None and found.reason == "FailedGetExternalMetric" and "malformed" in found.error


def test_two_autoscalers_of_the_same_pods_do_nothing_and_say_so() -> None:
    async def scenario(lab: Lab) -> None:
        for name in ("one", "two"):
            await lab.create(DEPLOYMENTS, name, spec=workload(replicas=1))
            target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
            await lab.create(HORIZONTAL_POD_AUTOSCALERS, name, spec={"maxReplicas": 3, "scaleTargetRef": target})

        async def told() -> bool:
            found = [await lab.condition(HORIZONTAL_POD_AUTOSCALERS, name, "ScalingActive") for name in ("one", "two")]
            return [one and one["reason"] for one in found] == ["AmbiguousSelector"] * 2

        await lab.until(told)
        found = await lab.condition(HORIZONTAL_POD_AUTOSCALERS, "one", "ScalingActive")
        assert found is not None and found["message"] == (
            "pods by selector app=web are controlled by multiple HPAs: [{one default} {two default}]")
        assert {"AmbiguousSelector", "FailedComputeMetricsReplicas"} <= await lab.reasons("one")
        await lab.client.delete(HORIZONTAL_POD_AUTOSCALERS, "two", "default")

        async def alone() -> bool:
            condition = await lab.condition(HORIZONTAL_POD_AUTOSCALERS, "one", "ScalingActive")
            return condition is not None and condition["reason"] == "FailedGetResourceMetric"

        await lab.until(alone)

    on_a_cluster(scenario)


def test_how_long_a_higher_recommendation_counts_can_be_set_and_the_autoscaler_itself_wins(make) -> None:
    for owner, soon, late in ((hpa(make), 31, 29), (hpa(make, behavior={"scaleDown": {
        "stabilizationWindowSeconds": 10, "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
    }}), 11, 9)):
        memory = Memory([(NOW, 8)], calm_s=30.0)
        assert limit(owner, 8, 2, memory, NOW + timedelta(seconds=late)).replicas == 8
        assert limit(owner, 8, 2, memory, NOW + timedelta(seconds=soon)).replicas == 2


def test_the_tolerance_of_all_can_be_set_and_the_autoscalers_own_wins(make) -> None:
    settings = AutoscalingSettings(tolerance=0.25)
    assert tolerance_of(hpa(make), settings) == Tolerance(0.25, 0.25)
    assert tolerance_of(hpa(make, behavior={"scaleUp": {"tolerance": "50m"}}), settings) == Tolerance(0.05, 0.25)


def test_how_long_a_pod_counts_as_starting_can_be_set() -> None:
    started, unready_at = (times.text(NOW - timedelta(seconds=ago)) for ago in (100, 80))
    condition = {"type": "Ready", "status": "False", "lastTransitionTime": unready_at}
    status = {"phase": "Running", "startTime": started, "conditions": [condition]}
    pod = {"metadata": {"name": "web-0"}, "status": status}
    found = {"web-0": Sample(1, NOW)}

    def unready(**settings: float) -> set[str]:
        return group_pods([pod], found, NOW, cpu=True, settings=AutoscalingSettings(**settings)).unready

    assert unready() == {"web-0"}
    assert unready(cpu_initialization_s=50.0) == {"web-0"}, "it became unready within 30 s of its start"
    assert unready(cpu_initialization_s=50.0, initial_readiness_delay_s=10.0) == set()
