"""What of the cluster NetworkPolicies depend on, and which of their contributions a change touches.

`Policies` keeps pods, namespaces and policies as an agent tells it of them, and works out anew only what a change can
have changed. Contributions are a policy's chains, a pod's chain, and for each policy and pod the elements that the pod
has in the policy's sets. So a pod that changes costs as much as there are policies, and a policy that changes, or has
its first target on this node or loses its last, as much as there are pods. Pure; knows no kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from sampan.apimachinery import selectors
from sampan.apimachinery.object import Object, dig, key_of, labels_of, name_of, namespace_of, uid_of
from sampan.apimachinery.selectors import Selector
from sampan.netfilter.ruleset import Contribution
from sampan.network.policy.rules import (
    PEERS,
    Direction,
    Peer,
    Rule,
    chain_of,
    elements_of,
    nodes_contribution,
    pod_contribution,
    policy_contribution,
    policy_types,
    rules_of,
)

PIECE = 2000
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


@dataclass(slots=True)
class _Policy:
    """A policy, its rules with their selections, and the pods of this node that it selects."""

    document: Object
    namespace: str
    selector: Selector
    rules: tuple[tuple[Rule, tuple[_Selection, ...]], ...]
    targets: set[str] = field(default_factory=set)

    def selects(self, pod: PodFacts) -> bool:
        return self.namespace == pod.namespace and self.selector.matches(pod.labels)


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
        self._dirty: set[tuple[str, ...]] = {("nodes",)}

    @property
    def is_empty(self) -> bool:
        """Whether there is no policy at all."""
        return not self._policies

    def isolates(self, pod: Object) -> bool:
        """Whether a policy selects the pod."""
        return any(
            policy.namespace == namespace_of(pod) and policy.selector.matches(labels_of(pod))
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
            self._pods[now.uid] = now
            self._touch(now.uid)

    def drop_pod(self, pod: Object) -> None:
        if self._pods.pop(uid_of(pod), None) is not None:
            self._touch(uid_of(pod))

    def set_namespace(self, namespace: Object) -> None:
        name, labels = name_of(namespace), labels_of(namespace)
        if self._namespaces.get(name) != labels:
            self._namespaces[name] = labels
            for key in self._policies:
                self._touch_members(key, lambda pod: pod.namespace == name)
                if name == DNS_NAMESPACE:
                    self._dirty.add(("policy", key))

    def drop_namespace(self, namespace: Object) -> None:
        self._namespaces.pop(name_of(namespace), None)

    def set_node(self, node: Object) -> None:
        found = [one["address"] for one in dig(node, "status", "addresses", default=[]) if one["type"] == "InternalIP"]
        if found and self._nodes.get(name_of(node)) != found[0]:
            self._nodes[name_of(node)] = found[0]
            self._dirty.add(("nodes",))

    def drop_node(self, node: Object) -> None:
        if self._nodes.pop(name_of(node), None):
            self._dirty.add(("nodes",))

    def set_policy(self, policy: Object) -> None:
        key = key_of(policy)
        before = self._policies.get(key)
        if before is not None and before.document.get("spec") == policy.get("spec"):
            return
        compiled = self._policies[key] = _compiled(policy)
        compiled.targets = {pod.uid for pod in self._pods.values() if pod.is_local and compiled.selects(pod)}
        self._touch_policy(key, compiled.targets | (before.targets if before is not None else set()))

    def drop_policy(self, policy: Object) -> None:
        before = self._policies.pop(key_of(policy), None)
        if before is not None:
            self._touch_policy(key_of(policy), before.targets)

    def changes(self) -> dict[str, Contribution | None]:
        """Contributions that may have changed; None for what is there no more."""
        return {key: one for piece in self.pieces() for key, one in piece.items()}

    def pieces(self) -> Iterator[dict[str, Contribution | None]]:
        """The same, some at a time, for whoever has other things to do in between; sets before what is in them."""
        dirty, self._dirty = sorted(self._dirty, key=lambda key: key[0] == "member"), set()
        for start in range(0, len(dirty), PIECE):
            yield {"/".join(key): self._contribution(*key) for key in dirty[start:start + PIECE]}

    def all_keys(self) -> None:
        """Have everything worked out anew by the next `changes`."""
        self._dirty.add(("nodes",))
        self._dirty.update(("pod", uid) for uid in self._pods)
        for key in self._policies:
            self._dirty.add(("policy", key))
            self._touch_members(key, lambda pod: True)

    # --- what a change touches ---

    def _touch_policy(self, key: str, targets: set[str]) -> None:
        """The policy is another, or there no more; these pods were or are its targets."""
        if targets:
            self._dirty.add(("policy", key))
            self._dirty.update(("pod", uid) for uid in targets)
            self._touch_members(key, lambda pod: True)

    def _touch_members(self, key: str, wanted: Callable[[PodFacts], bool]) -> None:
        self._dirty.update(("member", key, pod.uid) for pod in self._pods.values() if wanted(pod))

    def _touch(self, uid: str) -> None:
        """A pod is another, or there no more: it may be a target that it was not, or was."""
        self._dirty.add(("pod", uid))
        pod = self._pods.get(uid)
        for key, policy in self._policies.items():
            had = bool(policy.targets)
            if pod is not None and pod.is_local and policy.selects(pod):
                policy.targets.add(uid)
            else:
                policy.targets.discard(uid)
            if bool(policy.targets) != had:
                self._touch_policy(key, {uid})
            elif had:
                self._dirty.add(("member", key, uid))

    # --- contributions ---

    def _contribution(self, kind: str, key: str = "", uid: str = "") -> Contribution | None:
        if kind == "nodes":
            return nodes_contribution(self._nodes.values())
        if kind == "pod":
            return self._of_pod(self._pods.get(key))
        policy = self._policies.get(key)
        if policy is None or not policy.targets:
            return None  # it concerns no pod of this node
        return self._of_policy(policy) if kind == "policy" else self._of_member(policy, self._pods.get(uid))

    def _of_policy(self, policy: _Policy) -> Contribution:
        selections = {rule.name: chosen for rule, chosen in policy.rules}
        labels = self._namespaces.get(DNS_NAMESPACE, {})
        return policy_contribution(policy.document, lambda rule: any(
            one.meets(policy.namespace, DNS_NAMESPACE, labels, DNS_LABELS) for one in selections[rule.name]
        ))

    def _of_pod(self, pod: PodFacts | None) -> Contribution | None:
        """The chain that isolates it, if it is here and selected."""
        if pod is None or not pod.is_local:
            return None
        chains: dict[Direction, list[str]] = {direction: [] for direction in PEERS}
        for policy in self._policies.values():
            if pod.uid in policy.targets:
                for direction in policy_types(policy.document):
                    chains[direction].append(chain_of(policy.document, direction))
        return pod_contribution(pod.uid, pod.peer.ip, chains) if any(chains.values()) else None

    def _of_member(self, policy: _Policy, pod: PodFacts | None) -> Contribution | None:
        """What a pod puts into a policy's sets."""
        if pod is None:
            return None
        elements: dict[tuple[str, str], str] = {}
        labels = self._namespaces.get(pod.namespace, {})
        for rule, selections in policy.rules:
            is_peer = any(one.meets(policy.namespace, pod.namespace, labels, pod.labels) for one in selections)
            elements |= elements_of(rule, pod.peer, is_target=pod.uid in policy.targets, is_peer=is_peer)
        return Contribution(elements=elements) if elements else None


def _selection(peer: Object) -> _Selection:
    namespaces = peer.get("namespaceSelector")
    chosen = selectors.from_document(namespaces) if namespaces is not None else None
    return _Selection(chosen, selectors.from_document(peer.get("podSelector") or {}))


def _compiled(policy: Object) -> _Policy:
    rules = tuple((rule, tuple(_selection(peer) for peer in rule.selecting)) for rule in rules_of(policy))
    targets = selectors.from_document((policy.get("spec") or {}).get("podSelector") or {})
    return _Policy(policy, namespace_of(policy), targets, rules)
