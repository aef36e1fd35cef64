"""Addresses and node ports of Services."""

import asyncio

import pytest
from tests.apiserver.serving import serving

from sampan.api.resources import SERVICES
from sampan.apimachinery import errors


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
    async with serving() as (server, client):
        await client.create(SERVICES, service("a", clusterIP="10.96.7.7"))
        with pytest.raises(errors.Invalid, match=r"IP 10\.96\.7\.7: provided IP is already allocated"):
            await client.create(SERVICES, service("b", clusterIP="10.96.7.7"))
        await client.delete(SERVICES, "a", "default")
        await server.hub.fresh()
        await client.create(SERVICES, service("b", clusterIP="10.96.7.7"))
        with pytest.raises(errors.Invalid, match="is not in the valid range"):
            await client.create(SERVICES, service("c", clusterIP="192.168.1.1"))


async def test_a_refused_service_holds_nothing():
    async with serving() as (_, client):
        with pytest.raises(errors.Invalid):
            await client.create(SERVICES, service("Bad_Name", clusterIP="10.96.7.7"))
        await client.create(SERVICES, service("good", clusterIP="10.96.7.7"))


async def test_node_ports_come_and_go_with_the_type():
    async with serving() as (server, client):
        made = await client.create(SERVICES, service("a", type="NodePort"))
        port = made["spec"]["ports"][0]["nodePort"]
        assert 30000 <= port <= 32767
        taken = service("b", type="NodePort", ports=[{"port": 80, "nodePort": port}])
        with pytest.raises(errors.Invalid, match="provided port is already allocated"):
            await client.create(SERVICES, taken)
        changed = await client.patch(SERVICES, "a", {"spec": {"type": "ClusterIP"}}, "default")
        assert "nodePort" not in changed["spec"]["ports"][0]
        await server.hub.fresh()
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
