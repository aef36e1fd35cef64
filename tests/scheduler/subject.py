"""The scheduler under test, as the comparison with the reference needs it: follow changes, decide, preempt."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from tests.scheduler.reference.cluster import Cluster, Document, key, namespace

from sampan.scheduler.cycle import CycleTrial, decide
from sampan.scheduler.framework.framework import Enabled, Framework
from sampan.scheduler.framework.interface import Handle
from sampan.scheduler.plugins.default_preemption import DefaultPreemption
from sampan.scheduler.plugins.table import SCHEDULER_PLUGINS
from sampan.scheduler.pod_info import parse
from sampan.scheduler.snapshot import Snapshot


@dataclass(frozen=True)
class Placement:
    """Where the pod would go; empty if nowhere fits."""

    node: str
    feasible: set[str]


class Subject:
    """Told of a cluster's nodes and pods one by one, as by informers."""

    def __init__(self, cluster: Cluster) -> None:
        self._snapshot = Snapshot()
        handle = Handle(
            self._snapshot, None, lambda: cluster.namespaces,
            lambda where: [one for one in cluster.services if namespace(one) == where], lambda where: (),
            lambda where: [one for one in cluster.budgets if namespace(one) == where],
        )
        self._framework = Framework([Enabled(e.make(handle, {}), e.weight) for e in SCHEDULER_PLUGINS])
        handle.trial = CycleTrial(self._framework, self._snapshot)
        for node in cluster.nodes.values():
            self.set_node(node)
        for pod in cluster.pods.values():
            self.put_pod(pod)

    def set_node(self, node: Document) -> None:
        self._snapshot.set_node(node)

    def remove_node(self, name: str) -> None:
        self._snapshot.remove_node(name)

    def put_pod(self, pod: Document) -> None:
        self._snapshot.put_pod(parse(pod))

    def remove_pod(self, pod: Document) -> None:
        self._snapshot.remove_pod(key(pod))

    def assume(self, pod: Document, node: str) -> None:
        self._snapshot.assume(parse(pod), node)

    def forget(self, pod: Document) -> None:
        self._snapshot.forget(parse(pod))

    def decide(self, pod: Document) -> Placement:
        decision = decide(self._framework, self._snapshot, parse(pod))
        refused = decision.diagnosis.statuses.keys()
        return Placement(decision.node_name, {node.name for node in self._snapshot.nodes()} - refused)

    def victims(self, pod: Document) -> dict[str, frozenset[str]]:
        """By node where preemption would make the pod fit, the pods that would have to go."""
        decision = decide(self._framework, self._snapshot, parse(pod))
        plugin = self._framework.plugins["DefaultPreemption"]
        assert isinstance(plugin, DefaultPreemption)
        found, _ = plugin._candidates(decision.state, decision.pod, decision.diagnosis.statuses)
        return {one.node.name: frozenset(victim.key for victim in one.victims) for one in found}

    def nominated(self, pod: Document) -> str:
        """The node that preemption chooses, empty if none."""
        decision = decide(self._framework, self._snapshot, parse(pod))
        statuses = decision.diagnosis.statuses
        return asyncio.run(self._framework.post_filter(decision.state, decision.pod, statuses)).nominated_node
