"""What must exist in every cluster: system namespaces, priority classes, the `kubernetes` Service and its ServiceCIDR.

All of it is made through the ordinary API, as the server itself, mended at every start and brought back when deleted.
The `kubernetes` Service has the first address of the service range; where it leads is `kubernetes_endpoints.py`.
"""

from __future__ import annotations

import asyncio
import ipaddress
from datetime import date
from typing import Final

from sampan import effects
from sampan.api.resources import (
    CONFIG_MAPS,
    NAMESPACES,
    PRIORITY_CLASSES,
    SERVICE_CIDRS,
    SERVICES,
)
from sampan.apimachinery.object import Object, dig, name_of, namespace_of
from sampan.apimachinery.resource import Resource
from sampan.apiserver.config import APIServerConfig
from sampan.apiserver.presence import present
from sampan.apiserver.registry.periodic import Periodic
from sampan.apiserver.seams import Reader
from sampan.client.client import Client

UPKEEP_S: Final = 10.0
TRACKING: Final = "kube-apiserver-legacy-service-account-token-tracking"
SINCE: Final = "since"
SYSTEM_NAMESPACES: Final = ("default", "kube-system", "kube-public", "kube-node-lease")
PRIORITIES: Final = (
    ("system-node-critical", 2000001000,
     "Used for system critical pods that must not be moved from their current node."),
    ("system-cluster-critical", 2000000000,
     "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary."),
)


async def ensure(client: Client, config: APIServerConfig) -> None:
    """Create what is missing. Safe to run at every start."""
    await asyncio.gather(*(present(client, NAMESPACES, _namespace(name)) for name in SYSTEM_NAMESPACES))
    await asyncio.gather(
        *(present(client, PRIORITY_CLASSES, _priority(*entry)) for entry in PRIORITIES),
        *(present(client, resource, wanted) for resource, wanted in _kept(config)),
        _track_legacy_tokens(client),
    )


def upkeep(client: Client, reader: Reader, config: APIServerConfig) -> Periodic:
    """Brings back what somebody deletes: the namespaces, the Service and its range."""

    wanted = [*((NAMESPACES, _namespace(name)) for name in SYSTEM_NAMESPACES), *_kept(config)]

    async def step() -> None:
        for resource, obj in wanted:
            if reader.peek(resource, name_of(obj), namespace_of(obj)) is None:
                await present(client, resource, obj)
        tracking = reader.peek(CONFIG_MAPS, TRACKING, "kube-system")
        if tracking is None or not _is_day(dig(tracking, "data", SINCE)):
            await _track_legacy_tokens(client)

    return Periodic("system objects", step, UPKEEP_S)


def _kept(config: APIServerConfig) -> list[tuple[Resource, Object]]:
    return [(SERVICE_CIDRS, _service_cidr(config)), (SERVICES, _service(config))]


async def _track_legacy_tokens(client: Client) -> None:
    """Say since when the use of tokens in Secrets is noted down (KEP-2799); an unreadable day is replaced."""
    today = {SINCE: effects.timestamp()[:10]}
    wanted: Object = {
        "kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": TRACKING, "namespace": "kube-system"},
        "data": today,
    }
    await present(client, CONFIG_MAPS, wanted)
    tracking = await client.get(CONFIG_MAPS, TRACKING, "kube-system")
    if not _is_day(dig(tracking, "data", SINCE)):
        await client.patch(CONFIG_MAPS, TRACKING, {"data": today}, "kube-system")


def _is_day(text: str | None) -> bool:
    try:
        return bool(text) and date.fromisoformat(text or "").isoformat() == text
    except ValueError:
        return False


def _namespace(name: str) -> Object:
    return {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}}


def _priority(name: str, value: int, description: str) -> Object:
    return {
        "kind": "PriorityClass", "apiVersion": "scheduling.k8s.io/v1", "metadata": {"name": name}, "value": value,
        "description": description,
    }


def service_address(config: APIServerConfig) -> str:
    """The first address of the service range, which is the API server's."""
    return str(ipaddress.ip_network(config.service_cidr)[1])


def _service_cidr(config: APIServerConfig) -> Object:
    return {
        "kind": "ServiceCIDR", "apiVersion": "networking.k8s.io/v1", "metadata": {"name": "kubernetes"},
        "spec": {"cidrs": [config.service_cidr]},
    }


def _service(config: APIServerConfig) -> Object:
    address = service_address(config)
    return {
        "kind": "Service", "apiVersion": "v1",
        "metadata": {
            "name": "kubernetes", "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "type": "ClusterIP", "clusterIP": address, "clusterIPs": [address], "sessionAffinity": "None",
            "ipFamilyPolicy": "SingleStack",
            "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": config.advertise_port}],
        },
    }
