"""Who has to leave a tainted device, when, and what rules say of it: upstream's cases, each on a simulated cluster.

Nobody but the loop and the test touches anything there, so a pod that is driven out stays, on its way out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import permutations
from typing import Any

import pytest
from tests.controllers.lab import NAMESPACE, Lab, on_a_cluster

from sampan import effects
from sampan.api.resources import (
    CORE_EVENTS,
    DEVICE_TAINT_RULES,
    NAMESPACES,
    PODS,
    RESOURCE_CLAIMS,
    RESOURCE_SLICES,
    SERVICE_ACCOUNTS,
)
from sampan.apimachinery.errors import NotFound
from sampan.apimachinery.object import Object, is_being_deleted
from sampan.controllers import times

DRIVER, KEY, VALUE = "d.example.com", "example.com/broken", "fan"
TAINT = {"key": KEY, "value": VALUE, "effect": "NoExecute"}
FOR_TEN_MINUTES = ({"key": KEY, "operator": "Equal", "value": VALUE, "effect": "NoExecute", "tolerationSeconds": 600},)
GONE, CALLED_OFF = "Marking for deletion", "Cancelling deletion"


class Bench:
    """A pod that may use the device `a` of the pool `pool`, and all that decides on it."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.client = lab, lab.client

    async def furnish(self, namespace: str) -> None:
        """Until pods may be made there."""

        async def check() -> bool:
            return bool((await self.client.list(SERVICE_ACCOUNTS, namespace))["items"])

        await self.lab.until(check, what=f"an account in {namespace}")

    async def slice(self, *taints: Object, name: str = "s", generation: int = 1, more: Sequence[Object] = ()) -> None:
        devices = [{"name": "a", "taints": list(taints)}, {"name": "b"}, *more]
        pool = {"name": "pool", "generation": generation, "resourceSliceCount": 1}
        spec = {"driver": DRIVER, "pool": pool, "allNodes": True, "devices": devices}
        await self._put(RESOURCE_SLICES, name, spec)

    async def rule(self, name: str = "rule", effect: str = "NoExecute", device: str = "", **taint: Any) -> None:
        selector = {"driver": DRIVER, **({"device": device} if device else {})}
        await self._put(DEVICE_TAINT_RULES, name, {
            "deviceSelector": selector, "taint": {**TAINT, "effect": effect, **taint},
        })

    async def _put(self, resource: Any, name: str, spec: Object) -> None:
        try:
            found = await self.client.get(resource, name)
        except NotFound:
            kind = {"apiVersion": resource.api_version, "kind": resource.kind}
            await self.client.create(resource, {**kind, "metadata": {"name": name}, "spec": spec})
        else:
            await self.client.update(resource, {**found, "spec": spec})

    async def pod(self, name: str = "p", *claims: str, namespace: str = NAMESPACE, **spec: Any) -> Object:
        named = [{"name": one, "resourceClaimName": one} for one in claims or ("c",)]
        wanted = {"containers": [{"name": "x", "image": "x"}], "nodeName": "n", "resourceClaims": named, **spec}
        return await self.client.create(PODS, {"metadata": {"name": name, "namespace": namespace}, "spec": wanted})

    async def claim(
        self, name: str = "c", *, user: str = "p", device: str = "a", tolerations: Sequence[Object] = (),
        uid: str = "", owner: str | None = None, namespace: str = NAMESPACE,
    ) -> Object:
        """A claim that is allocated and reserved. `uid`: of another user; `owner`: who it was made for ("": the user).
        """
        uid = uid or (await self.client.get(PODS, user, namespace))["metadata"]["uid"]
        metadata: Object = {"name": name, "namespace": namespace}
        if owner is not None:
            reference = {"apiVersion": "v1", "kind": "Pod", "name": user, "uid": owner or uid, "controller": True}
            metadata["ownerReferences"] = [reference]
        requests = [{"name": "r", "exactly": {"deviceClassName": "x"}}]
        made = await self.client.create(RESOURCE_CLAIMS, {"metadata": metadata, "spec": {"devices": {
            "requests": requests}}})
        result = {"request": "r", "driver": DRIVER, "pool": "pool", "device": device, "tolerations": list(tolerations)}
        status = {
            "allocation": {"devices": {"results": [result]}},
            "reservedFor": [{"resource": "pods", "name": user, "uid": uid}],
        }
        return await self.client.update(RESOURCE_CLAIMS, {**made, "status": status}, subresource="status")

    async def says(self, **status: Any) -> None:
        await self.lab.patch(PODS, "p", "status", status=status)

    async def told(self, name: str = "p") -> list[str]:
        """What the loop said of the pod, each as often as it was said."""
        found = [
            one for one in await self.lab.list(CORE_EVENTS)
            if one["involvedObject"]["name"] == name and one["reason"] == "DeviceTaintManagerEviction"
        ]
        return sorted(one["message"] for one in found for _ in range(one.get("count") or 1))

    async def by_template(self) -> None:
        await self.pod(resourceClaims=[{"name": "r", "resourceClaimTemplateName": "t"}])

    async def without_claims(self) -> None:
        await self.pod(resourceClaims=[])

    async def claim_in_status(self) -> None:
        await self.says(resourceClaimStatuses=[{"name": "r", "resourceClaimName": "c"}])

    async def no_claim_in_status(self) -> None:
        await self.says(resourceClaimStatuses=[{"name": "r"}])

    async def extended_resources(self) -> None:
        mapping = {"containerName": "x", "resourceName": "example.com/gpu", "requestName": "r"}
        await self.says(extendedResourceClaimStatus={"resourceClaimName": "c", "requestMappings": [mapping]})

    async def own_claim(self) -> None:
        await self.claim(owner="")

    async def anothers_claim(self) -> None:
        await self.claim(owner="another")

    async def taint(self) -> None:
        await self.slice(TAINT)

    async def is_gone(self, name: str = "p", namespace: str = NAMESPACE) -> bool:
        return is_being_deleted(await self.client.get(PODS, name, namespace))

    async def status(self, rule: str = "rule") -> tuple[str, str, str, float]:
        """Status, reason and message of the rule's condition, and how many seconds ago it was written."""
        [one] = (await self.client.get(DEVICE_TAINT_RULES, rule))["status"]["conditions"]
        since = times.parse_or_none(one["lastTransitionTime"])
        assert one["type"] == "EvictionInProgress" and since is not None
        return one["status"], one["reason"], one["message"], (effects.now() - since).total_seconds() // 1


