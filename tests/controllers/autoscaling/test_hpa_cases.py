"""What an autoscaler makes of its pods and metrics in one look: upstream's cases, with servers that answer as told."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, TypeVar

import orjson
import pytest

from sampan import effects
from sampan.apimachinery import errors
from sampan.apimachinery.http import Response
from sampan.apimachinery.object import Object
from sampan.controllers import times
from sampan.controllers.autoscaling.horizontal_pod_autoscaler import HorizontalPodAutoscalerReconciler
from sampan.controllers.autoscaling.hpa_behavior import Memory
from sampan.effects.seeded import SeededSource
from sampan.reconcile.plan import Note, Plan, Update
from sampan.sim.loop import run

T = TypeVar("T")
KEY, NAMESPACE, SELECTOR = "default/web", "default", "app=web"
RESOURCE, CUSTOM, EXTERNAL = ("/apis/metrics.k8s.io", "/apis/custom.metrics.k8s.io", "/apis/external.metrics.k8s.io")
UNKNOWN = {"type": "CheddarCheese"}
STALE, HOT, COOL = timedelta(days=1), timedelta(0), timedelta(minutes=3)
"""How long ago a pod started."""


def cpu(percent: int, container: str = "") -> Object:
    target = {"type": "Utilization", "averageUtilization": percent}
    if container:
        return {"type": "ContainerResource", "containerResource": {
            "name": "cpu", "container": container, "target": target}}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def of_pods(average: str) -> Object:
    target = {"type": "AverageValue", "averageValue": average}
    return {"type": "Pods", "pods": {"metric": {"name": "qps"}, "target": target}}


def of_object(**target: str) -> Object:
    about = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "some"}
    return {"type": "Object", "object": {"metric": {"name": "qps"}, "describedObject": about, "target": target}}


def external(**target: str) -> Object:
    return {"type": "External", "external": {"metric": {"name": "qps", "selector": {}}, "target": target}}


@dataclass(frozen=True)
class Case:
    """A target of so many replicas, what its pods are like, and what comes of it. Amounts are in thousandths."""

    bounds: tuple[int, int]
    replicas: int
    metrics: tuple[Object, ...]
    levels: tuple[int, ...]
    expect: int
    requests: tuple[int, ...] = ()
    unready: tuple[int, ...] = ()
    started: tuple[timedelta, ...] = ()
    failed: tuple[int, ...] = ()
    going: tuple[int, ...] = ()
    status_replicas: int | None = None
    selector: str = SELECTOR
    behavior: Object | None = None
    past: tuple[tuple[int, float], ...] | None = ()
    """Earlier recommendations, each with its age in minutes; None: it looks for the first time."""
    broken: tuple[str, ...] = ()
    utilization: int | None = None
    reasons: Object = field(default_factory=dict)
    """Of the conditions, where they are not those of a target that was scaled as its metrics say."""

    @property
    def count(self) -> int:
        return len(self.requests) if self.requests else self.replicas


class Server:
    """The target's scale, and three APIs of metrics."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.size = case.replicas
        self.conflicts: list[int] = []
        """At each of the next writes somebody else has set this many replicas."""

    async def get(self, resource: Any, name: str, namespace: str, *, subresource: str) -> Object:
        if "scale" in self.case.broken:
            raise errors.InternalError("something went wrong")
        status = self.case.replicas if self.case.status_replicas is None else self.case.status_replicas
        return {"metadata": {"name": name, "namespace": namespace}, "spec": {"replicas": self.size},
                "status": {"replicas": status, "selector": self.case.selector}}

    async def update(self, resource: Any, scale: Object, *, subresource: str) -> Object:
        if "write" in self.case.broken:
            raise errors.InternalError("something went wrong")
        if self.conflicts:
            self.size = self.conflicts.pop(0)
            raise errors.Conflict("it was written")
        self.size = scale["spec"]["replicas"]
        return scale

    async def raw(self, method: str, path: str, query: Object) -> Response:
        for api in self.case.broken:
            if path.startswith(api):
                raise errors.InternalError("something went wrong")
        at, levels = times.text(effects.now()), self.case.levels
        if path.startswith(RESOURCE):
            items = [{"metadata": {"name": f"p{n}"}, "timestamp": at, "window": "1m", "containers": [
                {"name": name, "usage": {"cpu": f"{level // 2}m"}} for name in ("one", "two")]}
                for n, level in enumerate(levels)]
        elif "/pods/*/" in path:
            items = [{"describedObject": {"name": f"p{n}"}, "timestamp": at, "value": f"{level}m"}
                     for n, level in enumerate(levels)]
        else:
            assert path.startswith(EXTERNAL) or path.endswith("/deployments.apps/some/qps")
            items = [{"value": f"{level}m"} for level in levels]
        return Response(200, {}, orjson.dumps({"items": items}))


