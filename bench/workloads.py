"""What the scheduler is measured with: scenarios a to f and the memory case, after upstream's scheduler_perf.

A scenario is data: how many nodes, which pods run already, which wait without hope, and which are measured. Every
number is multiplied by the scale that is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

ZONES = ("zone1", "zone2", "zone3")
CHURN_S = 0.2
HOSTNAME, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Scenario:
    """`floor` is what is to be exceeded in pods/s (upstream's own, or kube-scheduler's); `aim_us` CPU µs a pod.

    `placed` pods are created on their nodes, `first` ones are scheduled before the measurement, `hopeless` ones fit
    nowhere and wait while the `measured` ones are placed. One of `churn` is created every `CHURN_S` meanwhile. `copies`
    is how many more there are of the first placed pod.
    """

    what: str
    nodes: int
    measured: list[Document]
    first: list[Document] = field(default_factory=list)
    placed: list[Document] = field(default_factory=list)
    hopeless: list[Document] = field(default_factory=list)
    churn: list[Document] = field(default_factory=list)
    copies: int = 0
    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: {"bench": {}})
    zones: tuple[str, ...] = ZONES
    floor: float = 0.0
    aim_us: float = 0.0


def node(number: int, zones: tuple[str, ...]) -> Document:
    """As upstream's node-default.yaml: 4 CPU, 32 GiB, 110 pods."""
    offered = {"cpu": "4", "memory": "32Gi", "pods": "110", "ephemeral-storage": "100Gi"}
    name = f"node-{number:05}"
    return {
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {HOSTNAME: name, ZONE: zones[number % len(zones)]}},
        "status": {
            "capacity": offered, "allocatable": offered, "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
        },
    }


def pod(name: str, *, namespace: str = "bench", cpu: str = "100m", memory: str = "500Mi", **spec: Any) -> Document:
    """As upstream's pod-default.yaml. `labels` go into the metadata."""
    labels = spec.pop("labels", {})
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "pause", "image": "registry.k8s.io/pause:3.10", "ports": [{"containerPort": 80}],
                "resources": {"requests": {"cpu": cpu, "memory": memory}},
            }], **spec,
        },
    }


def mixed(scale: float) -> Scenario:
    """As kube-scheduler 1.20 was measured with."""
    return Scenario(
        "plain, hard zone spread and soft anti-affinity by turns", _n(1000, scale), _mixed(_n(3000, scale)),
        first=_plain("first", _n(100, scale)), floor=900, aim_us=870,
    )


def plain(scale: float) -> Scenario:
    return Scenario(
        "plain pods", _n(5000, scale), _plain("p", _n(10_000, scale)), first=_plain("first", _n(1000, scale)),
        floor=680,
    )


def anti_affinity(scale: float) -> Scenario:
    return Scenario(
        "required anti-affinity by hostname", _n(5000, scale), _anti("p", "sched-1", _n(2000, scale)),
        first=_anti("first", "sched-0", _n(1000, scale)), namespaces={"sched-0": {}, "sched-1": {}}, floor=60,
    )


def affinity(scale: float) -> Scenario:
    teams = {f"init-{number}": {"team": "devops"} for number in range(_n(100, scale))}
    return Scenario(
        "required affinity with a namespace selector", _n(5000, scale), _near("p", "measured", _n(2000, scale)),
        first=[document for team in teams for document in _near("first", team, 40)],
        namespaces={**teams, "measured": {"team": "devops"}}, zones=("zone1",), floor=35,
    )


def preemption(scale: float) -> Scenario:
    """Upstream's PreemptionBasic, for which upstream states no floor."""
    return Scenario(
        "preemption, three victims each", _n(1000, scale), _important("p", _n(1000, scale)),
        first=_plain("first", 1), placed=_cheap(_n(1000, scale)), floor=570,
    )