Step = Callable[[Bench], Awaitable[Any]]


def play(scenario: Callable[[Bench], Awaitable[None]]) -> None:
    async def furnished(lab: Lab) -> None:
        bench = Bench(lab)
        await bench.furnish(NAMESPACE)
        await scenario(bench)

    on_a_cluster(furnished, nodes=0, controllers="device-taint-eviction-controller,serviceaccount-controller")


async def tainted_before(bench: Bench) -> None:
    await bench.slice(name="new", generation=2)
    await bench.slice(TAINT, name="old")


@pytest.mark.parametrize(("steps", "gone"), [
    pytest.param((Bench.pod, Bench.claim, Bench.taint), True, id="by name"),
    pytest.param((Bench.pod, Bench.claim, Bench.rule), True, id="a rule, of a device that is not published"),
    pytest.param((Bench.by_template, Bench.claim_in_status, Bench.own_claim, Bench.taint), True,
                 id="made from a template"),
    pytest.param((Bench.without_claims, Bench.extended_resources, Bench.own_claim, Bench.taint), True,
                 id="made for extended resources"),
    pytest.param((Bench.by_template, Bench.own_claim, Bench.taint), False, id="the status does not name it yet"),
    pytest.param((Bench.by_template, Bench.no_claim_in_status, Bench.own_claim, Bench.taint), False,
                 id="the status says it is not needed"),
    pytest.param((Bench.by_template, Bench.claim_in_status, Bench.anothers_claim, Bench.taint), False,
                 id="made for another of the name"),
    pytest.param((Bench.without_claims, Bench.extended_resources, Bench.anothers_claim, Bench.taint), False,
                 id="extended, made for another of the name"),
    pytest.param((Bench.without_claims, Bench.claim, Bench.taint), False, id="reserved, but the pod has no claim"),
    pytest.param((Bench.pod, lambda bench: bench.claim(uid="other"), Bench.taint), False,
                 id="reserved for another uid"),
    pytest.param((lambda bench: bench.pod(nodeName=""), Bench.claim, Bench.taint), False, id="not on a node"),
    pytest.param((Bench.pod, lambda bench: bench.claim(device="b"), Bench.taint), False, id="another device"),
    pytest.param((Bench.pod, Bench.claim, Bench.slice), False, id="no taint"),
    pytest.param((Bench.pod, Bench.claim, lambda bench: bench.slice({**TAINT, "effect": "None"})), False, id="None"),
    pytest.param((Bench.pod, Bench.claim, lambda bench: bench.rule(effect="NoSchedule")), False, id="NoSchedule"),
    pytest.param((Bench.pod, Bench.claim, tainted_before), False, id="an older generation"),
])
def test_who_is_driven_out_whatever_comes_first(steps, gone) -> None:
    async def scenario(bench: Bench, order: Sequence[Step]) -> None:
        for step in order:
            await step(bench)
        await asyncio.sleep(5)
        assert await bench.is_gone() == gone
        assert await bench.told() == ([GONE] if gone else [])

    after_the_pod = {
        Bench.claim, Bench.own_claim, Bench.anothers_claim, Bench.claim_in_status, Bench.no_claim_in_status,
        Bench.extended_resources, steps[1],
    }
    for order in permutations(steps):
        if all(order.index(steps[0]) < order.index(one) for one in after_the_pod.intersection(steps)):
            play(lambda bench, order=order: scenario(bench, order))