def pod(case: Case, n: int, now: datetime) -> Object:
    since = times.text(now - (case.started[n] if case.started else STALE))
    request = (case.requests[n] if case.requests else 1000) // 2
    containers = [{"name": name, "resources": {"requests": {"cpu": f"{request}m"}}} for name in ("one", "two")]
    ready = {"type": "Ready", "status": str(n not in case.unready), "lastTransitionTime": since}
    return {
        "metadata": {"name": f"p{n}", "namespace": NAMESPACE, "labels": {"app": "web"},
                     **({"deletionTimestamp": times.text(now)} if n in case.going else {})},
        "spec": {"containers": containers},
        "status": {"phase": "Failed" if n in case.failed else "Running", "startTime": since, "conditions": [ready]},
    }


def loop_of(case: Case, server: Server, status: Object | None = None) -> HorizontalPodAutoscalerReconciler:
    target = {"kind": "ReplicationController", "name": "web", "apiVersion": "v1"}
    spec: Object = {
        "minReplicas": case.bounds[0], "maxReplicas": case.bounds[1], "scaleTargetRef": target,
        "metrics": list(case.metrics), **({"behavior": case.behavior} if case.behavior else {}),
    }
    known = {"currentReplicas": case.replicas, "desiredReplicas": case.replicas, **(status or {})}
    hpa = {"metadata": {"name": "web", "namespace": NAMESPACE, "generation": 1}, "spec": spec, "status": known}

    now = effects.now()
    pods = [pod(case, n, now) for n in range(case.count)]
    autoscalers = SimpleNamespace(get=lambda name, namespace: hpa, get_by_key=lambda key: hpa)
    wiring = SimpleNamespace(
        client=server, watch=lambda resource, facts: autoscalers,
        read=lambda resource: SimpleNamespace(list=lambda namespace, selector: pods),
    )
    return HorizontalPodAutoscalerReconciler(wiring)  # type: ignore[arg-type]


def look(case: Case, server: Server | None = None, status: Object | None = None) -> tuple[Plan, Server]:
    """Let the loop look once."""
    server = server or Server(case)

    async def once() -> Plan:
        loop = loop_of(case, server, status)
        if case.past is not None:
            steady = datetime.fromtimestamp(effects.monotonic(), UTC)
            memory = [(steady - timedelta(minutes=age), number) for number, age in case.past]
            loop._memory[KEY] = Memory(memory)
        return await loop.reconcile(KEY)

    return play(once()), server


def play(scenario: Coroutine[Any, Any, T]) -> T:
    """On virtual time, clocks too."""

    async def timed() -> T:
        with effects.use(SeededSource(1, asyncio.get_running_loop().time)):
            return await scenario

    return run(timed())


def status_after(decided: Plan) -> Object:
    [update] = decided.steps
    assert isinstance(update, Update)
    return update.obj["status"]  # type: ignore[no-any-return]


def reasons(status: Object) -> dict[str, str]:
    return {one["type"]: one["reason"] for one in status["conditions"]}


def told(decided: Plan) -> list[str]:
    return [note.reason for note in decided.notes if isinstance(note, Note)]


ONES = (1000, 1000, 1000)
FIVE = (100, 300, 500, 250, 250)
BASE = Case((2, 6), 3, (cpu(30),), (300, 500, 700), 5, ONES, utilization=50)
DOWN = Case((2, 6), 5, (cpu(50),), FIVE, 3, (1000,) * 5, utilization=28)
QPS = Case((2, 6), 3, (of_pods("15"),), (20000, 10000, 30000), 4)
MIXED = (900, 1000, 1100)
STILL = {"AbleToScale": "ReadyForNewScale"}
FULL, EMPTY = {"ScalingLimited": "TooManyReplicas"}, {"ScalingLimited": "TooFewReplicas"}


