"""What a cluster of sampan holds besides upstream's own objects; put right when the API server starts.

- The Service `kube-dns`, cluster DNS's well-known address. Every node serves the names at its own (`cmd/dns.py`), so
  the Service has no selector and its EndpointSlice lists the nodes.
- The controller manager's right to act as the controllers' ServiceAccounts. It may already create tokens for every
  ServiceAccount; impersonating those of kube-system spares it to.
- The default StorageClass and its provisioner's rights (`addons/storage`).
- What a node's network agent may read for NetworkPolicies, beside what upstream's kube-proxy may.
- metrics.k8s.io: its APIService and the Service behind it (`addons/metrics`).
- The first node's role: a kubelet may not give itself one (NodeRestriction), so the control plane does it.
"""

from __future__ import annotations

import asyncio
import logging

from sampan.addons.metrics import objects as metrics
from sampan.addons.storage import objects as storage
from sampan.api.resources import (
    API_SERVICES,
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    ENDPOINT_SLICES,
    NODES,
    ROLE_BINDINGS,
    ROLES,
    SERVICES,
    STORAGE_CLASSES,
)
from sampan.apimachinery.errors import APIError, NotFound
from sampan.apimachinery.object import Object, name_of, namespace_of
from sampan.apimachinery.resource import Resource
from sampan.client.client import Client
from sampan.cmd.layout import ClusterLayout

log = logging.getLogger("sampan.cluster-objects")

NAMESPACE, NAME = "kube-system", "kube-dns"
CONTROL_PLANE_ROLE = "node-role.kubernetes.io/control-plane"
_RETRY_S = 1.0

_RBAC = "rbac.authorization.k8s.io"
IMPERSONATOR: Object = {
    "apiVersion": f"{_RBAC}/v1", "kind": "Role",
    "metadata": {"name": "sampan:controller-impersonator", "namespace": NAMESPACE},
    "rules": [{"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["impersonate"]}],
}
IMPERSONATOR_BINDING: Object = {
    "apiVersion": f"{_RBAC}/v1", "kind": "RoleBinding",
    "metadata": {"name": "sampan:controller-impersonator", "namespace": NAMESPACE},
    "roleRef": {"apiGroup": _RBAC, "kind": "Role", "name": "sampan:controller-impersonator"},
    "subjects": [{"apiGroup": _RBAC, "kind": "User", "name": "system:kube-controller-manager"}],
}

NETWORK: Object = {
    "apiVersion": f"{_RBAC}/v1", "kind": "ClusterRole", "metadata": {"name": "sampan:network"},
    "rules": [
        {"apiGroups": [""], "resources": ["pods", "namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": ["list", "watch"]},
    ],
}
NETWORK_BINDING: Object = {
    "apiVersion": f"{_RBAC}/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "sampan:network"},
    "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": "sampan:network"},
    "subjects": [{"apiGroup": _RBAC, "kind": "User", "name": "system:kube-proxy"}],
}


def service(cluster: ClusterLayout) -> Object:
    """The Service as kubeadm makes it, apart from the selector."""
    return {
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": {
            "k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "KubeDNS",
        }},
        "spec": {"clusterIP": cluster.dns_address, "clusterIPs": [cluster.dns_address], "ports": [
            {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
            {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
        ]},
    }


def endpoint_slice(cluster: ClusterLayout) -> Object:
    """Every node, always ready: a node whose DNS is away is away itself, or back in a moment."""
    return {
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": f"{NAME}-nodes", "namespace": NAMESPACE, "labels": {
            "kubernetes.io/service-name": NAME, "endpointslice.kubernetes.io/managed-by": "sampan",
        }},
        "endpoints": [
            {"addresses": [node.address], "nodeName": node.name, "conditions": {"ready": True}}
            for node in cluster.nodes
        ],
        "ports": [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}],
    }


async def ensure(client: Client, cluster: ClusterLayout) -> None:
    """Make them, or put them right; tries until it succeeds, then waits to be cancelled."""
    while True:
        try:
            await ensure_dns(client, cluster)
            await _create_or_replace(client, ROLES, IMPERSONATOR, replace=True)
            await _create_or_replace(client, ROLE_BINDINGS, IMPERSONATOR_BINDING, replace=True)
            await _create_or_replace(client, CLUSTER_ROLES, storage.ROLE, replace=True)
            await _create_or_replace(client, CLUSTER_ROLE_BINDINGS, storage.BINDING, replace=True)
            await _create_or_replace(client, STORAGE_CLASSES, storage.STORAGE_CLASS, replace=False)
            await _create_or_replace(client, CLUSTER_ROLES, NETWORK, replace=True)
            await _create_or_replace(client, CLUSTER_ROLE_BINDINGS, NETWORK_BINDING, replace=True)
            await _ensure_metrics(client, cluster)
            await client.patch(NODES, cluster.first_node.name, {"metadata": {"labels": {CONTROL_PLANE_ROLE: ""}}})
            break
        except NotFound:
            await asyncio.sleep(_RETRY_S)  # the first node has yet to register
        except APIError as error:
            log.warning("%s; trying again", error.message)
            await asyncio.sleep(_RETRY_S)
    await asyncio.Event().wait()


async def _ensure_metrics(client: Client, cluster: ClusterLayout) -> None:
    """metrics.k8s.io, behind the API server's aggregation."""
    for role in (metrics.READER, metrics.ROLE):
        await _create_or_replace(client, CLUSTER_ROLES, role, replace=True)
    await _create_or_replace(client, CLUSTER_ROLE_BINDINGS, metrics.BINDING, replace=True)
    await _create_or_replace(client, SERVICES, metrics.SERVICE, replace=False)
    await _create_or_replace(client, ENDPOINT_SLICES, metrics.endpoint_slice(cluster.first_node.address), replace=True)
    ca = (cluster.pki_dir / "ca.crt").read_bytes()
    await _create_or_replace(client, API_SERVICES, metrics.api_service(ca), replace=False)


async def ensure_dns(client: Client, cluster: ClusterLayout) -> None:
    """The Service of cluster DNS, with every node of the layout behind it. Raises APIError."""
    await _create_or_replace(client, SERVICES, service(cluster), replace=False)
    await _create_or_replace(client, ENDPOINT_SLICES, endpoint_slice(cluster), replace=True)


async def _create_or_replace(client: Client, resource: Resource, obj: Object, *, replace: bool) -> None:
    try:
        await client.get(resource, name_of(obj), namespace_of(obj))
    except NotFound:
        await client.create(resource, obj)
    else:
        if replace:
            await client.update(resource, obj)
