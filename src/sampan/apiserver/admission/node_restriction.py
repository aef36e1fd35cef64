"""A kubelet writes only its own node, its own pods' status, and what little else it needs.

The Node authoriser lets a node write nodes and pods at all; this plugin limits which, and which parts.
Source: "NodeRestriction" in the Kubernetes documentation of admission controllers; messages as upstream has them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from sampan.api.resources import PODS
from sampan.apimachinery import errors
from sampan.apimachinery.go_values import quoted
from sampan.apimachinery.object import Object, annotations_of, dig, labels_of, meta, name_of, uid_of
from sampan.apiserver.admission import token_audience
from sampan.apiserver.admission.plugin import Plugin, refuse
from sampan.apiserver.authz.node_graph import MIRROR, references
from sampan.apiserver.authz.node_identity import node_name
from sampan.apiserver.seams import AdmissionAttributes, Operation, ServerParts

_LEASES = "kube-node-lease"
_PREFIX = "node-restriction.kubernetes.io/"
_OWN_LABELS = frozenset({
    "kubernetes.io/hostname", "kubernetes.io/instance-type", "kubernetes.io/os", "kubernetes.io/arch",
    "beta.kubernetes.io/instance-type", "beta.kubernetes.io/os", "beta.kubernetes.io/arch",
    "failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region",
    "failure-domain.kubernetes.io/zone", "failure-domain.kubernetes.io/region",
    "node.kubernetes.io/instance-type", "topology.kubernetes.io/zone", "topology.kubernetes.io/region",
})
_OWN_NAMESPACES = ("kubelet.kubernetes.io", "node.kubernetes.io")


class NodeRestriction(Plugin):
    name = "NodeRestriction"
    operations: ClassVar[frozenset[Operation]] = frozenset({"CREATE", "UPDATE", "DELETE"})

    def __init__(self, parts: ServerParts) -> None:
        self._parts = parts
        self._reader = parts.reader

    def interested(self, attributes: AdmissionAttributes) -> bool:
        return attributes.operation in self.operations and node_name(attributes.user) is not None

    async def admit(self, attributes: AdmissionAttributes) -> None:
        node = node_name(attributes.user)
        if not node:
            raise refuse(attributes, f"could not determine node from user {quoted(attributes.user.name)}")
        resource = attributes.kind.resource
        key = (resource.group, resource.plural, attributes.subresource)
        if key == ("", "pods", ""):
            await self._pod(attributes, node)
        elif key == ("", "pods", "status"):
            self._pod_status(attributes, node)
        elif key == ("", "pods", "eviction"):
            await self._eviction(attributes, node)
        elif key[:2] == ("", "nodes"):
            _node(attributes, node)
        elif key[:2] == ("", "persistentvolumeclaims"):
            _claim(attributes)
        elif key == ("", "serviceaccounts", "token"):
            await self._token(attributes, node)
        elif key[:2] == ("coordination.k8s.io", "leases"):
            _lease(attributes, node)
        elif key == ("resource.k8s.io", "resourceslices", ""):
            _slice(attributes, node)
        elif key == ("certificates.k8s.io", "podcertificaterequests", ""):
            await self._certificate(attributes, node)
        elif key[:2] == ("storage.k8s.io", "csinodes") and _written_name(attributes) != node:
            raise refuse(
                attributes, "can only access CSINode with the same name as the requesting node"
            )

    async def _pod(self, attributes: AdmissionAttributes, node: str) -> None:
        if attributes.operation == "CREATE":
            _mirror_pod(attributes, node)
        elif attributes.operation == "DELETE":
            bound = dig(attributes.old_object, "spec", "nodeName", default="")
            if bound != node:
                raise refuse(attributes, f"node {quoted(node)} can only delete pods with spec.nodeName set to itself")
        else:
            raise refuse(attributes, f"unexpected operation {quoted(attributes.operation)}")

    def _pod_status(self, attributes: AdmissionAttributes, node: str) -> None:
        if attributes.operation != "UPDATE":
            raise refuse(attributes, f"unexpected operation {quoted(attributes.operation)}")
        old, new = attributes.old_object or {}, attributes.object or {}
        if dig(old, "spec", "nodeName", default="") != node:
            why = f"node {quoted(node)} can only update pod status for pods with spec.nodeName set to itself"
            raise refuse(attributes, why)
        if labels_of(old) != labels_of(new):
            raise refuse(attributes, f"node {quoted(node)} cannot update labels through pod status")
        for field, what in (("resourceClaimStatuses", "resource claim statuses"),
                            ("extendedResourceClaimStatus", "extended resource claim status")):
            if dig(old, "status", field) != dig(new, "status", field):
                raise refuse(attributes, f"node {quoted(node)} cannot update {what}")

    async def _eviction(self, attributes: AdmissionAttributes, node: str) -> None:
        if attributes.operation != "CREATE":
            raise refuse(attributes, f"unexpected operation {attributes.operation}")
        pod = await self._find_pod(attributes, attributes.name)
        if dig(pod, "spec", "nodeName", default="") != node:
            why = f"node {node} can only evict pods with spec.nodeName set to itself"
            raise refuse(attributes, why)

    async def _token(self, attributes: AdmissionAttributes, node: str) -> None:
        if attributes.operation != "CREATE":
            raise refuse(attributes, f"unexpected operation {attributes.operation}")
        reference = dig(attributes.object, "spec", "boundObjectRef", default={})
        if reference.get("apiVersion") != "v1" or reference.get("kind") != "Pod" or not reference.get("name"):
            raise refuse(attributes, "node requested token not bound to a pod")
        if not reference.get("uid"):
            raise refuse(attributes, "node requested token with a pod binding without a uid")
        pod = await self._find_pod(attributes, reference["name"])
        if uid_of(pod) != reference["uid"]:
            raise refuse(
                attributes, f"the UID in the bound object reference ({reference['uid']}) does not match the UID in "
                f"record ({uid_of(pod)}). The object might have been deleted and then recreated",
            )
        if dig(pod, "spec", "nodeName", default="") != node:
            raise refuse(attributes, "node requested token bound to a pod scheduled on a different node")
        await token_audience.check(attributes, pod, self._parts)

    async def _certificate(self, attributes: AdmissionAttributes, node: str) -> None:
        """A certificate is asked for a pod on this node, as it is."""
        if attributes.operation != "CREATE":
            raise refuse(attributes, f"unexpected operation {attributes.operation}")
        spec = dig(attributes.object, "spec", default={})
        if spec.get("nodeName") != node:
            why = f"PodCertificateRequest.Spec.NodeName={quoted(spec.get('nodeName') or '')}, which is not the " \
                  f"requesting node {quoted(node)}"
            raise refuse(attributes, why)
        pod = await self._find_pod(attributes, spec.get("podName") or "")
        if MIRROR in annotations_of(pod):
            raise refuse(attributes, "pod is a mirror pod")
        known = {"podUID": uid_of(pod), "nodeName": dig(pod, "spec", "nodeName", default=""),
                 "serviceAccountName": dig(pod, "spec", "serviceAccountName", default="")}
        for field, value in known.items():
            if spec.get(field) != value:
                raise refuse(attributes, f"spec.{field} {quoted(spec.get(field) or '')} is not the pod's: "
                                         f"{quoted(value)}")

    async def _find_pod(self, attributes: AdmissionAttributes, name: str) -> Object:
        await self._reader.fresh(PODS)
        pod = self._reader.get(PODS, name, attributes.namespace)
        if pod is None:
            raise errors.not_found(PODS, name)
        return pod


def _written_name(attributes: AdmissionAttributes) -> str:
    return attributes.name or name_of(attributes.object or {})


def _mirror_pod(attributes: AdmissionAttributes, node: str) -> None:
    pod = attributes.object or {}
    spec = pod.get("spec") or {}
    if MIRROR not in annotations_of(pod):
        raise refuse(attributes, f"pod does not have {quoted(MIRROR)} annotation, node {quoted(node)} can only create "
                     "mirror pods")
    if spec.get("nodeName") != node:
        raise refuse(attributes, f"node {quoted(node)} can only create pods with spec.nodeName set to itself")
    owners = meta(pod).get("ownerReferences") or []
    if len(owners) > 1:
        why = f"node {quoted(node)} can only create pods with a single owner reference set to itself"
        raise refuse(attributes, why)
    for owner in owners:
        if (owner.get("apiVersion"), owner.get("kind"), owner.get("name")) != ("v1", "Node", node):
            raise refuse(attributes, f"node {quoted(node)} can only create pods with an owner reference set to itself")
        if owner.get("blockOwnerDeletion"):
            why = f"node {quoted(node)} must not set blockOwnerDeletion on an owner reference"
            raise refuse(attributes, why)
    if spec.get("serviceAccountName"):
        raise refuse(attributes, f"node {quoted(node)} can not create pods that reference a service account")
    plain = {"metadata": {"name": name_of(pod)}, "spec": spec}
    for plural, name in references(plain):
        if name and plural in ("secrets", "configmaps", "persistentvolumeclaims", "resourceclaims"):
            raise refuse(attributes, f"node {quoted(node)} can not create pods that reference {plural}")


def _node(attributes: AdmissionAttributes, node: str) -> None:
    name = _written_name(attributes)
    if name != node:
        raise refuse(attributes, f"node {quoted(node)} is not allowed to modify node {quoted(name)}")
    new, old = attributes.object, attributes.old_object
    if attributes.operation == "CREATE" and new is not None:
        _check_labels(attributes, node, labels_of(new).items())
        if dig(new, "spec", "configSource"):
            raise refuse(attributes, f"node {quoted(node)} is not allowed to create pods with a non-nil configSource")
    if attributes.operation == "UPDATE" and new is not None and old is not None:
        if dig(old, "spec", "taints", default=[]) != dig(new, "spec", "taints", default=[]):
            raise refuse(attributes, f"node {quoted(node)} is not allowed to modify taints")
        if meta(old).get("ownerReferences") != meta(new).get("ownerReferences"):
            raise refuse(attributes, f"node {quoted(node)} is not allowed to modify ownerReferences")
        changed = labels_of(old).items() ^ labels_of(new).items()
        _check_labels(attributes, node, changed)
    if attributes.operation == "DELETE":
        raise refuse(attributes, f"node {quoted(node)} is not allowed to delete node {quoted(name)}")


def _check_labels(attributes: AdmissionAttributes, node: str, labels: Iterable[tuple[str, str]]) -> None:
    """A node must not label itself into workloads: kubernetes.io labels only from the short list."""
    bad = sorted({key for key, _ in labels if not _may_label(key)})
    if bad:
        verb = "set" if attributes.operation == "CREATE" else "modify"
        raise refuse(attributes, f"is not allowed to {verb} the following labels: {', '.join(bad)}")


def _may_label(key: str) -> bool:
    namespace, slash, _ = key.rpartition("/")
    if not slash:
        return True
    if key.startswith(_PREFIX):
        return False
    if namespace.endswith(".node-restriction.kubernetes.io"):
        return False
    if key in _OWN_LABELS or namespace in _OWN_NAMESPACES:
        return True
    if namespace.endswith(tuple("." + own for own in _OWN_NAMESPACES)):
        return True
    return not (_within(namespace, "kubernetes.io") or _within(namespace, "k8s.io"))


def _within(namespace: str, domain: str) -> bool:
    return namespace == domain or namespace.endswith("." + domain)


def _claim(attributes: AdmissionAttributes) -> None:
    if attributes.subresource != "status" or attributes.operation != "UPDATE":
        raise refuse(attributes, "may only update PVC status")
    old, new = attributes.old_object or {}, attributes.object or {}
    if (old.get("spec"), meta(old).get("labels")) != (new.get("spec"), meta(new).get("labels")):
        raise refuse(attributes, "is not allowed to update fields other than status")


def _slice(attributes: AdmissionAttributes, node: str) -> None:
    """A driver on a node publishes what that node has."""
    if attributes.operation == "DELETE":
        return
    if dig(attributes.object, "spec", "nodeName") != node:
        raise refuse(attributes, "can only create ResourceSlice with the same NodeName as the requesting node")


def _lease(attributes: AdmissionAttributes, node: str) -> None:
    if attributes.namespace != _LEASES:
        raise refuse(attributes, f"can only access leases in the {quoted(_LEASES)} system namespace")
    if attributes.operation == "CREATE":
        found = name_of(attributes.object or {})
        if found != node:
            raise refuse(attributes, "can only access node lease with the same name as the requesting node")
    elif attributes.name != node:
        raise refuse(attributes, "can only access node lease with the same name as the requesting node")


def build(parts: ServerParts) -> NodeRestriction:
    return NodeRestriction(parts)