def failing(reason: str) -> Object:
    return {"AbleToScale": "SucceededGetScale", "ScalingActive": reason, "ScalingLimited": None}


UP = {
    "by use": BASE,
    "by use of a container": replace(BASE, metrics=(cpu(30, "one"),)),
    "less when one is not ready": replace(BASE, unready=(0,), expect=4, utilization=60),
    "less when one has just started": replace(BASE, started=(HOT, COOL, COOL), expect=4, utilization=60),
    "not when most are not ready": replace(
        BASE, levels=(400, 500, 700), unready=(1, 2), expect=3, utilization=40, reasons=STILL),
    "not when most have just started": replace(
        BASE, levels=(400, 500, 700), unready=(1, 2), started=(COOL, HOT, HOT), expect=3, utilization=40,
        reasons=STILL),
    "without the failed": replace(
        BASE, replicas=2, levels=(500, 700), requests=(1000,) * 4, unready=(2, 3), failed=(2, 3), expect=4,
        utilization=60),
    "without those that go": replace(
        BASE, replicas=2, levels=(500, 700), requests=(1000,) * 4, unready=(2, 3), going=(2, 3), expect=4,
        utilization=60),
    "by a metric of pods": QPS,
    "a metric of pods also of one that is not ready": replace(
        QPS, levels=(50000, 10000, 30000), unready=(2,), started=(COOL, COOL, HOT), requests=ONES, expect=6),
    "a metric of pods also of most that are not ready": replace(
        QPS, levels=(50000, 15000, 30000), unready=(0, 2), started=(HOT, COOL, HOT), expect=6, reasons=FULL),
    "a metric of pods also of those that have just started": replace(
        QPS, levels=(50000, 15000, 30000), started=(HOT, COOL, HOT), expect=6, reasons=FULL),
    "by an object": replace(QPS, metrics=(of_object(type="Value", value="15"),), levels=(20000,)),
    "from nothing by an object": replace(
        QPS, bounds=(0, 6), replicas=0, metrics=(of_object(type="Value", value="15"),), levels=(20000,), expect=2),
    "from nothing without a tolerance": replace(
        QPS, bounds=(0, 6), replicas=0, metrics=(of_object(type="Value", value="1"),), levels=(1000,), expect=1),
    "by an object for each pod": replace(
        QPS, metrics=(of_object(type="AverageValue", averageValue="10"),), levels=(40000,)),
    "by an external number": replace(QPS, metrics=(external(type="Value", value="6666m"),), levels=(8600,)),
    "by an external number for each pod": replace(
        QPS, metrics=(external(type="AverageValue", averageValue="2222m"),), levels=(8600,)),
    "though one metric is unknown": replace(
        BASE, metrics=(cpu(30), UNKNOWN), levels=(300, 400, 500), expect=4, utilization=40),
    "from nothing though one metric is unknown": replace(
        BASE, bounds=(0, 6), replicas=0, metrics=(cpu(30), UNKNOWN), levels=(300, 400, 500), expect=4, utilization=40),
    "though one metric cannot be read": replace(
        BASE, metrics=(cpu(30), external(type="Value", value="100m")), levels=(300, 400, 500), broken=(EXTERNAL,),
        expect=4, utilization=40),
    "to the most": replace(
        BASE, bounds=(2, 5), metrics=(cpu(90),), levels=(8000, 9500, 1000), requests=MIXED, expect=5, utilization=616,
        reasons=FULL),
    "with numbers of pods that are not the target's": replace(
        BASE, replicas=4, metrics=(cpu(100),), levels=(4000, 9500, 3000, 7000, 3200, 2000), requests=(1000,) * 4,
        expect=6, utilization=None, reasons=FULL),
    "eightfold at most": replace(
        BASE, bounds=(1, 100), metrics=(cpu(10),), levels=(100, 200, 300), requests=(100,) * 3, expect=24,
        utilization=200, reasons={"ScalingLimited": "ScaleUpLimit"},
        behavior={"scaleUp": {"policies": [{"type": "Percent", "value": 700, "periodSeconds": 60}]}}),
    "eightfold would be more than the most": replace(
        BASE, bounds=(1, 20), metrics=(cpu(10),), levels=(100, 200, 300), requests=(100,) * 3, expect=20,
        utilization=200, reasons=FULL,
        behavior={"scaleUp": {"policies": [{"type": "Percent", "value": 700, "periodSeconds": 60}]}}),
    "not because more run than should": replace(
        BASE, bounds=(1, 8), replicas=4, status_replicas=5, metrics=(cpu(50),), levels=(500,) * 5,
        requests=(1000,) * 5, expect=4, reasons=STILL),
    "both metrics, the higher": replace(
        QPS, bounds=(1, 5), metrics=(cpu(10), of_pods("15")), requests=ONES, expect=5, reasons=FULL),
}
DOWNWARDS = {
    "by use": DOWN,
    "by use of a container": replace(DOWN, metrics=(cpu(50, "two"),)),
    "with rules for the other direction": replace(DOWN, behavior={"scaleUp": {
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}], "stabilizationWindowSeconds": 30}}),
    "not at the first look": replace(DOWN, past=None, expect=5, reasons={"AbleToScale": "ScaleDownStabilized"}),
    "not below what was asked for lately": replace(
        DOWN, bounds=(1, 5), replicas=4, metrics=(cpu(100),), levels=(50,) * 3, requests=(100,) * 3, expect=4,
        utilization=50, past=((10, 10), (4, 1)), reasons={"AbleToScale": "ScaleDownStabilized"}),
    "by a metric of pods": replace(
        DOWN, metrics=(of_pods("20"),), levels=(12000,) * 5, utilization=None),
    "by an object": replace(
        DOWN, metrics=(of_object(type="Value", value="20"),), levels=(12000,), utilization=None),
    "to nothing by an object": replace(
        DOWN, bounds=(0, 6), metrics=(of_object(type="Value", value="20"),), levels=(0,), expect=0, utilization=None),
    "by an object for each pod": replace(
        DOWN, metrics=(of_object(type="AverageValue", averageValue="20"),), levels=(60000,), utilization=None),
    "by an external number": replace(
        DOWN, metrics=(external(type="Value", value="14400m"),), levels=(8600,), utilization=None),
    "to nothing by an external number": replace(
        DOWN, bounds=(0, 6), metrics=(external(type="Value", value="14400m"),), levels=(0,), expect=0,
        utilization=None),
    "by an external number for each pod": replace(
        DOWN, metrics=(external(type="AverageValue", averageValue="3"),), levels=(8600,), utilization=None),
    "more when some are not ready": replace(DOWN, unready=(3, 4), expect=2, utilization=30),
    "more when some have just started": replace(
        DOWN, started=(COOL, COOL, COOL, HOT, HOT), expect=2, utilization=30),
    "without the failed": replace(DOWN, requests=(1000,) * 7, unready=(5, 6), failed=(5, 6)),
    "without those that go": replace(DOWN, requests=(1000,) * 7, unready=(5, 6), going=(5, 6)),
    "to the least": replace(
        BASE, bounds=(2, 5), metrics=(cpu(90),), levels=(10, 95, 10), requests=MIXED, expect=2, utilization=None,
        reasons=EMPTY),
    "to nothing": replace(
        BASE, bounds=(0, 5), metrics=(cpu(90),), levels=(0, 0, 0), requests=MIXED, expect=0, utilization=0),
    "to the least, not to nothing": replace(
        BASE, bounds=(2, 5), metrics=(cpu(90),), levels=(0, 0, 0), requests=MIXED, expect=2, utilization=0,
        reasons=EMPTY),
    "half as if the missing were busy": replace(
        DOWN, replicas=4, metrics=(cpu(100),), levels=(400, 95), requests=(1000,) * 4, utilization=24),
    "when most pods are not there": replace(
        DOWN, bounds=(1, 5), replicas=4, levels=(200,), requests=(200,), expect=2, utilization=100),
    "just beyond the tolerance": replace(
        DOWN, bounds=(0, 1000), replicas=10, metrics=(cpu(56),), levels=(150,) * 10, expect=9, utilization=50,
        requests=(400, 200, 310, 290, 302, 298, 301, 299, 300, 300)),
}
NEITHER = {
    "just within the tolerance": replace(
        DOWN, bounds=(0, 1000), replicas=10, metrics=(cpu(55),), levels=(150,) * 10, expect=10, utilization=50,
        requests=(400, 200, 310, 290, 302, 298, 301, 299, 300, 300), reasons=STILL),
    "tolerance, by use": replace(
        BASE, bounds=(1, 5), metrics=(cpu(100),), levels=(1010, 1030, 1020), requests=MIXED, expect=3, utilization=102,
        reasons=STILL),
    "tolerance, of pods": replace(
        QPS, bounds=(1, 5), metrics=(of_pods("20"),), levels=(20000, 20001, 21000), expect=3, reasons=STILL),
    "tolerance, by an object": replace(
        QPS, bounds=(1, 5), metrics=(of_object(type="Value", value="20"),), levels=(20050,), expect=3, reasons=STILL),
    "tolerance, by an external number": replace(
        QPS, replicas=4, metrics=(external(type="Value", value="8666m"),), levels=(8600,), reasons=STILL),
    "tolerance, by an object for each pod": replace(
        QPS, replicas=4, metrics=(of_object(type="AverageValue", averageValue="2200m"),), levels=(8600,),
        reasons=STILL),
    "tolerance, by an external number for each pod": replace(
        QPS, replicas=4, metrics=(external(type="AverageValue", averageValue="2200m"),), levels=(8600,),
        reasons=STILL),
    "as wanted": replace(
        BASE, bounds=(1, 5), replicas=2, metrics=(cpu(50),), levels=(200, 200), requests=(400, 400), expect=2,
        utilization=50, reasons=STILL),
    "switched off": replace(
        BASE, bounds=(3, 5), replicas=0, levels=(), requests=(), expect=0, utilization=None,
        reasons=failing("ScalingDisabled")),
}
BOUNDS = {
    "too few": replace(BASE, bounds=(3, 5), replicas=2, levels=(), expect=3),
    "too many": replace(BASE, bounds=(3, 5), replicas=10, levels=(), expect=5),
    "one too few, idle": replace(BASE, replicas=1, levels=(0,) * 4, requests=(1000,) * 4, expect=2),
    "one too many, busy": replace(BASE, bounds=(2, 5), replicas=6, levels=(8000, 9500, 1000), expect=5),
}
FAILING = {
    "only an unknown metric": replace(QPS, metrics=(UNKNOWN,), reasons=failing("InvalidMetricSourceType")),
    "no numbers": replace(
        BASE, replicas=4, levels=(), requests=(1000,) * 4, reasons=failing("FailedGetResourceMetric")),
    "no requests": replace(
        BASE, bounds=(1, 5), replicas=1, levels=(200,), requests=(0,), reasons=failing("FailedGetResourceMetric")),
    "no selector": replace(BASE, selector="", reasons=failing("InvalidSelector")),
    "no valid selector": replace(BASE, selector="cheddar cheese", reasons=failing("InvalidSelector")),
    "no resource metrics": replace(BASE, broken=(RESOURCE,), reasons=failing("FailedGetResourceMetric")),
    "no metrics of containers": replace(
        BASE, metrics=(cpu(30, "one"),), broken=(RESOURCE,), reasons=failing("FailedGetContainerResourceMetric")),
    "no metrics of pods": replace(QPS, broken=(CUSTOM,), reasons=failing("FailedGetPodsMetric")),
    "no metrics of objects": replace(
        QPS, metrics=(of_object(type="Value", value="15"),), broken=(CUSTOM,),
        reasons=failing("FailedGetObjectMetric")),
    "no external metrics": replace(
        QPS, metrics=(external(type="Value", value="300m"),), broken=(EXTERNAL,),
        reasons=failing("FailedGetExternalMetric")),
    "fewer, though one metric is unknown": replace(
        DOWN, metrics=(cpu(50), UNKNOWN), reasons=failing("InvalidMetricSourceType")),
    "fewer, though one metric cannot be read": replace(
        DOWN, metrics=(cpu(50), external(type="AverageValue", averageValue="1")), broken=(EXTERNAL,),
        reasons=failing("FailedGetExternalMetric")),
    "no scale": replace(BASE, broken=("scale",), reasons={
        "AbleToScale": "FailedGetScale", "ScalingActive": None, "ScalingLimited": None}),
    "not written": replace(
        BASE, bounds=(1, 5), metrics=(cpu(100),), levels=(150,) * 3, requests=(100,) * 3,
        broken=("write",), reasons={"AbleToScale": "FailedUpdateScale"}),
}
USUAL = {"AbleToScale": "SucceededRescale", "ScalingActive": "ValidMetricFound", "ScalingLimited": "DesiredWithinRange"}