@pytest.mark.parametrize("change", [
    pytest.param(Bench.slice, id="the taint goes"),
    pytest.param(lambda bench: bench.slice({**TAINT, "effect": "NoSchedule"}), id="the taint forbids less"),
    pytest.param(lambda bench: bench.client.delete(RESOURCE_SLICES, "s"), id="the slice goes"),
    pytest.param(lambda bench: bench.slice(name="new", generation=2), id="a newer slice has no taint"),
    pytest.param(lambda bench: bench.client.delete(RESOURCE_CLAIMS, "c", NAMESPACE), id="the claim goes"),
    pytest.param(lambda bench: bench.lab.patch(
        RESOURCE_CLAIMS, "c", "status", status={"allocation": None, "reservedFor": None}),
        id="the claim is given back"),
])
def test_a_pod_that_was_to_go_stays_when_the_reason_goes(change) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.slice(TAINT)
        await bench.pod()
        await bench.claim(tolerations=FOR_TEN_MINUTES)
        await asyncio.sleep(20)
        assert await bench.told() == []
        await change(bench)
        await asyncio.sleep(1000)
        assert not await bench.is_gone()
        assert await bench.told() == [CALLED_OFF]

    play(scenario)


def test_a_pod_that_is_deleted_before_its_time_is_not_told() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.slice(TAINT)
        await bench.pod()
        await bench.claim(tolerations=FOR_TEN_MINUTES)
        await asyncio.sleep(20)
        await bench.client.delete(PODS, "p", NAMESPACE)
        await asyncio.sleep(1000)
        found = await bench.lab.get(PODS, "p")
        assert "DisruptionTarget" not in [one["type"] for one in found["status"].get("conditions") or ()]
        assert await bench.told() == []

    play(scenario)


async def taint_anew(bench: Bench) -> None:
    await bench.client.delete(RESOURCE_SLICES, "s")
    await asyncio.sleep(1)
    await bench.slice(TAINT)


async def look_busy(bench: Bench) -> None:
    await bench.slice(TAINT, more=[{"name": "c", "taints": [TAINT]}])
    await bench.lab.patch(PODS, "p", metadata={"labels": {"a": "b"}})
    await bench.lab.patch(RESOURCE_CLAIMS, "c", metadata={"labels": {"a": "b"}})