def preemption_beside(scale: float) -> Scenario:
    """Upstream's PreemptionAsync, whose floor is 570: five pods a second preempt three others each, and what counts are
    plain pods that fit."""
    nodes = _n(5000, scale)
    return Scenario(
        "plain pods while others preempt", nodes, _plain("p", _n(5000, scale)), first=_plain("first", 1),
        placed=_cheap(nodes), churn=_important("preemptor", 1000), floor=570,
    )


def unschedulable(scale: float) -> Scenario:
    return replace(
        plain(scale), what="plain pods while others fit nowhere", hopeless=_hopeless(_n(1000, scale))
    )


def memory(scale: float) -> Scenario:
    """30 pods a node; the last hundred are scheduled."""
    nodes = _n(5000, scale)
    first = pod("first", cpu="10m", memory="10Mi", nodeName="node-00000", labels={"app": "web"})
    return Scenario(
        "resident size", nodes, _plain("last", 100), placed=[first], copies=nodes * 30 - 101,
    )


SCENARIOS: Mapping[str, Callable[[float], Scenario]] = {
    "a": mixed, "b": plain, "c": anti_affinity, "d": affinity, "e": preemption,
    "e-async": preemption_beside, "f": unschedulable, "memory": memory,
}
"""By name; each is made at a scale."""


def _n(count: int, scale: float) -> int:
    return max(int(count * scale), 1)


def _plain(prefix: str, count: int) -> list[Document]:
    return [pod(f"{prefix}-{number}") for number in range(count)]


def _mixed(count: int) -> list[Document]:
    made = []
    for number in range(count):
        name = f"p-{number}"
        if number % 3 == 0:
            made.append(pod(name))
        elif number % 3 == 1:
            selector = {"matchLabels": {"app": "spread"}}
            constraint = {"maxSkew": 1, "topologyKey": ZONE, "whenUnsatisfiable": "DoNotSchedule"}
            made.append(pod(
                name, labels={"app": "spread"},
                topologySpreadConstraints=[{**constraint, "labelSelector": selector}],
            ))
        else:
            term = {"labelSelector": {"matchLabels": {"app": "apart"}}, "topologyKey": HOSTNAME}
            wish = {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": term}]}
            made.append(pod(name, labels={"app": "apart"}, affinity={"podAntiAffinity": wish}))
    return made


def _anti(prefix: str, namespace: str, count: int) -> list[Document]:
    term = {
        "labelSelector": {"matchLabels": {"color": "green"}}, "topologyKey": HOSTNAME,
        "namespaces": ["sched-0", "sched-1"],
    }
    rule = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    return [
        pod(f"{prefix}-{number}", namespace=namespace, labels={"color": "green"}, affinity=rule)
        for number in range(count)
    ]


def _near(prefix: str, namespace: str, count: int) -> list[Document]:
    term = {
        "labelSelector": {"matchLabels": {"color": "blue"}}, "topologyKey": ZONE,
        "namespaceSelector": {"matchLabels": {"team": "devops"}},
    }
    rule = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    return [
        pod(f"{prefix}-{number}", namespace=namespace, labels={"color": "blue"}, affinity=rule)
        for number in range(count)
    ]


def _cheap(nodes: int) -> list[Document]:
    """Four pods of low priority fill each node."""
    return [
        pod(f"cheap-{number}", cpu="900m", nodeName=f"node-{number % nodes:05}", priorityClassName="cheap")
        for number in range(nodes * 4)
    ]


def _important(prefix: str, count: int) -> list[Document]:
    return [pod(f"{prefix}-{number}", cpu="3", priorityClassName="important") for number in range(count)]


def _hopeless(count: int) -> list[Document]:
    """Each for another reason: too large, a label that no node has, a topology that no node has."""
    constraint = {
        "maxSkew": 1, "topologyKey": "example.com/rack", "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "hopeless"}},
    }
    kinds: tuple[Document, ...] = (
        {"cpu": "9"}, {"nodeSelector": {"example.com/disk": "none"}}, {"topologySpreadConstraints": [constraint]},
    )
    return [pod(f"hopeless-{number}", **kinds[number % len(kinds)]) for number in range(count)]