def parameters(cases: dict[str, Case]) -> Sequence[Any]:
    return [pytest.param(case, id=name) for name, case in cases.items()]


@pytest.mark.parametrize("case", [*parameters(UP), *parameters(DOWNWARDS), *parameters(NEITHER)])
def test_a_look_at_the_metrics(case: Case) -> None:
    decided, server = look(case)
    status = status_after(decided)
    assert (server.size, status["desiredReplicas"], status["currentReplicas"]) == (
        case.expect, case.expect, case.replicas)
    wanted = {**USUAL, **case.reasons}
    assert reasons(status) == {kind: reason for kind, reason in wanted.items() if reason is not None}
    if case.utilization is not None:
        shown = status["currentMetrics"][0]
        assert shown[shown["type"][0].lower() + shown["type"][1:]]["current"]["averageUtilization"] == case.utilization
    is_changed = case.expect != case.replicas
    assert ("lastScaleTime" in status) == is_changed == ("SuccessfulRescale" in told(decided))


@pytest.mark.parametrize("case", parameters(BOUNDS))
def test_bounds_hold_without_a_look_at_the_metrics(case: Case) -> None:
    decided, server = look(replace(case, broken=(RESOURCE,)))
    status = status_after(decided)
    assert (server.size, status["desiredReplicas"]) == (case.expect, case.expect)
    assert reasons(status) == {"AbleToScale": "SucceededRescale"}