@pytest.mark.parametrize(("change", "after_s", "told"), [
    pytest.param(lambda bench: bench.slice({**TAINT, "value": "fire"}), 0, [GONE], id="a taint that is not tolerated"),
    pytest.param(look_busy, 600, [GONE], id="changes that do not matter"),
    pytest.param(taint_anew, 600, [CALLED_OFF, GONE], id="the taint comes again"),
    pytest.param(lambda bench: bench.rule(key="example.com/other"), 0, [GONE], id="a rule on top"),
])
def test_a_pod_that_was_to_go_goes_earlier_or_at_its_time(change, after_s, told) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.slice(TAINT)
        await bench.pod()
        await bench.claim(tolerations=FOR_TEN_MINUTES)
        await asyncio.sleep(20)
        await change(bench)
        await asyncio.sleep(5)
        assert await bench.is_gone() == (after_s == 0)
        await asyncio.sleep(after_s)
        assert await bench.is_gone()
        assert await bench.told() == told

    play(scenario)


async def bind(bench: Bench) -> None:
    target = {"apiVersion": "v1", "kind": "Node", "name": "n"}
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p", "namespace": NAMESPACE},
               "target": target}
    await bench.client.create(PODS, binding, NAMESPACE, name="p", subresource="binding")


async def replace_claim(bench: Bench) -> None:
    await bench.client.delete(RESOURCE_CLAIMS, "c", NAMESPACE)
    await bench.claim(owner="")


async def replace_pod(bench: Bench) -> None:
    await bench.client.delete(RESOURCE_CLAIMS, "c", NAMESPACE)
    await bench.client.delete(PODS, "p", NAMESPACE, grace_period_s=0)
    await bench.pod()
    await bench.claim()


@pytest.mark.parametrize(("before", "change"), [
    pytest.param((lambda bench: bench.pod(nodeName=""), Bench.claim), bind, id="bound"),
    pytest.param((Bench.by_template, Bench.claim_in_status, Bench.anothers_claim), replace_claim,
                 id="the claim is the pod's own now"),
    pytest.param((Bench.without_claims, Bench.own_claim), Bench.extended_resources,
                 id="its extended resources are a claim"),
    pytest.param((Bench.pod, lambda bench: bench.claim(uid="other")), replace_pod, id="the pod is the right one now"),
    pytest.param((Bench.pod, Bench.claim, lambda bench: bench.slice(name="new", generation=9)),
                 lambda bench: bench.client.delete(RESOURCE_SLICES, "new"), id="what was newer goes"),
])
def test_a_pod_that_was_safe_goes_when_it_uses_the_device(before, change) -> None:
    async def scenario(bench: Bench) -> None:
        for step in before:
            await step(bench)
        await bench.slice(TAINT)
        await asyncio.sleep(5)
        assert not await bench.is_gone()
        await change(bench)
        await asyncio.sleep(5)
        assert await bench.is_gone()
        assert await bench.told() == [GONE]

    play(scenario)


def test_a_rule_is_tried_out_then_evicts_and_says_so_every_ten_seconds_at_most() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.pod()
        # A toleration without a key answers every taint of its value.
        await bench.claim(tolerations=[{"effect": "NoExecute", "value": VALUE, "tolerationSeconds": 30}])
        await bench.rule(effect="None")
        await asyncio.sleep(20)
        assert await bench.status() == (
            "False", "NoEffect", "0 published devices selected. 1 allocated device selected. 1 pod would be evicted in "
            "1 namespace if the effect was NoExecute. This information will not be updated again. Recreate the "
            "DeviceTaintRule to trigger an update.", 20.0)
        # The effect begins now: half a minute is left, though the rule is twenty seconds old.
        change = {"spec": {"taint": {"effect": "NoExecute"}}}
        await bench.client.patch(DEVICE_TAINT_RULES, "rule", change, type="merge")
        await asyncio.sleep(1)
        waiting = ("True", "PodsPendingEviction", "1 pod needs to be evicted in 1 namespace.")
        assert (await bench.status())[:3] == waiting and not await bench.is_gone()
        await asyncio.sleep(28)
        assert (await bench.status())[:3] == waiting and not await bench.is_gone()
        await asyncio.sleep(2)
        assert await bench.is_gone()
        await asyncio.sleep(10)
        assert (await bench.status())[:3] == ("False", "Completed", "1 pod evicted since starting the controller.")

    play(scenario)


