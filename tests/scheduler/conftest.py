"""A small cluster as the scheduler sees it, to decide in."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from sampan import effects
from sampan.apimachinery.object import Object
from sampan.scheduler.config import Profile
from sampan.scheduler.cycle import CycleTrial, Decision, decide, verdicts
from sampan.scheduler.framework.handle import Handle
from sampan.scheduler.pod_info import parse
from sampan.scheduler.profiles import make_framework
from sampan.scheduler.snapshot import Snapshot


class Fixed(effects.SystemSource):
    """Randomness from a seed."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._rng.seed(seed)


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with effects.use(Fixed(1)):
        yield


class World:
    """Nodes and pods, and what the scheduler decides about another pod."""

    def __init__(self) -> None:
        self.snapshot = Snapshot(lambda: self.namespaces)
        self.namespaces: dict[str, Mapping[str, str]] = {"default": {}}
        self.services: list[Object] = []
        self.budgets: list[Object] = []
        self.handle = Handle(
            self.snapshot, None, lambda: self.namespaces, lambda ns: self.services,
            disruption_budgets=lambda ns: self.budgets,
        )
        self.framework = make_framework(Profile(), self.handle)
        self.handle.trial = CycleTrial(self.framework, self.snapshot)
        self._names = itertools.count()

    def node(
        self, name: str, *, cpu: str = "4", memory: str = "8Gi", pods: str = "110",
        labels: Mapping[str, str] | None = None, taints: list[Object] | None = None, unschedulable: bool = False,
        images: list[Object] | None = None, **resources: str,
    ) -> None:
        self.snapshot.set_node({
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}},
            "spec": {"taints": taints or [], "unschedulable": unschedulable},
            "status": {
                "allocatable": {"cpu": cpu, "memory": memory, "pods": pods, **resources}, "images": images or [],
            },
        })

    def pod(
        self, name: str = "", *, cpu: str = "", memory: str = "", labels: Mapping[str, str] | None = None,
        namespace: str = "default", status: Object | None = None, meta: Object | None = None, **spec: Any,
    ) -> Object:
        requests = {key: value for key, value in (("cpu", cpu), ("memory", memory)) if value}
        name = name or f"pod-{next(self._names)}"
        return {
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": name, "namespace": namespace, "uid": f"uid-{name}", "labels": dict(labels or {}),
                **(meta or {}),
            },
            "spec": {"containers": [{"name": "main", "image": "app:1", "resources": {"requests": requests}}], **spec},
            "status": status or {},
        }

    def run(self, node: str, **pod: Any) -> Object:
        """Put a pod on a node."""
        obj = self.pod(nodeName=node, **pod)
        self.snapshot.put_pod(parse(obj))
        return obj

    def decide(self, **pod: Any) -> Decision:
        return decide(self.framework, self.snapshot, parse(self.pod(**pod)))

    def where(self, **pod: Any) -> str:
        """The chosen node's name."""
        return self.decide(**pod).node_name

    def why(self, **pod: Any) -> str:
        """The message when no node fits."""
        decision = self.decide(**pod)
        assert not decision.node_name, f"it was placed on {decision.node_name}"
        return decision.diagnosis.message

    def possible(self, **pod: Any) -> set[str]:
        """Every node that fits."""
        info = parse(self.pod(**pod))
        refused = verdicts(self.framework, self.snapshot, info).keys()
        assert bool(self.where(**pod)) is (len(refused) < len(self.snapshot.nodes()))
        return {node.name for node in self.snapshot.nodes()} - refused


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def make_world() -> Callable[[], World]:
    return World
