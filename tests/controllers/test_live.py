"""The controller manager with API server, scheduler and simulated nodes, on virtual time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from sampan import effects
from sampan.api.resources import (
    CONFIG_MAPS,
    CORE_EVENTS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    ENDPOINTS,
    NAMESPACES,
    NODES,
    PODS,
    REPLICA_SETS,
    SERVICE_ACCOUNTS,
    SERVICES,
)
from sampan.apimachinery.object import Object, dig, name_of
from sampan.apimachinery.resource import Resource
from sampan.controllers.config import ControllerManagerConfig
from sampan.sim.cluster import SimCluster, SimConfig
from sampan.sim.loop import run
from sampan.sim.node import node_specs

Condition = Callable[[], Awaitable[bool]]


def played(scenario: Callable[[SimCluster], Coroutine[Any, Any, None]], nodes: int = 3) -> None:
    """Run a scenario on a simulated cluster."""
    controllers = ControllerManagerConfig(root_ca=b"the CA")

    async def play() -> None:
        async with SimCluster(7, config=SimConfig(node_specs(nodes), controllers=controllers)) as cluster:
            await scenario(cluster)

    run(play())


def deployment(replicas: int, image: str = "web:1") -> Object:
    labels = {"app": "web"}
    spec = {"containers": [{"name": "main", "image": image, "ports": [{"name": "http", "containerPort": 8080}]}]}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


async def items(cluster: SimCluster, resource: Resource, namespace: str | None = "default") -> list[Object]:
    found: list[Object] = (await cluster.client.list(resource, namespace))["items"]
    return found


def complete(cluster: SimCluster, replicas: int) -> Condition:
    async def check() -> bool:
        found = await cluster.client.get(DEPLOYMENTS, "web", "default")
        status = found.get("status") or {}
        counts = [status.get(f"{what}eplicas", 0) for what in ("r", "updatedR", "readyR", "availableR")]
        return status.get("observedGeneration") == found["metadata"]["generation"] and counts == [replicas] * 4

    return check


def gone(cluster: SimCluster, *resources: Resource, namespace: str | None = "default") -> Condition:
    async def check() -> bool:
        for resource in resources:
            if [one for one in await items(cluster, resource, namespace) if name_of(one) not in ("kubernetes",)]:
                return False
        return True

    return check


async def set_image(cluster: SimCluster, image: str) -> None:
    change = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": image}]}}}}
    await cluster.client.patch(DEPLOYMENTS, "web", change, "default", type="strategic")


async def sizes(cluster: SimCluster) -> dict[str, int]:
    return {
        one["spec"]["template"]["spec"]["containers"][0]["image"]: one["spec"]["replicas"]
        for one in await items(cluster, REPLICA_SETS)
    }


def test_a_deployment_scales_rolls_and_goes_back() -> None:
    async def scenario(cluster: SimCluster) -> None:
        await cluster.client.create(DEPLOYMENTS, deployment(3))
        await cluster.until(complete(cluster, 3))
        await cluster.client.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 10}}, "default")
        await cluster.until(complete(cluster, 10))
        await set_image(cluster, "web:2")
        await cluster.until(complete(cluster, 10))
        assert await sizes(cluster) == {"web:1": 0, "web:2": 10}
        await set_image(cluster, "web:1")
        await cluster.until(complete(cluster, 10))
        assert await sizes(cluster) == {"web:1": 10, "web:2": 0}
        found = await cluster.client.get(DEPLOYMENTS, "web", "default")
        assert found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"
        events = await items(cluster, CORE_EVENTS)
        messages = [event["message"] for event in events if event["reason"] == "ScalingReplicaSet"]
        assert any(message.endswith("from 0 to 3") for message in messages)
        assert any(message.startswith("Scaled down replica set web-") for message in messages)

    played(scenario)


def test_a_paused_deployment_waits_until_it_is_resumed() -> None:
    async def scenario(cluster: SimCluster) -> None:
        await cluster.client.create(DEPLOYMENTS, deployment(4))
        await cluster.until(complete(cluster, 4))
        await cluster.client.patch(DEPLOYMENTS, "web", {"spec": {"paused": True}}, "default")
        await set_image(cluster, "web:2")

        async def paused() -> bool:
            found = await cluster.client.get(DEPLOYMENTS, "web", "default")
            return any(one["reason"] == "DeploymentPaused" for one in found["status"]["conditions"])

        await cluster.until(paused)
        assert await sizes(cluster) == {"web:1": 4}
        await cluster.client.patch(DEPLOYMENTS, "web", {"spec": {"paused": None}}, "default")
        await cluster.until(complete(cluster, 4))
        assert await sizes(cluster) == {"web:1": 0, "web:2": 4}

    played(scenario)


def test_a_deleted_pod_comes_back_and_the_service_follows() -> None:
    async def scenario(cluster: SimCluster) -> None:
        await cluster.client.create(DEPLOYMENTS, deployment(3))
        ports = [{"name": "http", "port": 80, "targetPort": "http"}]
        await cluster.client.create(SERVICES, {
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "default"},
            "spec": {"selector": {"app": "web"}, "ports": ports},
        })
        await cluster.until(complete(cluster, 3))

        async def backends() -> list[str]:
            slices = await cluster.client.list(
                ENDPOINT_SLICES, "default", label_selector="kubernetes.io/service-name=web"
            )
            return sorted(
                endpoint["targetRef"]["name"] for one in slices["items"] for endpoint in one["endpoints"]
                if endpoint["conditions"]["ready"]
            )

        async def true() -> bool:
            pods = [name_of(pod) for pod in await items(cluster, PODS)]
            found = await cluster.client.get(ENDPOINTS, "web", "default")
            addresses = [one for subset in found.get("subsets") or () for one in subset.get("addresses") or ()]
            return len(pods) == 3 and await backends() == sorted(pods) and len(addresses) == 3

        await cluster.until(true)
        victim = (await backends())[0]
        await cluster.client.delete(PODS, victim, "default")

        async def replaced() -> bool:
            return victim not in await backends() and await true()

        await cluster.until(replaced)

    played(scenario)


def test_deletion_cascades_in_the_background_the_foreground_and_not_at_all() -> None:
    async def scenario(cluster: SimCluster) -> None:
        for propagation in ("Background", "Foreground"):
            await cluster.client.create(DEPLOYMENTS, deployment(3))
            await cluster.until(complete(cluster, 3))
            await cluster.client.delete(DEPLOYMENTS, "web", "default", propagation=propagation)
            await cluster.until(gone(cluster, DEPLOYMENTS, REPLICA_SETS, PODS), what=propagation)
        await cluster.client.create(DEPLOYMENTS, deployment(3))
        await cluster.until(complete(cluster, 3))
        await cluster.client.delete(DEPLOYMENTS, "web", "default", propagation="Orphan")
        await cluster.until(gone(cluster, DEPLOYMENTS))
        [left] = await items(cluster, REPLICA_SETS)
        assert not left["metadata"].get("ownerReferences")
        before = sorted(name_of(pod) for pod in await items(cluster, PODS))
        await cluster.client.create(DEPLOYMENTS, deployment(3))
        await cluster.until(complete(cluster, 3))
        assert sorted(name_of(pod) for pod in await items(cluster, PODS)) == before

    played(scenario)


def test_a_namespace_is_furnished_and_emptied() -> None:
    async def scenario(cluster: SimCluster) -> None:
        await cluster.client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})

        async def furnished() -> bool:
            accounts = [name_of(one) for one in await items(cluster, SERVICE_ACCOUNTS, "team")]
            maps = {name_of(one): one["data"] for one in await items(cluster, CONFIG_MAPS, "team")}
            return accounts == ["default"] and maps == {"kube-root-ca.crt": {"ca.crt": "the CA"}}

        await cluster.until(furnished)
        web = deployment(2)
        web["metadata"]["namespace"] = "team"
        await cluster.client.create(DEPLOYMENTS, web)
        held: Object = {"name": "held", "namespace": "team", "finalizers": ["example.com/hold"]}
        await cluster.client.create(CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": held})
        await cluster.client.delete(NAMESPACES, "team")

        async def explained() -> bool:
            [found] = [one for one in await items(cluster, NAMESPACES, None) if name_of(one) == "team"]
            conditions = {one["type"]: one for one in found["status"].get("conditions") or ()}
            remaining = conditions.get("NamespaceFinalizersRemaining", {})
            return bool(
                remaining.get("message") == "Some content in the namespace has finalizers remaining: "
                "example.com/hold in 1 resource instances"
            ) and conditions["NamespaceContentRemaining"]["message"] == (
                "Some resources are remaining: configmaps. has 1 resource instances"
            )

        await cluster.until(explained)
        await cluster.client.patch(CONFIG_MAPS, "held", {"metadata": {"finalizers": None}}, "team")

        async def over() -> bool:
            return "team" not in [name_of(one) for one in await items(cluster, NAMESPACES, None)]

        await cluster.until(over)
        await gone(cluster, DEPLOYMENTS, PODS, SERVICE_ACCOUNTS, CONFIG_MAPS, namespace="team")()

    played(scenario)


def test_a_silent_node_loses_its_pods_after_their_toleration() -> None:
    async def scenario(cluster: SimCluster) -> None:
        await cluster.client.create(DEPLOYMENTS, deployment(6))
        await cluster.until(complete(cluster, 6))
        [victim, *_] = sorted({pod["spec"]["nodeName"] for pod in await items(cluster, PODS)})
        cluster.fleet.stop_node(victim)
        stopped = effects.monotonic()

        async def unreachable() -> bool:
            node = await cluster.client.get(NODES, victim)
            taints = {(one["key"], one["effect"]) for one in node["spec"].get("taints") or ()}
            return {("node.kubernetes.io/unreachable", effect) for effect in ("NoSchedule", "NoExecute")} <= taints

        await cluster.until(unreachable)
        assert 30 <= effects.monotonic() - stopped <= 60

        async def moved() -> bool:
            pods = await items(cluster, PODS)
            running = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
            return len(running) == 6 and victim not in {pod["spec"].get("nodeName") for pod in running}

        await cluster.until(moved)
        cluster.fleet.start_node(victim)

        async def back() -> bool:
            node = await cluster.client.get(NODES, victim)
            return not node["spec"].get("taints")

        await cluster.until(back)

    played(scenario)


def test_pods_of_a_deleted_node_are_collected() -> None:
    async def scenario(cluster: SimCluster) -> None:
        await cluster.client.create(DEPLOYMENTS, deployment(3))
        await cluster.until(complete(cluster, 3))
        victim = (await items(cluster, PODS))[0]["spec"]["nodeName"]
        cluster.fleet.stop_node(victim)
        await cluster.client.delete(NODES, victim)

        async def replaced() -> bool:
            nodes = {pod["spec"].get("nodeName") for pod in await items(cluster, PODS)}
            return victim not in nodes and await complete(cluster, 3)()

        assert await cluster.until(replaced) <= 80

    played(scenario)


def test_every_node_has_its_own_range() -> None:
    async def scenario(cluster: SimCluster) -> None:
        async def given() -> bool:
            ranges = [dig(node, "spec", "podCIDR") for node in await items(cluster, NODES, None)]
            return None not in ranges and len(set(ranges)) == 20

        await cluster.until(given)

    played(scenario, nodes=20)

