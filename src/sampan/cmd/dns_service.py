"""The Service `kube-dns`: cluster DNS's well-known address, and where its packets go.

Every node serves the names at its own address (`cmd/dns.py`), so the Service has no selector; its EndpointSlice
lists the nodes. Both are put right when the API server starts, and left alone otherwise.
"""

from __future__ import annotations

import asyncio
import logging

from sampan.api.resources import ENDPOINT_SLICES, SERVICES
from sampan.apimachinery.errors import AlreadyExists, APIError
from sampan.apimachinery.object import Object
from sampan.apimachinery.resource import Resource
from sampan.client.client import Client
from sampan.cmd.layout import ClusterLayout

log = logging.getLogger("sampan.dns-service")

NAMESPACE, NAME = "kube-system", "kube-dns"
_RETRY_S = 1.0


def service(cluster: ClusterLayout) -> Object:
    """The Service as kubeadm makes it, apart from the selector."""
    return {
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": {
            "k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS",
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
    """Make both, or put the slice right; tries until it succeeds, then waits to be cancelled."""
    while True:
        try:
            await _create_or_replace(client, SERVICES, service(cluster), replace=False)
            await _create_or_replace(client, ENDPOINT_SLICES, endpoint_slice(cluster), replace=True)
            break
        except APIError as error:
            log.warning("kube-dns: %s; trying again", error.message)
            await asyncio.sleep(_RETRY_S)
    await asyncio.Event().wait()


async def _create_or_replace(client: Client, resource: Resource, obj: Object, *, replace: bool) -> None:
    try:
        await client.create(resource, obj)
    except AlreadyExists:
        if replace:
            await client.update(resource, obj)
