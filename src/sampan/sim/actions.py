"""What users do to a running cluster: each maker returns an `Action` for a scenario's table."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from sampan.api.resources import NODES, PODS
from sampan.apimachinery import errors
from sampan.apimachinery.object import Object, is_being_deleted, labels_of, meta, name_of, namespace_of, uid_of
from sampan.apimachinery.resource import Resource
from sampan.sim.scenario import Action, Stage
from sampan.sim.world import PODS as POD_KEYS


def patch(resource: Resource, name: str, change: Callable[[Stage], Object], namespace: str = "default") -> Action:
    """Change an object by what `change` draws."""
    where = namespace if resource.namespaced else None

    async def act(stage: Stage) -> None:
        document = change(stage)
        await stage.persist(lambda: stage.client.patch(resource, name, document, where, type="strategic"))

    return act


def scale(resource: Resource, name: str, low: int, high: int) -> Action:
    return patch(resource, name, lambda stage: {"spec": {"replicas": stage.rng.randint(low, high)}})


def set_image(resource: Resource, name: str, images: Sequence[str] = ("app:1", "app:2", "app:3")) -> Action:
    def change(stage: Stage) -> Object:
        containers = [{"name": "main", "image": stage.rng.choice(images)}]
        return {"spec": {"template": {"spec": {"containers": containers}}}}

    return patch(resource, name, change)


def set_spec(resource: Resource, name: str, *choices: Object) -> Action:
    """One of several changes of the spec."""
    return patch(resource, name, lambda stage: {"spec": stage.rng.choice(choices)})


def pods_of(stage: Stage, app: str) -> list[Object]:
    """The pods of an app that are not on their way out, by name."""
    pods = stage.world.objects[POD_KEYS].values()
    return sorted((p for p in pods if labels_of(p).get("app") == app and not is_being_deleted(p)), key=name_of)


def delete_pod(app: str, *, by_force: bool = False) -> Action:
    async def act(stage: Stage) -> None:
        pods = pods_of(stage, app)
        if pods:
            pod = stage.rng.choice(pods)
            grace = 0 if by_force else None
            await stage.persist(lambda: stage.client.delete(
                PODS, name_of(pod), namespace_of(pod), uid=uid_of(pod), grace_period_s=grace
            ))

    return act


def relabel_pod(app: str) -> Action:
    """Take a pod out of its set, as one does to look at it; it is cleaned away later."""

    async def act(stage: Stage) -> None:
        pods = pods_of(stage, app)
        if not pods:
            return
        pod = stage.rng.choice(pods)
        change: Object = {"metadata": {"uid": uid_of(pod), "labels": {"app": f"{app}-aside"}}}
        await stage.persist(lambda: stage.client.patch(PODS, name_of(pod), change, namespace_of(pod)))
        await asyncio.sleep(stage.rng.uniform(0.0, 5.0))
        await stage.persist(lambda: stage.client.delete(PODS, name_of(pod), namespace_of(pod), uid=uid_of(pod)))

    return act


def evict(stage: Stage, pod: Object) -> Any:
    eviction: Object = {
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": name_of(pod), "namespace": namespace_of(pod)},
        "deleteOptions": {"preconditions": {"uid": uid_of(pod)}},
    }
    return stage.client.create(PODS, eviction, namespace_of(pod), name=name_of(pod), subresource="eviction")


def evict_pod(app: str) -> Action:
    """Once; a budget may refuse it."""

    async def act(stage: Stage) -> None:
        pods = pods_of(stage, app)
        if pods:
            try:
                await evict(stage, stage.rng.choice(pods))
            except errors.APIError:
                return

    return act


def drain_node(*, for_s: float = 20.0) -> Action:
    """Cordon a node, evict what is on it for a while, uncordon it."""

    async def act(stage: Stage) -> None:
        node = stage.rng.choice(sorted(stage.cluster.fleet.nodes))
        await stage.persist(lambda: stage.client.patch(NODES, node, {"spec": {"unschedulable": True}}))
        end = asyncio.get_running_loop().time() + for_s
        while asyncio.get_running_loop().time() < end:
            pods = [one for one in stage.world.pods_on[node].values() if not is_being_deleted(one)]
            for pod in sorted(pods, key=name_of):
                if any(owner.get("kind") == "DaemonSet" for owner in meta(pod).get("ownerReferences") or []):
                    continue
                try:
                    await evict(stage, pod)
                except errors.APIError:
                    await asyncio.sleep(1.0)
            await asyncio.sleep(2.0)
        await stage.persist(lambda: stage.client.patch(NODES, node, {"spec": {"unschedulable": None}}))

    return act


def create_some(resource: Resource, make: Callable[[int], Object], most: int) -> Action:
    """A new object at each call, `most` in all; `make` gets its number."""

    async def act(stage: Stage) -> None:
        number = stage.count(resource.plural)
        if number < most:
            await stage.create(resource, make(number))

    return act


def delete(resource: Resource, name: str, namespace: str = "default", *, propagation: str = "") -> Action:
    where = namespace if resource.namespaced else None

    async def act(stage: Stage) -> None:
        await stage.persist(lambda: stage.client.delete(resource, name, where, propagation=propagation))

    return act


def create(resource: Resource, obj: Object) -> Action:
    async def act(stage: Stage) -> None:
        await stage.create(resource, obj)

    return act


async def uncordon_all(stage: Stage) -> None:
    """For a finale: whoever drained a node may have been interrupted."""
    for node in sorted(stage.cluster.fleet.nodes):
        await patch(NODES, node, lambda stage: {"spec": {"unschedulable": None}})(stage)


def replace_node() -> Action:
    """Switch a node off, delete its Node object, and after a while switch it on again."""

    async def act(stage: Stage) -> None:
        node = stage.rng.choice(sorted(stage.cluster.fleet.nodes))
        stage.cluster.fleet.stop_node(node)
        await stage.persist(lambda: stage.client.delete(NODES, node))
        await asyncio.sleep(stage.rng.uniform(1.0, 90.0))
        stage.cluster.fleet.start_node(node)

    return act


def lose_zone() -> Action:
    """All nodes of a zone fall silent for a while, or all but one, or one, or all that there are."""

    async def act(stage: Stage) -> None:
        fleet = stage.cluster.fleet
        zones = sorted({node.spec.labels["topology.kubernetes.io/zone"] for node in fleet.nodes.values()})
        zone = stage.rng.choice(zones)
        nodes = [name for name, node in fleet.nodes.items() if node.spec.labels["topology.kubernetes.io/zone"] == zone]
        lost = stage.rng.choices((nodes, nodes[1:], nodes[:1], list(fleet.nodes)), (4, 2, 3, 1))[0]
        for name in lost:
            fleet.stop_node(name)
        await asyncio.sleep(stage.rng.uniform(10.0, 150.0))
        for name in lost:
            fleet.start_node(name)

    return act
