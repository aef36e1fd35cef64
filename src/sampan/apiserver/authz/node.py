"""The Node authoriser: a kubelet may touch its own node and what the pods bound to it need, nothing else.

For reads of Secrets, ConfigMaps, claims, volumes, attachments and ServiceAccounts the answer comes from `NodeGraph`;
for the node's own objects from their names; for everything else from the rules of the role system:node. What a kubelet
may write into the objects it may touch is the business of the NodeRestriction admission plugin. Source: "Using Node
Authorization" in the Kubernetes documentation, and KEP-4601 for selectors.
"""

from __future__ import annotations

from sampan.apimachinery.go_values import quoted
from sampan.apimachinery.http import UserInfo
from sampan.apiserver.authz.node_graph import NodeGraph
from sampan.apiserver.authz.node_identity import node_name
from sampan.apiserver.authz.rbac_bootstrap.components import NODE_RULES
from sampan.apiserver.authz.rules import Rule
from sampan.apiserver.seams import Attributes, Decision, KnownRules, Reader, ServerParts, Verdict

_LEASE_NAMESPACE = "kube-node-lease"
_GRAPH_READS = {("", "secrets"), ("", "configmaps")}
_OWN_VERBS = ("get", "create", "update", "patch", "delete")


def _no(reason: str) -> Verdict:
    return Verdict(Decision.NO_OPINION, reason)


_YES = Verdict(Decision.ALLOW)


class Node:
    """Has no opinion about users that are no nodes."""

    def __init__(self, reader: Reader) -> None:
        self._graph = NodeGraph(reader)
        self._rules = [Rule.parse(rule) for rule in NODE_RULES]

    async def authorize(self, attributes: Attributes) -> Verdict:
        node = node_name(attributes.user)
        if node is None:
            return Verdict(Decision.NO_OPINION)
        if not node:
            return _no(f"unknown node for user {quoted(attributes.user.name)}")
        if attributes.is_resource:
            verdict = await self._of_resource(node, attributes)
            if verdict is not None:
                return verdict
        if any(rule.allows(attributes) for rule in self._rules):
            return _YES
        return Verdict(Decision.NO_OPINION)

    def rules(self, user: UserInfo, namespace: str) -> KnownRules:
        if not node_name(user):
            return KnownRules()
        return KnownRules(incomplete=True, problems=["node authorizer does not support user rule resolution"])

    async def _of_resource(self, node: str, attributes: Attributes) -> Verdict | None:
        """None: decided by the static rules alone."""
        key = (attributes.group, attributes.resource)
        if key in _GRAPH_READS:
            return await self._read(node, attributes, ("get", "list", "watch"))
        if key == ("", "persistentvolumeclaims") and attributes.subresource == "status":
            return await self._claim_status(node, attributes)
        if key in {("", "persistentvolumeclaims"), ("resource.k8s.io", "resourceclaims")}:
            return await self._read(node, attributes, ("get",))
        if key == ("", "persistentvolumes"):
            return await self._volume(node, attributes)
        if key == ("storage.k8s.io", "volumeattachments"):
            return await self._attachment(node, attributes)
        if key == ("", "serviceaccounts"):
            return await self._account(node, attributes)
        if key == ("", "nodes"):
            return _own_node(node, attributes)
        if key == ("", "pods"):
            return await self._pod(node, attributes)
        if key == ("coordination.k8s.io", "leases"):
            return _lease(node, attributes)
        if key == ("certificates.k8s.io", "podcertificaterequests"):
            return await self._certificate(node, attributes)
        if key == ("resource.k8s.io", "resourceslices"):
            return await self._slice(node, attributes)
        if key == ("storage.k8s.io", "csinodes"):
            return _csi_node(node, attributes)
        return None

    async def _read(self, node: str, attributes: Attributes, verbs: tuple[str, ...]) -> Verdict:
        if attributes.verb not in verbs:
            return _no("can only get individual resources of this type" if verbs == ("get",)
                       else "can only read resources of this type")
        if attributes.subresource:
            return _no("cannot read subresource" if len(verbs) > 1 else "cannot get subresource")
        if not attributes.namespace:
            return _no("can only read namespaced object of this type")
        return await self._related(node, attributes)

    async def _related(self, node: str, attributes: Attributes) -> Verdict:
        if not attributes.name:
            return _no("No Object name found")
        if await self._graph.refers(node, attributes.resource, attributes.namespace, attributes.name):
            return _YES
        return _unrelated(node)

    async def _claim_status(self, node: str, attributes: Attributes) -> Verdict:
        if attributes.verb not in ("update", "patch"):
            return _no("can only get/update/patch this type")
        return await self._related(node, attributes)

    async def _volume(self, node: str, attributes: Attributes) -> Verdict:
        refused = _not_one(attributes)
        if refused is not None:
            return refused
        return _YES if await self._graph.refers_volume(node, attributes.name) else _unrelated(node)

    async def _attachment(self, node: str, attributes: Attributes) -> Verdict:
        refused = _not_one(attributes)
        if refused is not None:
            return refused
        return _YES if await self._graph.is_attached_to(node, attributes.name) else _unrelated(node)

    async def _account(self, node: str, attributes: Attributes) -> Verdict:
        """Its tokens, and the account itself, which credential providers of images are told of (KEP-4412)."""
        if attributes.verb == "get" and attributes.name and not attributes.subresource:
            return await self._related(node, attributes)
        if attributes.verb != "create" or not attributes.name:
            return _no("can only create tokens for individual service accounts")
        if attributes.subresource != "token":
            return _no("can only create token subresource of serviceaccount")
        return await self._related(node, attributes)

    async def _certificate(self, node: str, attributes: Attributes) -> Verdict:
        """Requests for the pods of this node; NodeRestriction looks at what is asked."""
        if attributes.subresource:
            return _no("nodes may not access the status of PodCertificateRequests")
        if attributes.verb == "create":
            return _YES
        if attributes.verb == "get" and attributes.name:
            own = await self._graph.is_request_of(node, attributes.namespace, attributes.name)
            return _YES if own else _unrelated(node)
        if attributes.verb in ("list", "watch"):
            if attributes.is_limited_to("spec.nodeName", node):
                return _YES
            return _no("can only list/watch podcertificaterequests with spec.nodeName field selector")
        return _no("can only create, get, list or watch PodCertificateRequests")

    async def _pod(self, node: str, attributes: Attributes) -> Verdict | None:
        if attributes.subresource or attributes.verb not in ("get", "list", "watch"):
            return None
        if attributes.verb == "get" and attributes.name:
            if await self._graph.refers(node, "pods", attributes.namespace, attributes.name):
                return _YES
            return _unrelated(node)
        if attributes.is_limited_to("spec.nodeName", node):
            return _YES
        if attributes.name and await self._graph.refers(node, "pods", attributes.namespace, attributes.name):
            return _YES
        return _no("can only list/watch pods with spec.nodeName field selector")

    async def _slice(self, node: str, attributes: Attributes) -> Verdict:
        """What devices the node itself has; NodeRestriction looks at what it writes."""
        if attributes.subresource:
            return _no("cannot authorize ResourceSlice subresources")
        if attributes.verb == "create":
            return _YES
        if attributes.verb in ("get", "update", "patch", "delete"):
            own = await self._graph.is_slice_of(node, attributes.name)
            return _YES if own else _unrelated(node)
        if attributes.verb in ("list", "watch", "deletecollection"):
            if attributes.is_limited_to("spec.nodeName", node):
                return _YES
            return _no("can only list/watch/deletecollection resourceslices with spec.nodeName field selector")
        return _no("only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, "
                   "delete, deletecollection")


