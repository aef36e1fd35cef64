"""What of the cluster NetworkPolicies depend on, and which of their contributions a change touches.

`Policies` keeps pods, namespaces and policies as an agent tells it of them, and works out anew only what a change can
have changed: a pod touches the policies whose selectors it meets, before or after; a policy, itself and the pods that
it selects. Pure; knows no kernel.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sampan.apimachinery import selectors
from sampan.apimachinery.object import Object, dig, key_of, labels_of, name_of, namespace_of, uid_of
from sampan.apimachinery.selectors import Selector
from sampan.netfilter.ruleset import Contribution
from sampan.network.policy.rules import (
    PEERS,
    Direction,
    Peer,
    Peers,
    chain_of,
    nodes_contribution,
    pod_contribution,
    policy_contribution,
    policy_types,
)

DNS_NAMESPACE, DNS_LABELS = "kube-system", {"k8s-app": "kube-dns"}


@dataclass(frozen=True, slots=True)
class PodFacts:
    """What counts of a pod. Pods in their node's network and pods that have ended are not among those kept."""

    uid: str
    namespace: str
    labels: Mapping[str, str]
    is_local: bool
    peer: Peer


@dataclass(frozen=True, slots=True)
class _Selection:
    """One peer with selectors: namespaces (None: the policy's own), and pods in them."""

    namespaces: Selector | None
    pods: Selector

    def meets(self, own: str, namespace: str, namespace_labels: Mapping[str, str], labels: Mapping[str, str]) -> bool:
        fits = namespace == own if self.namespaces is None else self.namespaces.matches(namespace_labels)
        return fits and self.pods.matches(labels)


@dataclass(frozen=True, slots=True)
class _Policy:
    document: Object
    namespace: str
    targets: Selector
    selections: tuple[_Selection, ...] = field(default=())
    sees_all: bool = False
    """A rule has a named port and no peers, so every pod's ports matter."""


def facts_of(pod: Object, node: str, address: str) -> PodFacts | None:
    """None for a pod that policies do not concern."""
    ended = dig(pod, "status", "phase") in ("Succeeded", "Failed")
    if not address or ":" in address or ended or dig(pod, "spec", "hostNetwork"):
        return None
    ports = {
        (port["name"], port.get("protocol") or "TCP"): int(port["containerPort"])
        for container in [*(pod["spec"].get("containers") or []), *(pod["spec"].get("initContainers") or [])]
        for port in container.get("ports") or [] if port.get("name")
    }
    is_local = dig(pod, "spec", "nodeName") == node
    return PodFacts(uid_of(pod), namespace_of(pod), labels_of(pod), is_local, Peer(address, ports))


