"""Upstream's integration tests of the garbage collector (test/integration/garbagecollector), on a simulated cluster."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.controllers.lab import NAMESPACE, Lab, on_a_cluster, template

from sampan.api.resources import (
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    NAMESPACES,
    PODS,
    REPLICATION_CONTROLLERS,
    SECRETS,
)
from sampan.apimachinery import errors
from sampan.apimachinery.object import Object, meta, name_of, uid_of
from sampan.apimachinery.resource import Resource

WIDGETS = Resource("gc.example.com", "v1", "widgets", "Widget")
HELD = "example.com/held"


def reference(owner: Object, kind: str = "ConfigMap", *, version: str = "v1", blocks: bool | None = None) -> Object:
    found = {"apiVersion": version, "kind": kind, "name": name_of(owner), "uid": uid_of(owner)}
    return found if blocks is None else {**found, "blockOwnerDeletion": blocks}


async def owned(lab: Lab, name: str, *references: Object, **metadata: Any) -> Object:
    return await lab.create(CONFIG_MAPS, name, metadata={"ownerReferences": list(references), **metadata})


async def names(lab: Lab, resource: Resource = CONFIG_MAPS) -> set[str]:
    return {name_of(one) for one in await lab.list(resource)} - {"kube-root-ca.crt"}


async def left(lab: Lab, *wanted: str, resource: Resource = CONFIG_MAPS) -> None:
    async def check() -> bool:
        return await names(lab, resource) == set(wanted)

    await lab.until(check, what=f"only {wanted} left")


def test_children_go_with_their_owner_and_those_of_nobody_stay() -> None:
    async def scenario(lab: Lab) -> None:
        gone, stays = [await lab.create(CONFIG_MAPS, name) for name in ("gone", "stays")]
        await owned(lab, "garbage", reference(gone))
        await owned(lab, "shared", reference(gone), reference(stays))
        await owned(lab, "kept", reference(stays))
        await lab.create(CONFIG_MAPS, "independent")
        await asyncio.sleep(5)
        await lab.client.delete(CONFIG_MAPS, "gone", NAMESPACE, propagation="Background")
        await left(lab, "stays", "shared", "kept", "independent")

        async def only_one_owner() -> bool:
            return [one["uid"] for one in meta(await lab.get(CONFIG_MAPS, "shared"))["ownerReferences"]] == [
                uid_of(stays)
            ]

        await lab.until(only_one_owner)

    on_a_cluster(scenario)


def test_a_child_that_is_made_after_its_owner_is_gone_goes() -> None:
    async def scenario(lab: Lab) -> None:
        await owned(lab, "late", {"apiVersion": "v1", "kind": "ConfigMap", "name": "never", "uid": "never-was"})
        await left(lab)

    on_a_cluster(scenario)


def test_orphaned_children_stay_without_an_owner() -> None:
    async def scenario(lab: Lab) -> None:
        owner = await lab.create(CONFIG_MAPS, "owner")
        for number in range(3):
            await owned(lab, f"child-{number}", reference(owner))
        await asyncio.sleep(5)  # what is not seen yet cannot be let go
        await lab.client.delete(CONFIG_MAPS, "owner", NAMESPACE, propagation="Orphan")
        await left(lab, *(f"child-{number}" for number in range(3)))
        assert all("ownerReferences" not in meta(one) for one in await lab.list(CONFIG_MAPS))

    on_a_cluster(scenario)


@pytest.mark.parametrize("blocks", [True, False, None])
def test_only_children_that_block_keep_an_owner_that_is_deleted_in_the_foreground(blocks: bool | None) -> None:
    async def scenario(lab: Lab) -> None:
        owner = await lab.create(CONFIG_MAPS, "owner")
        await owned(lab, "child", reference(owner, blocks=blocks), finalizers=[HELD])
        await asyncio.sleep(5)
        await lab.client.delete(CONFIG_MAPS, "owner", NAMESPACE, propagation="Foreground")

        async def child_goes() -> bool:
            return "deletionTimestamp" in meta(await lab.get(CONFIG_MAPS, "child"))

        await lab.until(child_goes)
        await asyncio.sleep(60)
        assert await names(lab) == ({"owner", "child"} if blocks else {"child"})
        await lab.patch(CONFIG_MAPS, "child", metadata={"finalizers": None})
        await left(lab)

    on_a_cluster(scenario)


def test_deleting_twice_what_somebody_holds_ends_when_it_is_let_go() -> None:
    async def scenario(lab: Lab) -> None:
        owner = await lab.create(CONFIG_MAPS, "owner", metadata={"finalizers": [HELD]})
        await owned(lab, "child", reference(owner, blocks=True))
        await asyncio.sleep(5)
        await lab.client.delete(CONFIG_MAPS, "owner", NAMESPACE, propagation="Foreground")

        async def waits_for_its_holder() -> bool:
            found = await lab.get(CONFIG_MAPS, "owner")
            return meta(found)["finalizers"] == [HELD] and await names(lab) == {"owner"}

        await lab.until(waits_for_its_holder)
        await lab.client.delete(CONFIG_MAPS, "owner", NAMESPACE, propagation="Foreground")
        await lab.patch(CONFIG_MAPS, "owner", metadata={"finalizers": None})
        await left(lab)

    on_a_cluster(scenario)


async def define(lab: Lab, *versions: str, **spec: Any) -> None:
    """The first version, v1 if none is given, is the one that is stored."""
    names_of = {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    served = [
        {"name": version, "served": True, "storage": number == 0, "schema": schema}
        for number, version in enumerate(versions or ("v1",))
    ]
    await lab.client.create(CUSTOM_RESOURCE_DEFINITIONS, {
        "metadata": {"name": "widgets.gc.example.com"},
        "spec": {"group": "gc.example.com", "scope": "Namespaced", "names": names_of, "versions": served, **spec},
    })

    async def is_served() -> bool:
        try:
            await lab.client.list(WIDGETS, NAMESPACE)
        except errors.NotFound:
            return False
        return True

    await lab.until(is_served)


@pytest.mark.parametrize("propagation", ["Background", "Foreground"])
def test_custom_resources_own_and_are_owned(propagation: str) -> None:
    async def scenario(lab: Lab) -> None:
        await define(lab)
        await asyncio.sleep(35)  # the collector looks for new resources every half minute
        owner = await lab.create(WIDGETS, "owner")
        inner = reference(owner, "Widget", version="gc.example.com/v1", blocks=True)
        middle = await lab.create(WIDGETS, "middle", metadata={"ownerReferences": [inner]})
        await owned(lab, "leaf", reference(middle, "Widget", version="gc.example.com/v1", blocks=True))
        config = await lab.create(SECRETS, "root")
        await lab.create(WIDGETS, "of-secret", metadata={"ownerReferences": [reference(config, "Secret")]})
        await asyncio.sleep(5)
        await lab.client.delete(WIDGETS, "owner", NAMESPACE, propagation=propagation)
        await left(lab)
        await left(lab, "of-secret", resource=WIDGETS)
        await lab.client.delete(SECRETS, "root", NAMESPACE, propagation=propagation)
        await left(lab, resource=WIDGETS)

    on_a_cluster(scenario)


def test_what_custom_resources_own_goes_when_their_definition_does() -> None:
    async def scenario(lab: Lab) -> None:
        await define(lab)
        await asyncio.sleep(35)
        owner = await lab.create(WIDGETS, "owner")
        await owned(lab, "child", reference(owner, "Widget", version="gc.example.com/v1"))
        await asyncio.sleep(5)
        await lab.client.delete(CUSTOM_RESOURCE_DEFINITIONS, "widgets.gc.example.com")
        await left(lab)

    on_a_cluster(scenario)


PODS_OF_RC = {"selector": {"app": "web"}, "template": template(), "replicas": 2}


@pytest.mark.parametrize(("finalizers", "options", "stay"), [
    ([], {}, True),  # a ReplicationController leaves its pods, unless somebody wants it otherwise
    (["orphan"], {}, True),
    (["orphan"], {"orphanDependents": False}, False),  # who deletes decides, not who created
    ([], {"orphanDependents": True}, True),
    (["foregroundDeletion"], {}, False),
    (["foregroundDeletion"], {"propagationPolicy": "Orphan"}, True),
    (["orphan"], {"propagationPolicy": "Foreground"}, False),
])
def test_who_deletes_says_what_becomes_of_the_children_then_the_finalizers_then_the_kind(
    finalizers: list[str], options: Object, stay: bool
) -> None:
    async def scenario(lab: Lab) -> None:
        await lab.create(REPLICATION_CONTROLLERS, "web", spec=PODS_OF_RC, metadata={"finalizers": finalizers})
        await lab.running(2)
        await asyncio.sleep(5)
        before = await names(lab, PODS)
        await lab.client.raw("DELETE", REPLICATION_CONTROLLERS.path(NAMESPACE, "web"), body=options)
        await left(lab, resource=REPLICATION_CONTROLLERS)
        await left(lab, *(before if stay else ()), resource=PODS)
        assert all("ownerReferences" not in meta(one) for one in await lab.list(PODS))

    on_a_cluster(scenario)


def test_an_owner_that_stays_keeps_a_child_from_holding_up_one_that_waits() -> None:
    async def scenario(lab: Lab) -> None:
        waits, stays = [await lab.create(CONFIG_MAPS, name) for name in ("waits", "stays")]
        await owned(lab, "child", reference(waits, blocks=True), reference(stays))
        await asyncio.sleep(5)
        await lab.client.delete(CONFIG_MAPS, "waits", NAMESPACE, propagation="Foreground")
        await left(lab, "stays", "child")
        assert meta(await lab.get(CONFIG_MAPS, "child"))["ownerReferences"] == [reference(stays)]

    on_a_cluster(scenario)


@pytest.mark.parametrize("restarted", [False, True])
def test_references_into_another_namespace_do_not_harm_the_children_of_the_owner(restarted: bool) -> None:
    """Owners that are there, named by many from elsewhere; also where the collector sees all of it at once."""

    async def scenario(lab: Lab) -> None:
        controllers = lab.cluster.components["controllers"]
        await lab.client.create(NAMESPACES, {"metadata": {"name": "other"}})
        owner = await lab.create(SECRETS, "owner")
        if restarted:
            controllers.kill(gently=True)
        wrong = {"ownerReferences": [reference(owner, "Secret")], "namespace": "other"}
        for number in range(20):
            await lab.create(CONFIG_MAPS, f"wrong-{number}", metadata=dict(wrong))
            if number % 4 == 0:
                await owned(lab, f"right-{number}", reference(owner, "Secret"))
        if restarted:
            controllers.revive()

        async def the_wrong_ones_are_gone() -> bool:
            found = (await lab.client.list(CONFIG_MAPS, "other"))["items"]
            return not any(name_of(one).startswith("wrong-") for one in found)

        await lab.until(the_wrong_ones_are_gone)
        await asyncio.sleep(60)
        await left(lab, *(f"right-{number}" for number in range(0, 20, 4)))
        await lab.client.delete(SECRETS, "owner", NAMESPACE, propagation="Background")
        await left(lab)

    on_a_cluster(scenario)


def test_what_cannot_be_listed_does_not_keep_the_rest_from_being_collected() -> None:
    """Objects of a custom kind that its webhook cannot convert; also for a collector that starts anew."""

    async def scenario(lab: Lab) -> None:
        client = {"url": "https://127.0.0.1:1/convert", "caBundle": ""}
        webhook = {"clientConfig": client, "conversionReviewVersions": ["v1"]}
        await define(lab, "v1beta1", "v1", conversion={"strategy": "Webhook", "webhook": webhook})
        stored = Resource("gc.example.com", "v1beta1", "widgets", "Widget")
        await lab.create(stored, "unconvertible")
        with pytest.raises(errors.APIError, match="conversion webhook for"):
            await lab.client.list(WIDGETS, NAMESPACE)
        for name in ("before", "after"):
            owner = await lab.create(CONFIG_MAPS, name)
            await owned(lab, f"of-{name}", reference(owner))
        await asyncio.sleep(40)
        await lab.client.delete(CONFIG_MAPS, "before", NAMESPACE, propagation="Background")
        await left(lab, "after", "of-after")
        lab.cluster.components["controllers"].kill(gently=True)
        await asyncio.sleep(5)
        lab.cluster.components["controllers"].revive()
        await lab.client.delete(CONFIG_MAPS, "after", NAMESPACE, propagation="Background")
        await left(lab)

    on_a_cluster(scenario)
