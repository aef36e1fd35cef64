"""Pods with claims on a whole cluster: allocated, shared, made from templates, given back."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.scheduler.conftest import World
from tests.scheduler.devices.test_allocator import CLASSES, DRIVER, asking, claim, device, exactly, shared, slice_of
from tests.scheduler.test_scheduler import condition, node_of, placed, play, pod
from tests.scheduler.volumes import known

from sampan.api.resources import DEVICE_CLASSES, PODS, RESOURCE_CLAIM_TEMPLATES, RESOURCE_CLAIMS, RESOURCE_SLICES
from sampan.apimachinery.object import Object
from sampan.sim.cluster import SimCluster


async def publish(cluster: SimCluster, node: str, *devices: str) -> None:
    published = slice_of(*map(device, devices), node=node, pool=node)
    published |= {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice"}
    await cluster.client.create(RESOURCE_SLICES, published)


async def prepare(cluster: SimCluster, *claims: Object) -> None:
    await cluster.client.create(
        DEVICE_CLASSES, {"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", **CLASSES["gpu"]}
    )
    for one in claims:
        del one["metadata"]["uid"]
        made = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", **one}
        await cluster.client.create(RESOURCE_CLAIMS, made)


def using(name: str, **source: str) -> Object:
    return pod(name, resourceClaims=[{"name": "gpu", **source}])


async def allocated(cluster: SimCluster, name: str) -> dict[str, Any]:
    found = await cluster.client.get(RESOURCE_CLAIMS, name, "default")
    status: dict[str, Any] = found.get("status") or {}
    return status


async def says(cluster: SimCluster, name: str, text: str) -> bool:
    return text in ((await condition(cluster, name)).get("message") or "")


def test_a_pod_goes_to_its_device_and_the_claim_is_reserved_for_it() -> None:
    async def scenario(cluster: SimCluster) -> None:
        await publish(cluster, "n1", "a")
        await prepare(cluster, claim({"exactly": exactly()}))
        await cluster.client.create(PODS, using("p", resourceClaimName="c"))
        assert await placed(cluster, "p") == "n1"
        status = await allocated(cluster, "c")
        assert [one["device"] for one in status["allocation"]["devices"]["results"]] == ["a"]
        assert [user["name"] for user in status["reservedFor"]] == ["p"]
        found = await cluster.client.get(RESOURCE_CLAIMS, "c", "default")
        assert found["metadata"]["finalizers"] == ["resource.kubernetes.io/delete-protection"]

    play(scenario)


def test_pods_that_share_a_claim_go_where_it_is() -> None:
    async def scenario(cluster: SimCluster) -> None:
        await publish(cluster, "n2", "a")
        await prepare(cluster, claim({"exactly": exactly()}))
        for n in range(3):
            await cluster.client.create(PODS, using(f"p{n}", resourceClaimName="c"))
        assert {await placed(cluster, f"p{n}") for n in range(3)} == {"n2"}

        async def all_reserved() -> bool:
            return len((await allocated(cluster, "c")).get("reservedFor") or ()) == 3

        await cluster.until(all_reserved)

    play(scenario)


def test_claims_of_a_burst_never_share_a_device() -> None:
    async def scenario(cluster: SimCluster) -> None:
        for node in ("n0", "n1"):
            await publish(cluster, node, "a", "b")
        await prepare(cluster, *(claim({"exactly": exactly()}, name=f"c{n}") for n in range(5)))
        for n in range(5):
            await cluster.client.create(PODS, using(f"p{n}", resourceClaimName=f"c{n}"))

        async def four_are_placed() -> bool:
            return sum([bool(await node_of(cluster, f"p{n}")) for n in range(5)]) == 4

        await cluster.until(four_are_placed)
        devices = []
        for n in range(5):
            allocation = (await allocated(cluster, f"c{n}")).get("allocation") or {"devices": {"results": []}}
            devices += [(one["pool"], one["device"]) for one in allocation["devices"]["results"]]
        assert sorted(devices) == [("n0", "a"), ("n0", "b"), ("n1", "a"), ("n1", "b")]
        [last] = [n for n in range(5) if not await node_of(cluster, f"p{n}")]
        await cluster.until(lambda: says(cluster, f"p{last}", "3 cannot allocate all claims"))
        await publish(cluster, "n2", "c")
        assert await placed(cluster, f"p{last}") == "n2"

    play(scenario)


def test_a_claim_from_a_template_is_awaited_and_used() -> None:
    async def scenario(cluster: SimCluster) -> None:
        await publish(cluster, "n1", "a", "b")
        await prepare(cluster)
        template = {
            "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate",
            "metadata": {"name": "t", "namespace": "default"}, "spec": {"spec": claim({"exactly": exactly()})["spec"]},
        }
        await cluster.client.create(PODS, using("early", resourceClaimTemplateName="t"))
        await cluster.client.create(RESOURCE_CLAIM_TEMPLATES, template)
        await cluster.client.create(PODS, using("late", resourceClaimTemplateName="t"))
        assert await placed(cluster, "early") == await placed(cluster, "late") == "n1"

    play(scenario)


def test_devices_that_come_free_help_whoever_waits() -> None:
    async def scenario(cluster: SimCluster) -> None:
        await publish(cluster, "n1", "a")
        await prepare(cluster, *(claim({"exactly": exactly()}, name=name) for name in ("first", "second")))
        await cluster.client.create(PODS, using("p", resourceClaimName="first"))
        await placed(cluster, "p")
        await cluster.client.create(PODS, using("q", resourceClaimName="second"))
        await cluster.until(lambda: says(cluster, "q", "cannot allocate all claims"))
        await cluster.client.delete(PODS, "p", "default", grace_period_s=0)
        await cluster.client.delete(RESOURCE_CLAIMS, "first", "default")
        await placed(cluster, "q", within_s=120)

    play(scenario)


def test_an_unused_claim_in_the_wrong_place_gives_its_devices_back() -> None:
    async def scenario(cluster: SimCluster) -> None:
        for node in ("n0", "n1", "n2"):
            await publish(cluster, node, "a")
        await prepare(cluster, claim({"exactly": exactly()}))
        await cluster.client.create(PODS, using("p", resourceClaimName="c"))
        first = await placed(cluster, "p")
        await cluster.client.delete(PODS, "p", "default", grace_period_s=0)
        other = "n0" if first != "n0" else "n1"
        moved = using("q", resourceClaimName="c")
        moved["spec"]["nodeSelector"] = {"kubernetes.io/hostname": other}
        await cluster.client.create(PODS, moved)
        assert await placed(cluster, "q", within_s=120) == other

    play(scenario)


def test_what_is_missing_is_told() -> None:
    async def scenario(cluster: SimCluster) -> None:
        await prepare(cluster, claim({"exactly": {**exactly(), "deviceClassName": "tpu"}}))
        await cluster.client.create(PODS, using("p", resourceClaimName="c"))
        await cluster.until(lambda: says(cluster, "p", "request r0: device class tpu does not exist"))

    play(scenario)


async def publish_slow(cluster: SimCluster, node: str, name: str) -> None:
    """A device that gets ready only once it is allocated."""
    slow = {**device(name), "bindingConditions": ["Attached"], "bindingFailureConditions": ["Broken"]}
    published = slice_of(slow, node=node, pool=node) | {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice"}
    await cluster.client.create(RESOURCE_SLICES, published)


async def tell(cluster: SimCluster, node: str, name: str, condition_type: str) -> None:
    """The driver says something of the allocated device."""
    found = await cluster.client.get(RESOURCE_CLAIMS, "c", "default")
    said = {
        "type": condition_type, "status": "True", "reason": "Told", "message": "by the driver",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    found["status"]["devices"] = [{"driver": DRIVER, "pool": node, "device": name, "conditions": [said]}]
    await cluster.client.update(RESOURCE_CLAIMS, found, subresource="status")


async def is_allocated_on(cluster: SimCluster, pool: str) -> bool:
    found = await allocated(cluster, "c")
    results = ((found.get("allocation") or {}).get("devices") or {}).get("results") or []
    return [one["pool"] for one in results] == [pool]


def test_a_pod_is_bound_when_its_device_is_ready() -> None:
    async def scenario(cluster: SimCluster) -> None:
        await publish_slow(cluster, "n1", "a")
        await prepare(cluster, claim({"exactly": exactly()}))
        await cluster.client.create(PODS, using("p", resourceClaimName="c"))
        await cluster.until(lambda: is_allocated_on(cluster, "n1"))
        await asyncio.sleep(30)
        assert await node_of(cluster, "p") == ""
        await tell(cluster, "n1", "a", "Attached")
        assert await placed(cluster, "p") == "n1"

    play(scenario)


def test_a_device_that_fails_is_given_back_and_another_tried() -> None:
    async def scenario(cluster: SimCluster) -> None:
        await publish_slow(cluster, "n1", "a")
        await prepare(cluster, claim({"exactly": exactly()}))
        await cluster.client.create(PODS, using("p", resourceClaimName="c"))
        await cluster.until(lambda: is_allocated_on(cluster, "n1"))
        await publish(cluster, "n2", "b")
        await tell(cluster, "n1", "a", "Broken")
        await cluster.client.delete(RESOURCE_SLICES, "n1-1")
        assert await placed(cluster, "p", within_s=120) == "n2"
        assert await is_allocated_on(cluster, "n2")

    play(scenario)


def test_pods_share_a_device_as_far_as_its_capacity_goes() -> None:
    async def scenario(cluster: SimCluster) -> None:
        published = slice_of(shared("a"), node="n1", pool="n1")
        published |= {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice"}
        await cluster.client.create(RESOURCE_SLICES, published)
        await prepare(cluster, *(claim(asking("4Gi"), name=f"c{n}") for n in range(3)))
        for n in range(3):
            await cluster.client.create(PODS, using(f"p{n}", resourceClaimName=f"c{n}"))

        async def two_are_placed() -> bool:
            return sum([bool(await node_of(cluster, f"p{n}")) for n in range(3)]) == 2

        await cluster.until(two_are_placed)
        [last] = [n for n in range(3) if not await node_of(cluster, f"p{n}")]
        await cluster.until(lambda: says(cluster, f"p{last}", "cannot allocate all claims"))
        results = [
            one for n in range(3) if n != last
            for one in (await allocated(cluster, f"c{n}"))["allocation"]["devices"]["results"]
        ]
        assert [one["consumedCapacity"] for one in results] == [{"memory": "4Gi"}] * 2
        assert len({one["shareID"] for one in results}) == 2

    play(scenario)


def test_no_more_pods_use_a_claim_whose_device_was_tainted(world: World) -> None:
    world.node("n1")
    taint = {"key": "broken", "effect": "NoExecute"}
    published = slice_of(device("a", taints=[taint]), pool="n1") | {"kind": "ResourceSlice"}
    result = {"request": "r0", "driver": DRIVER, "pool": "n1", "device": "a"}

    def decided(**status: Any) -> str:
        allocation = {"devices": {"results": [{**result, **status.pop("result", {})}]}}
        held = {
            "kind": "ResourceClaim", **claim({"exactly": exactly()}), "status": {"allocation": allocation, **status},
        }
        known(world, held, published)
        decision = world.decide(name="p", resourceClaims=[{"name": "gpu", "resourceClaimName": "c"}])
        return decision.node_name or decision.diagnosis.message

    assert "device gpu.example.com/n1/a has an untolerated taint" in decided()
    assert decided(result={"tolerations": [{"key": "broken", "operator": "Exists"}]}) == "n1"
    user = {"resource": "pods", "name": "p", "uid": "uid-p"}
    assert decided(reservedFor=[user]) == "n1", "a pod that has it already is the eviction's concern"


def test_a_node_that_offers_the_first_alternative_is_preferred(world: World) -> None:
    slices = []
    for name, model in (("a", "old"), ("b", "new"), ("c", "older")):
        world.node(name)
        published = slice_of(device("d", model=model), node=name, pool=name)
        slices.append(published | {"kind": "ResourceSlice", "metadata": {"name": name}})
    alternatives = [
        {"name": model, **exactly(1, f'device.attributes["{DRIVER}"].model == "{model}"')}
        for model in ("new", "old", "older")
    ]
    wanted = {"kind": "ResourceClaim", **claim({"firstAvailable": alternatives})}
    known(world, wanted, *slices, {"kind": "DeviceClass", **CLASSES["gpu"]})
    for _ in range(10):
        assert world.where(resourceClaims=[{"name": "gpu", "resourceClaimName": "c"}]) == "b"
    world.snapshot.remove_node("b")
    for _ in range(10):
        assert world.where(resourceClaims=[{"name": "gpu", "resourceClaimName": "c"}]) == "a"
