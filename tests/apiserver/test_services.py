"""Addresses and node ports of Services."""

import asyncio
from datetime import timedelta

import pytest
from tests.apiserver.serving import call, serving

from sampan import effects
from sampan.api.resources import IP_ADDRESSES, SERVICE_CIDRS, SERVICES
from sampan.apimachinery import errors
from sampan.apiserver.registry import address_ledger as ledger


def service(name, **spec):
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": {"a": "b"}, "ports": [{"port": 80}], **spec},
    }


async def test_a_service_gets_an_address_of_its_own():
    async with serving() as (_, client):
        made = await asyncio.gather(*(client.create(SERVICES, service(f"s{number}")) for number in range(50)))
        addresses = {item["spec"]["clusterIP"] for item in made}
        assert len(addresses) == 50 and all(address.startswith("10.96.") for address in addresses)
        assert made[0]["spec"]["clusterIPs"] == [made[0]["spec"]["clusterIP"]]
        assert made[0]["spec"]["ipFamilies"] == ["IPv4"] and made[0]["spec"]["ipFamilyPolicy"] == "SingleStack"


async def test_an_address_is_given_once_and_again_after_deletion():
    async with serving() as (_, client):
        await client.create(SERVICES, service("a", clusterIP="10.96.7.7"))
        with pytest.raises(errors.Invalid, match=r"IP 10\.96\.7\.7: provided IP is already allocated"):
            await client.create(SERVICES, service("b", clusterIP="10.96.7.7"))
        await client.delete(SERVICES, "a", "default")
        await client.create(SERVICES, service("b", clusterIP="10.96.7.7"))
        with pytest.raises(errors.Invalid, match="is not in the valid range"):
            await client.create(SERVICES, service("c", clusterIP="192.168.1.1"))


async def test_a_refused_service_holds_nothing():
    async with serving() as (_, client):
        with pytest.raises(errors.Invalid):
            await client.create(SERVICES, service("Bad_Name", clusterIP="10.96.7.7"))
        await client.create(SERVICES, service("good", clusterIP="10.96.7.7"))


async def test_node_ports_come_and_go_with_the_type():
    async with serving() as (_, client):
        made = await client.create(SERVICES, service("a", type="NodePort"))
        port = made["spec"]["ports"][0]["nodePort"]
        assert 30000 <= port <= 32767
        taken = service("b", type="NodePort", ports=[{"port": 80, "nodePort": port}])
        with pytest.raises(errors.Invalid, match="provided port is already allocated"):
            await client.create(SERVICES, taken)
        changed = await client.patch(SERVICES, "a", {"spec": {"type": "ClusterIP"}}, "default")
        assert "nodePort" not in changed["spec"]["ports"][0]
        await client.create(SERVICES, taken)


async def test_headless_and_external_name_have_no_address():
    async with serving() as (_, client):
        headless = await client.create(SERVICES, service("h", clusterIP="None"))
        assert headless["spec"]["clusterIPs"] == ["None"]
        external = {"metadata": {"name": "e", "namespace": "default"},
                    "spec": {"type": "ExternalName", "externalName": "example.com"}}
        assert "clusterIP" not in (await client.create(SERVICES, external))["spec"]


async def test_an_address_does_not_change():
    async with serving() as (_, client):
        await client.create(SERVICES, service("a"))
        with pytest.raises(errors.Invalid, match="may not change once set"):
            change = {"spec": {"clusterIP": "10.96.9.9", "clusterIPs": ["10.96.9.9"]}}
            await client.patch(SERVICES, "a", change, "default")


async def address(client, server, name):
    await server.hub.fresh()
    try:
        return await client.get(IP_ADDRESSES, name)
    except errors.NotFound:
        return None


async def until(condition):
    """Wait for what happens in the background."""
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.005)


