"""A namespace of a simulated cluster, for scenarios that are told in a few lines."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from sampan.api.resources import CORE_EVENTS, PODS
from sampan.apimachinery.object import Object, dig, is_being_deleted, name_of
from sampan.apimachinery.resource import Resource
from sampan.controllers.config import ControllerManagerConfig
from sampan.sim.cluster import SimCluster, SimConfig
from sampan.sim.loop import run
from sampan.sim.node import node_specs
from sampan.sim.stages import READY_AFTER

NAMESPACE = "default"
LABELS = {"app": "web"}
HELD = {READY_AFTER: "1000000"}
"""Annotations of a pod that becomes ready only when the test says so."""


def template(image: str = "web:1", **annotations: str) -> Object:
    spec = {"containers": [{"name": "main", "image": image}]}
    return {"metadata": {"labels": LABELS, "annotations": annotations}, "spec": spec}


def workload(image: str = "web:1", annotations: Object | None = None, **spec: Any) -> Object:
    """The spec of an apps/v1 object."""
    return {"selector": {"matchLabels": LABELS}, "template": template(image, **(annotations or {})), **spec}


class Lab:
    """Creates, changes and watches objects of the namespace."""

    def __init__(self, cluster: SimCluster) -> None:
        self.cluster, self.client = cluster, cluster.client

    async def create(self, resource: Resource, name: str, **fields: Any) -> Object:
        metadata = {"name": name, "namespace": NAMESPACE, **fields.pop("metadata", {})}
        document = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **fields}
        return await self.client.create(resource, document)

    async def get(self, resource: Resource, name: str) -> Object:
        return await self.client.get(resource, name, NAMESPACE)

    async def list(self, resource: Resource) -> list[Object]:
        return list((await self.client.list(resource, NAMESPACE))["items"])

    async def patch(self, resource: Resource, name: str, subresource: str = "", **change: Any) -> None:
        await self.client.patch(resource, name, change, NAMESPACE, type="merge", subresource=subresource)

    async def create_eviction(self, pod: str) -> None:
        """Raises TooManyRequests where a budget forbids it."""
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": NAMESPACE}}
        await self.client.create(PODS, eviction, NAMESPACE, name=pod, subresource="eviction")

    async def pods(self) -> dict[str, Object]:
        """The pods that are not on their way out."""
        return {name_of(one): one for one in await self.list(PODS) if not is_being_deleted(one)}

    async def images(self) -> list[str]:
        return sorted(one["spec"]["containers"][0]["image"] for one in (await self.pods()).values())

    async def make_ready(self, *names: str, ready: bool = True) -> None:
        """Say of pods that they are ready, or not, as their kubelet would."""
        condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": "2026-01-02T03:04:05Z"}
        for name in names:
            await self.client.patch(
                PODS, name, {"status": {"conditions": [condition]}}, NAMESPACE, type="strategic", subresource="status"
            )

    async def set_phase(self, phase: str, *names: str, **status: Any) -> None:
        """Say of pods how they are, as their kubelet would."""
        for name in names:
            change = {"status": {"phase": phase, **status}}
            await self.client.patch(PODS, name, change, NAMESPACE, type="strategic", subresource="status")

    async def until(self, condition: Callable[[], Awaitable[bool]], within_s: float = 120.0, what: str = "") -> None:
        await self.cluster.until(condition, within_s=within_s, what=what)

    async def running(self, count: int) -> None:
        """Until so many pods run, and none else is left."""

        async def check() -> bool:
            found = await self.list(PODS)
            return len(found) == count and all(one["status"].get("phase") == "Running" for one in found)

        await self.until(check, what=f"{count} running pods")

    async def status(self, resource: Resource, name: str, **wanted: Any) -> None:
        """Until the status has these values; None: has none."""

        async def check() -> bool:
            status = (await self.get(resource, name)).get("status") or {}
            return all(status.get(key) == value for key, value in wanted.items())

        await self.until(check, what=f"{name}: {wanted}")

    async def reasons(self, name: str) -> set[str]:
        found = await self.list(CORE_EVENTS)
        return {one["reason"] for one in found if one["involvedObject"]["name"] == name}

    async def condition(self, resource: Resource, name: str, type: str) -> Object | None:
        for one in dig(await self.get(resource, name), "status", "conditions", default=()):
            if one["type"] == type:
                return dict(one)
        return None


def on_a_cluster(
    scenario: Callable[[Lab], Coroutine[Any, Any, None]], nodes: int = 2, seed: int = 21, controllers: str = "*"
) -> None:
    """Play a scenario on a simulated cluster of its own; without nodes nobody but the test touches a pod."""

    async def play() -> None:
        config = SimConfig(node_specs(nodes), controllers=ControllerManagerConfig(controllers=controllers))
        async with SimCluster(seed, config=config) as cluster:
            await scenario(Lab(cluster))

    run(play())