@pytest.mark.parametrize(("spaces", "where"), [
    (("one", "one"), "1 namespace"), (("one", "two"), "2 different namespaces"),
])
@pytest.mark.parametrize(("effect", "during", "after"), [
    ("NoExecute", "2 pods need to be evicted in {}.", "2 pods evicted since starting the controller."),
    ("None", "1 published device selected. 2 allocated devices selected. 2 pods would be evicted in {} if the effect "
     "was NoExecute. This information will not be updated again. Recreate the DeviceTaintRule to trigger an update.",
     ""),
])
def test_a_rule_counts_pods_and_their_namespaces(spaces, where, effect, during, after) -> None:
    async def scenario(bench: Bench) -> None:
        for name in set(spaces):
            await bench.client.create(NAMESPACES, {"metadata": {"name": name}})
            await bench.furnish(name)
        for number, space in enumerate(spaces):
            await bench.pod(f"p{number}", f"c{number}", namespace=space)
            await bench.claim(f"c{number}", user=f"p{number}", namespace=space)
        await bench.slice()
        await bench.rule(effect=effect, device="a")
        await asyncio.sleep(1)
        assert (await bench.status())[2] == during.format(where)
        await asyncio.sleep(12)
        assert (await bench.status())[2] == (after or during.format(where))
        assert [await bench.is_gone(f"p{n}", space) for n, space in enumerate(spaces)] == [bool(after)] * 2

    play(scenario)


def test_an_eviction_counts_for_every_rule_that_would_have_led_to_it() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.pod("p", "c", "d")
        await bench.claim("c")
        await bench.claim("d", device="b")
        later = times.text(effects.now().replace(microsecond=0).replace(year=effects.now().year + 1))
        await bench.rule("later", device="b", timeAdded=later)
        await bench.rule("now", device="a")
        await asyncio.sleep(25)
        assert await bench.told() == [GONE]
        for rule in ("now", "later"):
            assert (await bench.status(rule))[:3] == (
                "False", "Completed", "1 pod evicted since starting the controller.")

    play(scenario)


def test_of_many_taints_each_toleration_counts_for_its_own_and_the_first_to_end_decides() -> None:
    async def scenario(bench: Bench) -> None:
        second = {"key": "example.com/second", "effect": "NoExecute"}
        exists = {"operator": "Exists", "effect": "NoExecute"}
        await bench.slice(TAINT, second)
        await bench.rule("one")
        await bench.rule("two", device="a")
        await bench.pod()
        await bench.claim(tolerations=[
            {**exists, "key": KEY, "tolerationSeconds": 60},
            {**exists, "key": second["key"], "tolerationSeconds": 30},
        ])
        await asyncio.sleep(25)
        assert not await bench.is_gone()
        assert {(await bench.status(rule))[1] for rule in ("one", "two")} == {"PodsPendingEviction"}
        await asyncio.sleep(6)
        assert await bench.is_gone() and await bench.told() == [GONE]
        await asyncio.sleep(11)
        assert {(await bench.status(rule))[1] for rule in ("one", "two")} == {"Completed"}

    play(scenario)


def test_a_rule_that_is_gone_has_nothing_to_say_and_its_pod_may_stay() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.pod()
        await bench.claim(tolerations=FOR_TEN_MINUTES)
        await bench.rule()
        await asyncio.sleep(20)
        await bench.client.delete(DEVICE_TAINT_RULES, "rule")
        await asyncio.sleep(1000)
        assert not await bench.is_gone() and await bench.told() == [CALLED_OFF]

    play(scenario)