def _unrelated(node: str) -> Verdict:
    return _no(f"no relationship found between node '{node}' and this object")


def _not_one(attributes: Attributes) -> Verdict | None:
    """The refusal of everything but reading one object."""
    if attributes.verb != "get":
        return _no("can only get individual resources of this type")
    if attributes.subresource:
        return _no("cannot get subresource")
    return None if attributes.name else _no("No Object name found")


def _own_node(node: str, attributes: Attributes) -> Verdict | None:
    if attributes.subresource or attributes.verb not in ("get", "list", "watch"):
        return None
    if attributes.name == node:
        return _YES
    if attributes.verb == "get":
        return _no(f"node '{node}' cannot read '{attributes.name}', only its own Node object")
    return _no(f"node '{node}' cannot read all nodes, only its own Node object")


def _lease(node: str, attributes: Attributes) -> Verdict:
    if attributes.verb not in _OWN_VERBS:
        return _no("can only get, create, update, patch, or delete a node lease")
    if attributes.namespace != _LEASE_NAMESPACE:
        return _no(f"can only access leases in the {quoted(_LEASE_NAMESPACE)} system namespace")
    if attributes.verb != "create" and attributes.name != node:
        return _no("can only access node lease with the same name as the requesting node")
    return _YES


def _csi_node(node: str, attributes: Attributes) -> Verdict:
    if attributes.verb not in _OWN_VERBS:
        return _no("can only get, create, update, patch, or delete a CSINode")
    if attributes.subresource:
        return _no("cannot authorize CSINode subresources")
    if attributes.verb != "create" and attributes.name != node:
        return _no("can only access CSINode with the same name as the requesting node")
    return _YES


def build(parts: ServerParts) -> Node:
    return Node(parts.reader)
