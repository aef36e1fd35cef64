"""The scheduler under test, as the comparison with the reference needs it: follow changes, decide, preempt."""

from __future__ import annotations

from dataclasses import dataclass

from tests.scheduler.reference.cluster import Cluster, Document, key, namespace

from sampan.scheduler.config import Profile
from sampan.scheduler.cycle import CycleTrial, Decision, decide, verdicts
from sampan.scheduler.framework.handle import Handle
from sampan.scheduler.plugins.preemption_candidates import Candidates
from sampan.scheduler.pod_info import parse
from sampan.scheduler.profiles import make_framework
from sampan.scheduler.snapshot import Snapshot


@dataclass(frozen=True)
class Placement:
    """Where the pod would go; empty if nowhere fits."""

    node: str
    feasible: set[str]


class Subject:
    """Told of a cluster's nodes and pods one by one, as by informers."""

    def __init__(self, cluster: Cluster) -> None:
        self._snapshot = Snapshot(lambda: cluster.namespaces)
        self._handle = Handle(
            self._snapshot, None, lambda: cluster.namespaces,
            lambda where: [one for one in cluster.services if namespace(one) == where],
            disruption_budgets=lambda where: [one for one in cluster.budgets if namespace(one) == where],
        )
        self._framework = make_framework(Profile(arguments=cluster.arguments), self._handle)
        self._trial = self._handle.trial = CycleTrial(self._framework, self._snapshot)
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
        decision = self._decide(pod)
        refused = verdicts(self._framework, self._snapshot, parse(pod)).keys()
        return Placement(decision.node_name, {node.name for node in self._snapshot.nodes()} - refused)

    def victims(self, pod: Document) -> dict[str, frozenset[str]]:
        """By node where preemption would make the pod fit, the pods that would have to go."""
        decision = self._decide(pod)
        candidates = Candidates(self._handle, 100, 100)
        by_arithmetic = self._trial.only_resources_can_refuse(decision.state) and not decision.pod.ports
        found = {}
        for row in decision.diagnosis.statuses.resolvable().tolist():
            node = self._snapshot.table.info(row)
            candidate = candidates.on(decision.state, decision.pod, node)
            if by_arithmetic:
                assert candidates._by_arithmetic(decision.pod, node) == candidate, "the short cut leads elsewhere"
            if candidate is not None:
                found[candidate.node_name] = frozenset(victim.key for victim in candidate.victims)
        return found

    def nominated(self, pod: Document) -> str:
        """The node that preemption chooses, empty if none."""
        decision = self._decide(pod)
        return self._framework.post_filter(decision.state, decision.pod, decision.diagnosis.statuses).nominated_node

    def _decide(self, pod: Document) -> Decision:
        return decide(self._framework, self._snapshot, parse(pod))
