"""Addresses of Services: further ranges from ServiceCIDRs, and a record of each as an IPAddress."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sampan.api.resources import IP_ADDRESSES, SERVICE_CIDRS, SERVICES
from sampan.apimachinery import errors
from sampan.apimachinery.object import Object
from sampan.apiserver.config import APIServerConfig
from sampan.sim.cluster import SimCluster, SimConfig
from sampan.sim.loop import run
from sampan.sim.node import node_specs


def service(name: str, **spec: Any) -> Object:
    return {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": {"a": "b"}, "ports": [{"port": 80}], **spec},
    }


def cidr(name: str, *ranges: str) -> Object:
    return {
        "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": name},
        "spec": {"cidrs": list(ranges)},
    }


def played(scenario: Callable[[SimCluster], Awaitable[None]]) -> None:
    async def play() -> None:
        async with SimCluster(4, nodes=0) as cluster:
            await scenario(cluster)

    run(play())


async def records(cluster: SimCluster) -> dict[str, str]:
    """Address → the name of what has it."""
    found = (await cluster.client.list(IP_ADDRESSES))["items"]
    return {one["metadata"]["name"]: one["spec"]["parentRef"]["name"] for one in found}


def test_every_address_has_a_record_that_comes_and_goes_with_its_service() -> None:
    async def scenario(cluster: SimCluster) -> None:
        made = await cluster.client.create(SERVICES, service("web"))
        await cluster.client.create(SERVICES, service("headless", clusterIP="None"))
        address = made["spec"]["clusterIP"]
        await asyncio.sleep(1)
        assert await records(cluster) == {"10.96.0.1": "kubernetes", address: "web"}
        record = await cluster.client.get(IP_ADDRESSES, address)
        assert record["metadata"]["labels"] == {
            "ipaddress.kubernetes.io/ip-family": "IPv4", "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"}
        assert record["spec"]["parentRef"] == {"resource": "services", "namespace": "default", "name": "web"} | (
            {"group": ""} if "group" in record["spec"]["parentRef"] else {})
        await cluster.client.delete(IP_ADDRESSES, address)
        await asyncio.sleep(1)
        assert (await records(cluster))[address] == "web", "it is mended"
        await cluster.client.delete(SERVICES, "web", "default")
        await asyncio.sleep(0.1)
        await cluster.client.create(SERVICES, service("other", clusterIP=address))
        await asyncio.sleep(1)
        assert (await records(cluster))[address] == "other"
        await cluster.client.patch(SERVICES, "other", {"spec": {
            "type": "ExternalName", "externalName": "example.com", "clusterIP": None, "clusterIPs": None}}, "default")
        await asyncio.sleep(1)
        assert await records(cluster) == {"10.96.0.1": "kubernetes"}

    played(scenario)


def test_a_record_that_somebody_made_holds_its_address() -> None:
    async def scenario(cluster: SimCluster) -> None:
        await cluster.client.create(IP_ADDRESSES, {
            "apiVersion": "networking.k8s.io/v1", "kind": "IPAddress", "metadata": {"name": "10.96.7.7"},
            "spec": {"parentRef": {"group": "x.io", "resource": "routers", "name": "r"}},
        })
        await asyncio.sleep(0.1)
        with pytest.raises(errors.Invalid, match=r"IP 10\.96\.7\.7: provided IP is already allocated"):
            await cluster.client.create(SERVICES, service("web", clusterIP="10.96.7.7"))
        await cluster.client.delete(IP_ADDRESSES, "10.96.7.7")
        await asyncio.sleep(1)
        await cluster.client.create(SERVICES, service("web", clusterIP="10.96.7.7"))
        await asyncio.sleep(1)
        assert (await records(cluster))["10.96.7.7"] == "web"

    played(scenario)


def test_a_further_range_gives_addresses_until_it_goes_which_waits_for_them() -> None:
    async def scenario(cluster: SimCluster) -> None:
        client = cluster.client
        with pytest.raises(errors.Invalid, match="is not in the valid range"):
            await client.create(SERVICES, service("web", clusterIP="10.200.0.5"))
        await client.create(SERVICE_CIDRS, cidr("more", "10.200.0.0/28"))
        await asyncio.sleep(1)
        await client.create(SERVICES, service("web", clusterIP="10.200.0.5"))
        with pytest.raises(errors.Invalid, match="already allocated"):
            await client.create(SERVICES, service("again", clusterIP="10.200.0.5"))
        await asyncio.sleep(1)
        await client.delete(SERVICE_CIDRS, "more")
        await asyncio.sleep(1)
        [ready] = (await client.get(SERVICE_CIDRS, "more"))["status"]["conditions"]
        assert (ready["status"], ready["reason"]) == ("False", "Terminating")
        with pytest.raises(errors.Invalid, match="is not in the valid range"):
            await client.create(SERVICES, service("late", clusterIP="10.200.0.6"))
        await client.delete(SERVICES, "web", "default")
        await asyncio.sleep(15)  # ten seconds of grace, by which every API server knows
        with pytest.raises(errors.NotFound):
            await client.get(SERVICE_CIDRS, "more")

    played(scenario)


def test_when_the_first_range_is_full_the_next_one_gives() -> None:
    async def play() -> None:
        server = APIServerConfig(authorization=False, service_cidr="10.96.0.0/29")
        async with SimCluster(4, config=SimConfig(node_specs(0), server=server)) as cluster:
            for number in range(5):
                await cluster.client.create(SERVICES, service(f"s{number}"))
            with pytest.raises(errors.Invalid, match="range is full"):
                await cluster.client.create(SERVICES, service("more"))
            await cluster.client.create(SERVICE_CIDRS, cidr("more", "10.200.0.0/28"))
            await asyncio.sleep(1)
            made = await cluster.client.create(SERVICES, service("more"))
            assert made["spec"]["clusterIP"].startswith("10.200.0.")

    run(play())