async def test_every_address_is_an_object_as_long_as_its_service_has_it():
    async with serving() as (server, client):
        made = await client.create(SERVICES, service("a", clusterIP="10.96.7.7"))
        shown = await client.get(IP_ADDRESSES, "10.96.7.7")
        assert shown["spec"] == {"parentRef": {"resource": "services", "namespace": "default", "name": "a"}}
        assert shown["metadata"]["labels"] == {
            "ipaddress.kubernetes.io/ip-family": "IPv4", "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
        }
        assert (await client.get(IP_ADDRESSES, "10.96.0.1"))["spec"]["parentRef"]["name"] == "kubernetes"
        external = {**made, "spec": {"type": "ExternalName", "externalName": "example.com"}}
        await client.update(SERVICES, external)
        await until(lambda: _gone(client, server, "10.96.7.7"))


async def _gone(client, server, name):
    return await address(client, server, name) is None


async def test_neither_a_dry_run_nor_a_refused_service_leaves_an_address():
    async with serving() as (server, client):
        path = "/api/v1/namespaces/default/services"
        await call(server, "POST", f"{path}?dryRun=All", service("a", clusterIP="10.96.7.7"))
        assert await address(client, server, "10.96.7.7") is None
        await client.create(SERVICES, service("a"))
        with pytest.raises(errors.AlreadyExists):
            await client.create(SERVICES, service("a", clusterIP="10.96.7.8"))
        await until(lambda: _gone(client, server, "10.96.7.8"))


async def test_an_address_that_another_object_holds_is_not_given():
    async with serving() as (server, client):
        await client.create(IP_ADDRESSES, {
            "metadata": {"name": "10.96.7.7"},
            "spec": {"parentRef": {"group": "gateway.networking.k8s.io", "resource": "gateways", "name": "g"}},
        })
        await server.hub.fresh()
        with pytest.raises(errors.Invalid, match="provided IP is already allocated"):
            await client.create(SERVICES, service("a", clusterIP="10.96.7.7"))


async def test_objects_of_addresses_are_repaired():
    async with serving() as (server, client):
        await client.create(SERVICES, service("a", clusterIP="10.96.7.7"))
        await server.hub.fresh()
        first = await client.get(IP_ADDRESSES, "10.96.7.7")
        await client.delete(IP_ADDRESSES, "10.96.7.7")

        async def is_back():
            found = await address(client, server, "10.96.7.7")
            return found is not None and found["metadata"]["uid"] != first["metadata"]["uid"]

        await until(is_back)
        await client.create(IP_ADDRESSES, ledger.document("10.96.7.9", "default", "nobody"))
        await server._ledger.repair()
        assert await address(client, server, "10.96.7.9") is not None, "its Service may be on its way"
        with effects.use(Later(61)):
            await server._ledger.repair()
        assert await address(client, server, "10.96.7.9") is None


class Later(effects.SystemSource):
    def __init__(self, seconds):
        super().__init__()
        self._seconds = seconds

    def now(self):
        return super().now() + timedelta(seconds=self._seconds)


async def test_services_get_addresses_of_ready_ranges_beside_the_servers_own():
    async with serving() as (server, client):
        with pytest.raises(errors.Invalid, match="is not in the valid range"):
            await client.create(SERVICES, service("a", clusterIP="203.0.113.10"))
        await client.create(SERVICE_CIDRS, {"metadata": {"name": "more"}, "spec": {"cidrs": ["203.0.113.0/24"]}})
        await server.hub.fresh()
        await client.create(SERVICES, service("a", clusterIP="203.0.113.10"))
        with pytest.raises(errors.Invalid, match="the provided network does not match the current range"):
            await client.create(SERVICES, service("b", clusterIP="198.51.100.10"))
        not_ready = {"status": {"conditions": [{
            "type": "Ready", "status": "False", "reason": "Terminating", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }]}}
        await client.patch(SERVICE_CIDRS, "more", not_ready, subresource="status")
        await server.hub.fresh()
        with pytest.raises(errors.Invalid, match="is not in the valid range"):
            await client.create(SERVICES, service("c", clusterIP="203.0.113.11"))