class Policies:
    """`changes()` gives what became of contributions, by key, since it was last asked."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._pods: dict[str, PodFacts] = {}
        self._namespaces: dict[str, Mapping[str, str]] = {}
        self._policies: dict[str, _Policy] = {}
        self._nodes: dict[str, str] = {}
        self._dirty: set[str] = {"nodes"}

    @property
    def is_empty(self) -> bool:
        """Whether there is no policy at all."""
        return not self._policies

    def isolates(self, pod: Object) -> bool:
        """Whether a policy selects the pod."""
        return any(
            policy.namespace == namespace_of(pod) and policy.targets.matches(labels_of(pod))
            for policy in self._policies.values()
        )

    def set_pod(self, pod: Object, ip: str = "") -> None:
        """A pod as it is now; with `ip` before the API knows its address."""
        known = self._pods.get(uid_of(pod))
        address = ip or dig(pod, "status", "podIP", default="") or (known.peer.ip if known is not None else "")
        now = facts_of(pod, self._node, address)
        if now is None:
            self.drop_pod(pod)
        elif now != known:
            self._touch(known, now)
            self._pods[now.uid] = now

    def drop_pod(self, pod: Object) -> None:
        known = self._pods.pop(uid_of(pod), None)
        if known is not None:
            self._touch(known, None)

    def set_namespace(self, namespace: Object) -> None:
        name, labels = name_of(namespace), labels_of(namespace)
        if self._namespaces.get(name) != labels:
            self._namespaces[name] = labels
            self._dirty.update(f"policy/{key}" for key, policy in self._policies.items() if policy.selections)

    def drop_namespace(self, namespace: Object) -> None:
        self._namespaces.pop(name_of(namespace), None)

    def set_node(self, node: Object) -> None:
        found = [one["address"] for one in dig(node, "status", "addresses", default=[]) if one["type"] == "InternalIP"]
        if found and self._nodes.get(name_of(node)) != found[0]:
            self._nodes[name_of(node)] = found[0]
            self._dirty.add("nodes")

    def drop_node(self, node: Object) -> None:
        if self._nodes.pop(name_of(node), None):
            self._dirty.add("nodes")

    def set_policy(self, policy: Object) -> None:
        key = key_of(policy)
        before = self._policies.get(key)
        if before is None or before.document.get("spec") != policy.get("spec"):
            self._touch_targets(before)
            self._policies[key] = _compiled(policy)
            self._touch_targets(self._policies[key])
            self._dirty.add(f"policy/{key}")

    def drop_policy(self, policy: Object) -> None:
        key = key_of(policy)
        self._touch_targets(self._policies.pop(key, None))
        self._dirty.add(f"policy/{key}")

    def changes(self) -> dict[str, Contribution | None]:
        """Contributions that may have changed; None for what is there no more."""
        dirty, self._dirty = self._dirty, set()
        return {key: self._contribution(key) for key in dirty}

    def all_keys(self) -> None:
        """Have everything worked out anew by the next `changes`."""
        self._dirty |= {"nodes", *(f"policy/{key}" for key in self._policies), *(f"pod/{uid}" for uid in self._pods)}

    # --- what a change touches ---

    def _touch(self, *states: PodFacts | None) -> None:
        for state in states:
            if state is None:
                continue
            self._dirty.add(f"pod/{state.uid}")
            labels = self._namespaces.get(state.namespace, {})
            for key, policy in self._policies.items():
                is_target = state.is_local and _selects(policy, state)
                if is_target or policy.sees_all or any(
                    one.meets(policy.namespace, state.namespace, labels, state.labels) for one in policy.selections
                ):
                    self._dirty.add(f"policy/{key}")

    def _touch_targets(self, policy: _Policy | None) -> None:
        if policy is not None:
            self._dirty.update(f"pod/{pod.uid}" for pod in self._targets(policy))

    def _targets(self, policy: _Policy) -> list[PodFacts]:
        return [pod for pod in self._pods.values() if pod.is_local and _selects(policy, pod)]

    # --- contributions ---

    def _contribution(self, key: str) -> Contribution | None:
        kind, _, name = key.partition("/")
        if kind == "nodes":
            return nodes_contribution(self._nodes.values())
        if kind == "policy":
            return self._of_policy(self._policies.get(name))
        pod = self._pods.get(name)
        if pod is None or not pod.is_local:
            return None
        chains: dict[Direction, list[str]] = {direction: [] for direction in PEERS}
        for policy in self._policies.values():
            if _selects(policy, pod):
                for direction in policy_types(policy.document):
                    chains[direction].append(chain_of(policy.document, direction))
        return pod_contribution(pod.uid, pod.peer.ip, chains) if any(chains.values()) else None

    def _of_policy(self, policy: _Policy | None) -> Contribution | None:
        """None where it concerns no pod of this node."""
        targets = self._targets(policy) if policy is not None else []
        if policy is None or not targets:
            return None
        return policy_contribution(
            policy.document, [pod.peer for pod in targets], lambda peers: self._peers(policy.namespace, peers)
        )

    def _peers(self, own: str, peers: Iterable[Object]) -> Peers:
        """Whom peers choose; an empty one chooses every pod there is."""
        chosen = [_selection(peer) if peer else None for peer in peers]
        found = [
            pod.peer for pod in self._pods.values()
            if any(one is None or one.meets(own, pod.namespace, self._namespaces.get(pod.namespace, {}), pod.labels)
                   for one in chosen)
        ]
        dns = any(
            one is None or one.meets(own, DNS_NAMESPACE, self._namespaces.get(DNS_NAMESPACE, {}), DNS_LABELS)
            for one in chosen
        )
        return Peers(found, dns)


def _selects(policy: _Policy, pod: PodFacts) -> bool:
    return policy.namespace == pod.namespace and policy.targets.matches(pod.labels)


def _selection(peer: Object) -> _Selection:
    namespaces = peer.get("namespaceSelector")
    chosen = selectors.from_document(namespaces) if namespaces is not None else None
    return _Selection(chosen, selectors.from_document(peer.get("podSelector") or {}))


def _compiled(policy: Object) -> _Policy:
    spec = policy.get("spec") or {}
    chosen: list[_Selection] = []
    sees_all = False
    for direction in PEERS:
        for rule in spec.get(direction) or []:
            peers = rule.get(PEERS[direction][0]) or []
            chosen += [_selection(peer) for peer in peers if "ipBlock" not in peer]
            named = any(isinstance(port.get("port"), str) for port in rule.get("ports") or [])
            sees_all = sees_all or (direction == "egress" and named and not peers)
    targets = selectors.from_document(spec.get("podSelector") or {})
    return _Policy(policy, namespace_of(policy), targets, tuple(chosen), sees_all)
