"""Upstream's integration tests of the garbage collector (test/integration/garbagecollector), on a simulated cluster."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.controllers.lab import NAMESPACE, Lab, on_a_cluster

from sampan.api.resources import CONFIG_MAPS, CUSTOM_RESOURCE_DEFINITIONS, SECRETS
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


async def define(lab: Lab) -> None:
    names_of = {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    await lab.client.create(CUSTOM_RESOURCE_DEFINITIONS, {
        "metadata": {"name": "widgets.gc.example.com"},
        "spec": {"group": "gc.example.com", "scope": "Namespaced", "names": names_of, "versions": [version]},
    })

    async def served() -> bool:
        try:
            await lab.client.list(WIDGETS, NAMESPACE)
        except errors.NotFound:
            return False
        return True

    await lab.until(served)


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
