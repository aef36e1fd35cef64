"""Generated clusters: small pools of labels, taints, ports and requests, so that rules meet often.

Everything comes from a seed and two sizes, which hypothesis draws: thousands of clusters take seconds, and a failure is
shrunk to few nodes and pods.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from tests.scheduler.reference.cluster import Cluster, Document, key

T = TypeVar("T")

HOST, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
NODES = ("n0", "n1", "n2", "n3", "n4", "n5")
NAMESPACES = ("default", "other", "third")
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
MB = 1024 * 1024


class Generator:
    """One seed's stream of documents."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._often = self.one(0.05, 0.15, 0.35, 0.6)
        """How often a pod has one of the things that most pods do not have."""

    def one(self, *choices: T) -> T:
        return self._random.choice(choices)

    def chance(self, share: float) -> bool:
        return self._random.random() < share

    def some(self, choices: Sequence[T], least: int = 0, most: int = 2) -> list[T]:
        return self._random.sample(choices, min(self._random.randint(least, most), len(choices)))

    def many(self, make: Callable[[], T], least: int = 0, most: int = 2) -> list[T]:
        return [make() for _ in range(self._random.randint(least, most))]

    def optional(self, **makers: Callable[[], Any]) -> Document:
        """Each field with a chance of one half."""
        return {field: make() for field, make in makers.items() if self.chance(0.5)}

    def cluster(self, node_count: int, pod_count: int, *, simple: bool = False) -> Cluster:
        """`simple` pods have no required affinity to other pods, and none is ending."""
        cluster = Cluster(namespaces={"default": {}, "other": {"team": "a"}, "third": {"team": "b"}})
        for name in NODES[:node_count]:
            cluster.nodes[name] = self.node(name)
        for number in range(pod_count):
            pod = self.pod(f"p{number}", node=self.one(*cluster.nodes), simple=simple)
            cluster.pods[key(pod)] = pod
        cluster.services = self.many(lambda: {
            "metadata": {"name": "s", "namespace": self.one(*NAMESPACES)}, "spec": {"selector": self.labels()},
        })
        cluster.budgets = self.many(lambda: {
            "metadata": {"name": "b", "namespace": self.one(*NAMESPACES)},
            "spec": {"selector": self.selector()}, "status": {"disruptionsAllowed": self.one(0, 1, 2)},
        })
        return cluster

    def arguments(self) -> dict[str, Document]:
        """Of plugins, as a profile may set them."""
        shapes = ([(0, 0), (100, 10)], [(0, 10), (40, 3), (100, 0)], [(30, 5)])
        strategy = {
            "type": self.one("LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"),
            "resources": [
                {"name": resource, "weight": self.one(1, 3)} for resource in self.some(
                    ["cpu", "memory", "example.com/gpu"], 1, 3)
            ],
            "requestedToCapacityRatio": {"shape": [
                {"utilization": utilization, "score": score} for utilization, score in self.one(*shapes)
            ]},
        }
        pairs = [(HOST, "ScheduleAnyway"), (ZONE, "DoNotSchedule"), ("disk", "ScheduleAnyway")]
        defaults = [
            {"topologyKey": key, "maxSkew": self.one(1, 2), "whenUnsatisfiable": action}
            for key, action in self.some(pairs)
        ]
        return self.optional(
            NodeResourcesFit=lambda: {
                "scoringStrategy": strategy, **self.optional(ignoredResources=lambda: ["example.com/gpu"]),
                **self.optional(ignoredResourceGroups=lambda: ["example.com"]),
            },
            InterPodAffinity=lambda: {
                "hardPodAffinityWeight": self.one(0, 1, 100), "ignorePreferredTermsOfExistingPods": self.chance(0.5),
            },
            NodeAffinity=lambda: {"addedAffinity": self.optional(**{
                REQUIRED: lambda: {"nodeSelectorTerms": [{"matchExpressions": self.many(self.node_requirement, 1)}]},
                PREFERRED: lambda: [{"weight": 7, "preference": self.node_term()}],
            })},
            PodTopologySpread=lambda: {"defaultingType": "List", "defaultConstraints": defaults},
        )

    def node(self, name: str) -> Document:
        labels = self.optional(**{
            ZONE: lambda: self.one("z1", "z2", "z3"), "disk": lambda: self.one("ssd", "hdd"),
            "cores": lambda: self.one("2", "6", "16", "many"),
        })
        if self.chance(0.9):
            labels[HOST] = name
        allocatable = {
            "cpu": self.one("1", "2", "4", "8", "8"), "memory": self.one("2Gi", "4Gi", "16Gi"),
            "pods": self.one("2", "5", "110", "110"), **self.optional(**{"example.com/gpu": lambda: "2"}),
        }
        images = [
            {"names": names, "sizeBytes": self.one(10, 100, 700, 3000) * MB}
            for names in self.some([["app:latest"], ["app:1", "app@sha256:y"], ["host:5000/big:latest"]])
        ]
        return {
            "metadata": {"name": name, "labels": labels},
            "spec": {"taints": self.many(self.taint, 0, self.one(0, 0, 1, 2)), "unschedulable": self.chance(0.05)},
            "status": {"allocatable": allocatable, "images": images},
        }

    def pod(self, name: str, *, node: str = "", simple: bool = False) -> Document:
        spec: Document = {"containers": self.many(self.container, 1)}
        rare: dict[str, Callable[[], Any]] = {
            "initContainers": lambda: self.many(self.init_container, 1, 3),
            "nodeSelector": lambda: self.one({"disk": "ssd"}, {ZONE: "z1"}),
            "topologySpreadConstraints": self.spread,
            "overhead": lambda: {"cpu": "250m"},
            "affinity": lambda: self.affinity(simple=simple),
        }
        spec |= {field: make() for field, make in rare.items() if self.chance(self._often)}
        spec |= self.optional(tolerations=lambda: self.many(self.toleration), priority=lambda: self.one(0, 1, 5, 10))
        meta: Document = {
            "name": name, "namespace": self.one(*NAMESPACES), "uid": f"uid-{name}", "labels": self.labels(),
        }
        status: Document = {}
        if node:
            spec["nodeName"] = node
            status |= self.optional(startTime=lambda: f"2026-01-01T00:00:0{self.one(1, 2, 3)}Z")
            if not simple and self.chance(0.1):
                meta["deletionTimestamp"] = "2026-01-01T00:01:00Z"
        return {"metadata": meta, "spec": spec, "status": status}

    def taint(self) -> Document:
        return {
            "key": self.one("dedicated", "spot"), "effect": self.one(*EFFECTS),
            **self.optional(value=lambda: self.one("a", "b")),
        }

    def toleration(self) -> Document:
        if self.chance(0.3):
            return {"operator": "Exists", **self.optional(effect=lambda: self.one(*EFFECTS))}
        made = {
            "key": self.one("dedicated", "spot", "node.kubernetes.io/unschedulable"),
            **self.optional(effect=lambda: self.one(*EFFECTS)),
        }
        if self.chance(0.4):
            return {**made, "operator": "Exists"}
        return {**made, **self.optional(operator=lambda: "Equal", value=lambda: self.one("a", "b"))}

    def labels(self) -> dict[str, str]:
        return self.optional(app=lambda: self.one("web", "db"), tier=lambda: self.one("front", "back"))

    def selector(self) -> Document:
        if self.chance(0.5):
            return {"matchLabels": self.one({"app": "web"}, {"app": "db"}, {"tier": "front"})}
        return {"matchExpressions": self.many(self.requirement, 1)}

    def requirement(self) -> Document:
        operator = self.one("In", "NotIn", "Exists", "DoesNotExist")
        made: Document = {"key": self.one("app", "tier"), "operator": operator}
        return {**made, "values": self.some(["web", "db", "front"], 1)} if operator.endswith("In") else made

    def node_requirement(self) -> Document:
        operator = self.one("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt")
        if operator in ("Gt", "Lt"):
            return {"key": "cores", "operator": operator, "values": [self.one("4", "8")]}
        made: Document = {"key": self.one("disk", ZONE), "operator": operator}
        return {**made, "values": self.some(["ssd", "hdd", "z1", "z2"], 1)} if operator.endswith("In") else made

    def node_term(self) -> Document:
        return self.optional(
            matchExpressions=lambda: self.many(self.node_requirement),
            matchFields=lambda: self.many(lambda: {
                "key": "metadata.name", "operator": self.one("In", "NotIn"), "values": [self.one(*NODES)],
            }, 0, 1),
        )

    def affinity(self, *, simple: bool) -> Document:
        made: Document = self.optional(
            podAffinity=lambda: self.pod_terms(required=not simple), podAntiAffinity=lambda: self.pod_terms(),
        )
        if self.chance(0.5):
            wishes = lambda: {"weight": self.one(1, 10, 100), "preference": self.node_term()}  # noqa: E731
            made["nodeAffinity"] = self.optional(**{
                REQUIRED: lambda: {"nodeSelectorTerms": self.many(self.node_term, 1)},
                PREFERRED: lambda: self.many(wishes, 1),
            })
        return made

    def pod_terms(self, *, required: bool = True) -> Document:
        made = self.optional(**{REQUIRED: lambda: self.many(self.pod_term, 1)}) if required else {}
        wishes = lambda: {"weight": self.one(1, 10, 100), "podAffinityTerm": self.pod_term()}  # noqa: E731
        return {**made, **self.optional(**{PREFERRED: lambda: self.many(wishes, 1)})}

    def pod_term(self) -> Document:
        return {
            "topologyKey": self.one(HOST, ZONE, "disk"), "labelSelector": self.selector(),
            **self.optional(
                namespaces=lambda: self.some(NAMESPACES, 1),
                namespaceSelector=lambda: self.one({}, {"matchLabels": {"team": "a"}}, {"matchLabels": {"team": "b"}}),
            ),
        }

    def spread(self) -> list[Document]:
        pairs = [(key, action) for key in (HOST, ZONE, "disk") for action in ("DoNotSchedule", "ScheduleAnyway")]
        return [self._constraint(*pair) for pair in self.some(pairs, 1)]

    def _constraint(self, key: str, action: str) -> Document:
        made = {
            "topologyKey": key, "maxSkew": self.one(1, 2), "whenUnsatisfiable": action,
            "labelSelector": self.selector(),
            **self.optional(
                nodeAffinityPolicy=lambda: self.one("Honor", "Ignore"),
                nodeTaintsPolicy=lambda: self.one("Honor", "Ignore"), matchLabelKeys=lambda: ["tier"],
            ),
        }
        if action == "DoNotSchedule":
            made |= self.optional(minDomains=lambda: self.one(1, 2, 3))
        return made

    def container(self) -> Document:
        ports: list[Document] = self.many(lambda: {
            "containerPort": 80, **self.optional(
                hostPort=lambda: self.one(8080, 8081), protocol=lambda: self.one("TCP", "UDP"),
                hostIP=lambda: self.one("127.0.0.1", "0.0.0.0", "10.0.0.1"),
            ),
        }, 0, 1)
        requests = self.optional(
            cpu=lambda: self.one("0", "100m", "500m", "1", "2500m"),
            memory=lambda: self.one("0", "100Mi", "1Gi", "3Gi"),
        )
        if self.chance(0.2):
            requests["example.com/gpu"] = self.one("0", "1")
        image = self.one("app", "app:1", "host:5000/big", "other@sha256:x")
        return {"name": "c", "image": image, "resources": {"requests": requests}, "ports": ports}

    def init_container(self) -> Document:
        return {**self.container(), **self.optional(restartPolicy=lambda: "Always")}
