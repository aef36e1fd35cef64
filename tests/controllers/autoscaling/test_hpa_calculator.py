"""How many replicas a metric asks for: the cases of upstream's replica calculator, each pod of two containers.

A case names the pods' use and what comes out; pods request 1000m a container, are ready and have run for long unless it
says otherwise.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from sampan.apimachinery.http import Response
from sampan.apimachinery.object import Object
from sampan.controllers.autoscaling.hpa_metrics import Metrics
from sampan.controllers.autoscaling.hpa_readings import Reading, Target, read
from sampan.controllers.autoscaling.hpa_replicas import MetricError, Sample, Tolerance, group_pods, requests_of
from sampan.sim.loop import run

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CONTAINERS = ("c1", "c2")


def text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Case:
    """`unready`, `hot` (started just now), `failed`, `going` and `pending` are numbers of pods."""

    now: int
    wanted: int
    use: tuple[int, ...]
    target: int
    shown: int
    pods: int = 0
    requests: tuple[int, ...] = ()
    unready: tuple[int, ...] = ()
    hot: tuple[int, ...] = ()
    failed: tuple[int, ...] = ()
    going: tuple[int, ...] = ()
    pending: tuple[int, ...] = ()
    tolerance: Tolerance = field(default_factory=Tolerance)

    def target_pods(self) -> tuple[Object, ...]:
        return tuple(self._pod(n) for n in range(self.pods or self.now))

    def _pod(self, number: int) -> Object:
        started = NOW if number in self.hot else NOW - timedelta(minutes=10)
        ready = "False" if number in self.unready else "True"
        phase = "Failed" if number in self.failed else "Pending" if number in self.pending else "Running"
        metadata: Object = {"name": f"p{number}", "namespace": "default"}
        if number in self.going:
            metadata["deletionTimestamp"] = text(NOW)
        cpu = {"requests": {"cpu": f"{self.requests[number] if self.requests else 1000}m"}}
        return {
            "metadata": metadata, "spec": {"containers": [{"name": one, "resources": cpu} for one in CONTAINERS]},
            "status": {"phase": phase, "startTime": text(started), "conditions": [{"type": "Ready", "status": ready}]},
        }

    def read(self, metric: Object, documents: dict[str, Any]) -> Reading:
        class Served:
            async def raw(self, method: str, path: str, query: Any = None) -> Response:
                return Response(200, {}, orjson.dumps(documents[path]))

        target = Target("default", "app=web", self.now, self.now, self.target_pods(), self.tolerance)

        async def ask() -> Reading:
            return await read(Metrics(Served()), metric, target, NOW)  # type: ignore[arg-type]

        return run(ask())


def by_cpu(case: Case) -> Reading:
    items = [
        {"metadata": {"name": f"p{n}"}, "timestamp": text(NOW), "window": "30s",
         "containers": [{"name": one, "usage": {"cpu": f"{use}m"}} for one in CONTAINERS]}
        for n, use in enumerate(case.use)
    ]
    target = {"type": "Utilization", "averageUtilization": case.target}
    metric = {"type": "Resource", "resource": {"name": "cpu", "target": target}}
    return case.read(metric, {"/apis/metrics.k8s.io/v1beta1/namespaces/default/pods": {"items": items}})


CPU = {
    "up": Case(3, 5, (300, 500, 700), 30, 50),
    "up, one is not ready": Case(3, 4, (300, 500, 700), 30, 60, unready=(0,)),
    "up, one is hot": Case(3, 4, (300, 500, 700), 30, 60, hot=(0,)),
    "up no more, two are not ready": Case(3, 3, (400, 500, 700), 30, 40, unready=(1, 2)),
    "up no more, two are hot": Case(3, 3, (400, 500, 700), 30, 40, unready=(1, 2), hot=(1, 2)),
    "up, failed pods are ignored": Case(2, 4, (500, 700), 30, 60, pods=4, unready=(2, 3), failed=(2, 3)),
    "up, pods that go are ignored": Case(2, 4, (500, 700), 30, 60, pods=4, unready=(2, 3), going=(2, 3)),
    "down": Case(5, 3, (100, 300, 500, 250, 250), 50, 28),
    "down, those not ready left out": Case(5, 2, (100, 300, 500, 250, 250), 50, 30, unready=(3, 4)),
    "down, pending ones left out": Case(5, 1, (100,), 50, 10, unready=(1, 2, 3, 4), pending=(1, 2, 3, 4)),
    "down, hot ones left out": Case(5, 2, (100, 300, 500, 250, 250), 50, 30, hot=(3, 4)),
    "down, failed ones ignored": Case(5, 3, (100, 300, 500, 250, 250), 50, 28, pods=7, unready=(5, 6), failed=(5, 6)),
    "down, those that go ignored": Case(5, 3, (100, 300, 500, 250, 250), 50, 28, pods=7, unready=(5, 6), going=(5, 6)),
    "within the tolerance": Case(3, 3, (1010, 1030, 1020), 100, 102, requests=(900, 1000, 1100)),
    "numbers of pods nobody knows": Case(4, 24, (4000, 9500, 3000, 7000, 3200, 2000), 100, 587),
    "two without numbers, down": Case(4, 3, (400, 95), 100, 24),
    "one without a number, at the target": Case(2, 2, (1000,), 100, 100),
    "one without a number, above": Case(2, 2, (1900,), 100, 190),
    "one without a number, below": Case(2, 2, (600,), 100, 60),
    "one not ready, one without a number": Case(3, 3, (100, 450), 50, 45, unready=(0,)),
    "one hot, one without a number": Case(3, 3, (100, 450), 50, 45, hot=(0,)),
    "one not ready, one without, up": Case(3, 4, (100, 2000), 50, 200, unready=(0,)),
    "one hot, one without, up": Case(3, 4, (100, 2000), 50, 200, unready=(0,), hot=(0,)),
    "one not ready, one without, down": Case(4, 3, (100, 100, 100), 50, 10, unready=(0,)),
    "a rolling update with a pod more": Case(2, 2, (100, 100), 50, 10, pods=3),
    "just beyond the tolerance": Case(10, 9, (150,) * 10, 56, 50, requests=(
        400, 200, 310, 290, 302, 298, 301, 299, 300, 300)),
    "just within the tolerance": Case(10, 10, (150,) * 10, 55, 50, requests=(
        400, 200, 310, 290, 302, 298, 301, 299, 300, 300)),
    "a tolerance of one's own, up": Case(3, 4, (330, 330, 330), 30, 33, tolerance=Tolerance(up=0.05)),
    "a larger tolerance, up": Case(3, 3, (400, 400, 400), 30, 40, tolerance=Tolerance(up=0.5)),
    "a tolerance of one's own, down": Case(10, 10, (200,) * 10, 30, 20, tolerance=Tolerance(down=0.5)),
    "no tolerance, down": Case(10, 10, (290,) * 10, 30, 29, tolerance=Tolerance(down=0.0)),
    "no tolerance, down by one": Case(100, 97, (290,) * 100, 30, 29, tolerance=Tolerance(down=0.0)),
}


@pytest.mark.parametrize("case", CPU.values(), ids=CPU.keys())
def test_by_utilization(case: Case) -> None:
    found = by_cpu(case)
    assert found.proposal is not None, found.error
    assert (found.replicas, found.proposal.utilization) == (case.wanted, case.shown)


@pytest.mark.parametrize(("case", "error"), [
    (Case(4, 0, (), 100, 0), "unable to get metrics for resource cpu: no metrics returned from resource metrics API"),
    (Case(0, 0, (100,), 100, 0), "no pods returned by selector while calculating replica count"),
    (Case(1, 0, (100,), 100, 0, pending=(0,)), "did not receive metrics for targeted pods (pods might be unready)"),
])
def test_what_says_nothing_is_an_error(case: Case, error: str) -> None:
    found = by_cpu(case)
    assert found.proposal is None and error in found.error


def by_pods(case: Case) -> Reading:
    path = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/default/pods/*/qps"
    items = [
        {"describedObject": {"name": f"p{n}"}, "timestamp": text(NOW), "value": f"{use}m"}
        for n, use in enumerate(case.use)
    ]
    pods = {"metric": {"name": "qps"}, "target": {"type": "AverageValue", "averageValue": f"{case.target}m"}}
    return case.read({"type": "Pods", "pods": pods}, {path: {"items": items}})


PODS = {
    "up": Case(3, 4, (20000, 10000, 30000), 15000, 20000),
    "up, not ready and hot count": Case(3, 6, (50000, 10000, 30000), 15000, 30000, unready=(2,), hot=(2,)),
    "up, two not ready count": Case(3, 7, (50000, 15000, 30000), 15000, 31666, unready=(0, 2), hot=(0, 2)),
    "up, one pod": Case(1, 2, (8600,), 4400, 8600),
    "down": Case(5, 3, (12000,) * 5, 20000, 12000),
    "within the tolerance": Case(3, 3, (20000, 21000, 21000), 20000, 20666),
}


@pytest.mark.parametrize("case", PODS.values(), ids=PODS.keys())
def test_by_a_metric_of_pods(case: Case) -> None:
    found = by_pods(case)
    assert found.proposal is not None and (found.replicas, found.proposal.average_m) == (case.wanted, case.shown)


def by_number(case: Case, kind: str, *, each: bool) -> Reading:
    root = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/default/deployments.apps/some/qps"
    if kind == "External":
        root = "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/qps"
    target = {"averageValue": f"{case.target}m"} if each else {"value": f"{case.target}m"}
    described = {"kind": "Deployment", "apiVersion": "apps/v1", "name": "some"}
    source: Object = {"metric": {"name": "qps"}, "target": target}
    source |= {} if kind == "External" else {"describedObject": described}
    return case.read(
        {"type": kind, kind.lower(): source}, {root: {"items": [{"value": f"{use}m"} for use in case.use]}}
    )


@pytest.mark.parametrize(("kind", "each", "case"), [
    ("Object", False, Case(3, 4, (20000,), 15000, 20000)),
    ("Object", True, Case(3, 4, (20000,), 5000, 6667)),
    ("Object", False, Case(3, 5, (50000,), 10000, 50000, unready=(0, 2))),
    ("Object", True, Case(5, 3, (6000,), 2000, 1200)),
    ("Object", False, Case(5, 3, (12000,), 20000, 12000)),
    ("Object", False, Case(3, 3, (20666,), 20000, 20666)),
    ("Object", True, Case(4, 4, (20166,), 5000, 5042)),
    ("External", False, Case(3, 2, (8600,), 4400, 8600, unready=(0, 2))),
    ("External", True, Case(3, 4, (8600,), 2150, 2867)),
    ("External", False, Case(5, 3, (8600,), 14334, 8600)),
    ("External", True, Case(5, 3, (8600,), 2867, 1720)),
    ("External", False, Case(3, 3, (8600,), 8888, 8600)),
    ("External", True, Case(3, 3, (8600,), 2900, 2867)),
    ("External", False, Case(1, 2, (4000, 4600), 4400, 8600)),
])
def test_by_one_number(kind: str, each: bool, case: Case) -> None:
    found = by_number(case, kind, each=each)
    assert found.replicas == case.wanted, found.error
    assert found.shown is not None
    shown = found.shown[kind.lower()]["current"]["averageValue" if each else "value"]
    expected = f"{case.shown // 1000}" if case.shown % 1000 == 0 else f"{case.shown}m"
    assert shown == expected


def test_from_nothing_one_number_decides_alone() -> None:
    assert by_number(Case(0, 3, (3000,), 1000, 3000), "External", each=False).replicas == 3
    assert by_number(Case(0, 0, (0,), 1000, 0), "Object", each=False).replicas == 0


def test_one_number_for_no_pods_is_an_error() -> None:
    found = by_number(Case(3, 0, (1000,), 1000, 0, pods=-1), "Object", each=False)
    assert "no pods returned by selector while calculating replica count" in found.error


MINUTE = timedelta(minutes=1)
GROUPS = {
    "fresh numbers soon after the start": (MINUTE, timedelta(seconds=30), "True", timedelta(seconds=30), True),
    "numbers from before it was ready": (MINUTE, timedelta(seconds=30), "True", MINUTE, False),
    "never ready": (10 * MINUTE, 10 * MINUTE - timedelta(seconds=6), "False", MINUTE, False),
    "was ready once": (10 * MINUTE, 9 * MINUTE, "False", MINUTE, True),
    "old numbers long after the start": (6 * MINUTE, 6 * MINUTE, "True", MINUTE, True),
}


@pytest.mark.parametrize(("age", "since", "ready", "window", "counts"), GROUPS.values(), ids=GROUPS.keys())
def test_which_cpu_numbers_count(
    age: timedelta, since: timedelta, ready: str, window: timedelta, counts: bool
) -> None:
    condition = {"type": "Ready", "status": ready, "lastTransitionTime": text(NOW - since)}
    status = {"phase": "Running", "startTime": text(NOW - age), "conditions": [condition]}
    groups = group_pods([{"metadata": {"name": "p"}, "status": status}], {"p": Sample(1, NOW, window)}, NOW, cpu=True)
    assert (groups.ready, groups.unready) == ((1, set()) if counts else (0, {"p"}))


def test_a_pod_without_conditions_does_not_count_for_cpu_and_does_for_memory() -> None:
    pods = [{"metadata": {"name": "p"}, "status": {"phase": "Running", "startTime": text(NOW)}}]
    assert group_pods(pods, {"p": Sample(1, NOW)}, NOW, cpu=True).unready == {"p"}
    assert group_pods(pods, {"p": Sample(1, NOW)}, NOW, cpu=False).ready == 1


def asking(*cpu: str, sidecar: str = "", init: str = "", whole: Object | None = None) -> Object:
    def container(name: str, amount: str) -> Object:
        return {"name": name, "resources": {"requests": {"cpu": amount}} if amount else {}}

    early = [{**container("side", sidecar), "restartPolicy": "Always"}] if sidecar else []
    early += [container("once", init)] if init else []
    spec: Object = {"containers": [container(f"c{n}", one) for n, one in enumerate(cpu)], "initContainers": early}
    return {"metadata": {"name": "p"}, "spec": spec | ({"resources": {"requests": whole}} if whole else {})}


@pytest.mark.parametrize(("pod", "container", "found"), [
    (asking("1", "500m"), "", 1500),
    (asking("1", sidecar="200m", init="5"), "", 1200),
    (asking("1", sidecar="200m"), "side", 200),
    (asking("1", "", whole={"cpu": "3"}), "", 3000),
    (asking("1", whole={"cpu": "3"}), "c0", 1000),
    (asking("1", "", whole={"memory": "1Gi"}), "", 1000),
    (asking("1", ""), "", "missing request for cpu in container c1 of Pod p"),
    (asking(""), "c0", "missing request for cpu in container c0 of Pod p"),
    (asking("1"), "other", "container other not found in Pod p"),
    (asking("", whole={"memory": "1Gi"}), "", "missing pod-level request for cpu in Pod p"),
])
def test_what_a_pod_requests(pod: Object, container: str, found: int | str) -> None:
    if isinstance(found, int):
        assert requests_of([pod], "cpu", container) == {"p": found}
        return
    with pytest.raises(MetricError, match=re.escape(found)):
        requests_of([pod], "cpu", container)


def test_a_container_that_a_pod_does_not_have_is_an_error() -> None:
    usage = [{"metadata": {"name": "p0"}, "timestamp": text(NOW), "window": "30s", "containers": [{"name": "c1"}]}]
    source = {"name": "cpu", "container": "other", "target": {"averageValue": "1"}}
    found = Case(1, 0, (), 0, 0).read(
        {"type": "ContainerResource", "containerResource": source},
        {"/apis/metrics.k8s.io/v1beta1/namespaces/default/pods": {"items": usage}},
    )
    assert "failed to get container metrics: container other not present in metrics for pod default/p0" in found.error


def test_a_pod_from_before_the_clock_was_set_back_is_not_young() -> None:
    pod = Case(1, 1, (500,), 50, 50)._pod(0)
    pod["status"]["startTime"] = pod["status"]["conditions"][0]["lastTransitionTime"] = text(NOW + timedelta(hours=1))
    sample = Sample(500, NOW, timedelta(seconds=30))
    assert group_pods([pod], {"p0": sample}, NOW, cpu=True).ready == 1
    pod["status"]["startTime"] = text(NOW)
    assert group_pods([pod], {"p0": sample}, NOW, cpu=True).unready == {"p0"}