@pytest.mark.parametrize("case", parameters(FAILING))
@pytest.mark.parametrize("desired", [0, 4])
def test_what_fails_is_told_and_what_was_desired_still_is(case: Case, desired: int) -> None:
    decided, server = look(case, status={"desiredReplicas": desired})
    status = status_after(decided)
    assert (server.size, status["desiredReplicas"], status["currentReplicas"]) == (
        case.replicas, desired, case.replicas)
    wanted = {**USUAL, **case.reasons}
    assert reasons(status) == {kind: reason for kind, reason in wanted.items() if reason is not None}
    assert "lastScaleTime" not in status and told(decided) and all(note.type == "Warning" for note in decided.notes)
    assert decided.requeue_after_s == 15


def test_a_rescale_says_why() -> None:
    decided, _ = look(Case((1, 5), 1, (cpu(50),), (200,), 2, (200,)))
    assert [(note.reason, note.message) for note in decided.notes] == [
        ("SuccessfulRescale", "New size: 2; reason: cpu resource utilization (percentage of request) above target")]
    assert not look(NEITHER["as wanted"])[0].notes


def test_nothing_is_written_when_nothing_has_changed() -> None:
    first = status_after(look(NEITHER["as wanted"])[0])
    assert not look(NEITHER["as wanted"], status=first)[0].steps


def test_the_size_that_was_found_holds_for_five_minutes_also_while_no_metric_can_be_read() -> None:
    async def scenario() -> None:
        server = Server(replace(DOWN, broken=(RESOURCE,)))
        loop = loop_of(DOWN, server)
        await loop.reconcile(KEY)
        server.case = DOWN
        for wait_s, size in ((290, 5), (11, 3)):
            await asyncio.sleep(wait_s)
            await loop.reconcile(KEY)
            assert server.size == size

    play(scenario())


@pytest.mark.parametrize(("conflicts", "size"), [([3], 5), ([3] * 4, 5), ([3] * 5, 3), ([9], 9)])
def test_a_target_that_was_written_meanwhile_is_scaled_all_the_same_unless_its_size_was(
    conflicts: list[int], size: int
) -> None:
    server = Server(BASE)
    server.conflicts = list(conflicts)
    decided, _ = look(BASE, server)
    assert server.size == size
    assert reasons(status_after(decided))["AbleToScale"] == ("SucceededRescale" if size == 5 else "FailedUpdateScale")
