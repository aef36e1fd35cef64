"""What every cluster has from the first moment on, and gets back when somebody deletes it."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from tests.apiserver.serving import serving

from sampan import effects
from sampan.api.resources import (
    CONFIG_MAPS,
    ENDPOINT_SLICES,
    ENDPOINTS,
    NAMESPACES,
    PRIORITY_CLASSES,
    SERVICE_CIDRS,
    SERVICES,
)
from sampan.apiserver import bootstrap
from sampan.client.client import Client

REACHED = {"advertise_address": "192.0.2.7", "advertise_port": 7443}


async def test_the_system_namespaces_and_priority_classes() -> None:
    async with serving() as (_, client):
        namespaces = {one["metadata"]["name"]: one for one in (await client.list(NAMESPACES))["items"]}
        assert sorted(namespaces) == ["default", "kube-node-lease", "kube-public", "kube-system"]
        assert all(
            one["metadata"]["labels"] == {"kubernetes.io/metadata.name": name} and one["spec"] == {
                "finalizers": ["kubernetes"]} and one["status"] == {"phase": "Active"}
            for name, one in namespaces.items()
        )
        classes = {one["metadata"]["name"]: one for one in (await client.list(PRIORITY_CLASSES))["items"]}
        assert {name: (one["value"], one["preemptionPolicy"], one.get("globalDefault", False), one["description"])
                for name, one in classes.items()} == {
            "system-cluster-critical": (
                2_000_000_000, "PreemptLowerPriority", False,
                "Used for system critical pods that must run in the cluster, but can be moved to another node if "
                "necessary.",
            ),
            "system-node-critical": (
                2_000_001_000, "PreemptLowerPriority", False,
                "Used for system critical pods that must not be moved from their current node.",
            ),
        }


async def test_the_servers_own_service_and_where_it_is_reached() -> None:
    async with serving(**REACHED) as (_, client):
        service = await client.get(SERVICES, "kubernetes", "default")
        assert service["metadata"]["labels"] == {"component": "apiserver", "provider": "kubernetes"}
        assert service["spec"] == {
            "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "internalTrafficPolicy": "Cluster",
            "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "sessionAffinity": "None", "type": "ClusterIP",
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 7443}],
        }
        assert (await client.get(SERVICE_CIDRS, "kubernetes"))["spec"] == {"cidrs": ["10.96.0.0/16"]}
        endpoints = await client.get(ENDPOINTS, "kubernetes", "default")
        assert endpoints["metadata"]["labels"] == {"endpointslice.kubernetes.io/skip-mirror": "true"}
        assert endpoints["subsets"] == [{
            "addresses": [{"ip": "192.0.2.7"}], "ports": [{"name": "https", "port": 7443, "protocol": "TCP"}],
        }]
        piece = await client.get(ENDPOINT_SLICES, "kubernetes", "default")
        assert piece["metadata"]["labels"] == {"kubernetes.io/service-name": "kubernetes"}
        assert piece["addressType"] == "IPv4"
        assert piece["endpoints"] == [{"addresses": ["192.0.2.7"], "conditions": {"ready": True}}]
        assert piece["ports"] == [{"name": "https", "port": 7443, "protocol": "TCP"}]


async def test_what_is_deleted_comes_back() -> None:
    async with serving(**REACHED) as (server, client):
        gone: list[tuple[Any, str, str]] = [
            (SERVICES, "kubernetes", "default"), (CONFIG_MAPS, bootstrap.TRACKING, "kube-system"),
        ]
        for resource, name, namespace in gone:
            await client.delete(resource, name, namespace)
        await server.hub.fresh()
        upkeep = bootstrap.upkeep(client, server.reader, server.config)
        upkeep.start()
        try:
            async with asyncio.timeout(60):
                while not all([await _exists(client, *one) for one in gone]):
                    await asyncio.sleep(0.01)
        finally:
            await upkeep.stop()
        assert (await client.get(SERVICES, "kubernetes", "default"))["spec"]["clusterIP"] == "10.96.0.1"


async def _exists(client: Client, resource: Any, name: str, namespace: str) -> bool:
    return any(one["metadata"]["name"] == name for one in (await client.list(resource, namespace))["items"])


async def test_the_day_since_which_old_tokens_are_tracked() -> None:
    async with serving() as (server, client):
        found = await client.get(CONFIG_MAPS, bootstrap.TRACKING, "kube-system")
        assert found["data"] == {"since": effects.timestamp()[:10]}
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", found["data"]["since"])
        await client.patch(CONFIG_MAPS, bootstrap.TRACKING, {"data": {"since": "2020-02-03"}}, "kube-system")
        await bootstrap.ensure(client, server.config)
        kept = await client.get(CONFIG_MAPS, bootstrap.TRACKING, "kube-system")
        assert kept["data"] == {"since": "2020-02-03"}
        await client.patch(CONFIG_MAPS, bootstrap.TRACKING, {"data": {"since": "yesterday"}}, "kube-system")
        await bootstrap.ensure(client, server.config)
        assert (await client.get(CONFIG_MAPS, bootstrap.TRACKING, "kube-system"))["data"] == found["data"]
