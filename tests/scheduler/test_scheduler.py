"""The scheduler against a whole simulated cluster, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sampan.api.resources import CORE_EVENTS, NODES, PODS, PRIORITY_CLASSES
from sampan.apimachinery import errors
from sampan.apimachinery.http import Request, Response
from sampan.apimachinery.object import Object
from sampan.client.client import Client
from sampan.sim.cluster import SimCluster, SimConfig
from sampan.sim.loop import run
from sampan.sim.node import NodeSpec
from sampan.sim.stages import RUN_SECONDS


def small_nodes(count: int) -> SimConfig:
    capacity = {"cpu": "2", "memory": "4Gi", "pods": "10"}
    return SimConfig([NodeSpec(f"n{i}", f"172.31.0.{i + 1}", capacity) for i in range(count)])


def play(scenario: Callable[[SimCluster], Awaitable[None]], nodes: int = 3) -> None:
    async def main() -> None:
        async with SimCluster(1, config=small_nodes(nodes)) as cluster:
            await cluster.until(lambda: all_nodes_are_there(cluster, nodes))
            await scenario(cluster)

    run(main())


async def all_nodes_are_there(cluster: SimCluster, count: int) -> bool:
    return len((await cluster.client.list(NODES))["items"]) == count


def pod(name: str, cpu: str = "100m", **spec: Any) -> Object:
    container = {"name": "main", "image": "app:1", "resources": {"requests": {"cpu": cpu}}}
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 1, **spec},
    }


async def node_of(cluster: SimCluster, name: str) -> str:
    found = await cluster.client.get(PODS, name, "default")
    return str(found["spec"].get("nodeName") or "")


async def placed(cluster: SimCluster, name: str, within_s: float = 30) -> str:
    async def is_placed() -> bool:
        return bool(await node_of(cluster, name))

    await cluster.until(is_placed, within_s=within_s, what=f"{name} is placed")
    return await node_of(cluster, name)


async def condition(cluster: SimCluster, name: str) -> Object:
    found = await cluster.client.get(PODS, name, "default")
    conditions = (found.get("status") or {}).get("conditions") or []
    return next((c for c in conditions if c["type"] == "PodScheduled"), {})


async def events_of(cluster: SimCluster, name: str, reason: str) -> list[Object]:
    events: list[Object] = (await cluster.client.list(CORE_EVENTS, "default"))["items"]
    return [e for e in events if e["involvedObject"]["name"] == name and e["reason"] == reason]


def test_a_placed_pod_gets_its_event_and_runs() -> None:
    async def scenario(cluster: SimCluster) -> None:
        await cluster.client.create(PODS, pod("p"))
        node = await placed(cluster, "p")

        async def has_event() -> bool:
            return bool(await events_of(cluster, "p", "Scheduled"))

        await cluster.until(has_event)
        [event] = await events_of(cluster, "p", "Scheduled")
        assert event["message"] == f"Successfully assigned default/p to {node}"
        assert event["type"] == "Normal"
        assert (event["reportingComponent"], event["action"]) == ("default-scheduler", "Binding")
        assert event["eventTime"] and event.get("firstTimestamp") is None
        assert (await condition(cluster, "p"))["status"] == "True"

    play(scenario)


def test_an_unschedulable_pod_says_why_and_is_placed_when_room_appears() -> None:
    async def scenario(cluster: SimCluster) -> None:
        for n in range(3):
            await cluster.client.create(PODS, pod(f"filler-{n}", "1500m"))
            await placed(cluster, f"filler-{n}")
        await cluster.client.create(PODS, pod("p", "1"))

        async def is_refused() -> bool:
            return (await condition(cluster, "p")).get("reason") == "Unschedulable"

        await cluster.until(is_refused)
        message = (
            "0/3 nodes are available: 3 Insufficient cpu. no new claims to deallocate, "
            "preemption: 0/3 nodes are available: 3 No preemption victims found for incoming pod."
        )
        assert (await condition(cluster, "p"))["message"] == message
        await cluster.until(lambda: has_failed_event(cluster, message))
        gone_from = await node_of(cluster, "filler-1")
        await cluster.client.delete(PODS, "filler-1", "default")
        assert await placed(cluster, "p", within_s=20) == gone_from

    play(scenario)


async def has_failed_event(cluster: SimCluster, message: str) -> bool:
    events = await events_of(cluster, "p", "FailedScheduling")
    return [(e["type"], e["message"]) for e in events] == [("Warning", message)]


def test_uncordoning_a_node_releases_what_waits_for_it() -> None:
    async def scenario(cluster: SimCluster) -> None:
        await cluster.client.patch(NODES, "n0", {"spec": {"unschedulable": True}})
        await cluster.client.create(PODS, pod("p"))

        async def is_refused() -> bool:
            return (await condition(cluster, "p")).get("reason") == "Unschedulable"

        await cluster.until(is_refused)
        assert "1 node(s) were unschedulable" in (await condition(cluster, "p"))["message"]
        await asyncio.sleep(15)
        await cluster.client.patch(NODES, "n0", {"spec": {"unschedulable": None}})
        assert await placed(cluster, "p", within_s=15) == "n0"

    play(scenario, nodes=1)


def test_a_burst_never_overfills_a_node() -> None:
    async def scenario(cluster: SimCluster) -> None:
        await asyncio.gather(*(cluster.client.create(PODS, pod(f"p{n:02}", "500m")) for n in range(20)))

        async def twelve_run() -> bool:
            pods = (await cluster.client.list(PODS, "default"))["items"]
            return sum(bool(p["spec"].get("nodeName")) for p in pods) >= 12

        await cluster.until(twelve_run)
        await asyncio.sleep(30)
        pods = (await cluster.client.list(PODS, "default"))["items"]
        nodes: list[str] = [p["spec"].get("nodeName", "") for p in pods]
        assert sorted(nodes) == [""] * 8 + ["n0"] * 4 + ["n1"] * 4 + ["n2"] * 4

    play(scenario)


def test_a_pod_that_has_ended_makes_room() -> None:
    async def scenario(cluster: SimCluster) -> None:
        ending = pod("ending", "2", restartPolicy="Never")
        ending["metadata"]["annotations"] = {RUN_SECONDS: "30"}
        await cluster.client.create(PODS, ending)
        await placed(cluster, "ending")
        await cluster.client.create(PODS, pod("next", "2"))
        assert await placed(cluster, "next", within_s=50) == "n0"
        assert (await cluster.client.get(PODS, "ending", "default"))["status"]["phase"] == "Succeeded"

    play(scenario, nodes=1)


def test_a_gated_pod_is_left_alone_until_it_is_ungated() -> None:
    async def scenario(cluster: SimCluster) -> None:
        await cluster.client.create(PODS, pod("p", schedulingGates=[{"name": "example.com/wait"}]))
        await asyncio.sleep(400)
        assert not await node_of(cluster, "p")
        assert (await condition(cluster, "p"))["reason"] == "SchedulingGated"
        await cluster.client.patch(PODS, "p", {"spec": {"schedulingGates": []}}, "default")
        await placed(cluster, "p", within_s=5)

    play(scenario)


def test_pods_of_another_scheduler_are_left_alone() -> None:
    async def scenario(cluster: SimCluster) -> None:
        await cluster.client.create(PODS, pod("p", schedulerName="mine"))
        await asyncio.sleep(60)
        assert not await node_of(cluster, "p")

    play(scenario)


def test_a_more_important_pod_displaces_a_lesser_one() -> None:
    async def scenario(cluster: SimCluster) -> None:
        vip = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "vip"}, "value": 9}
        await cluster.client.create(PRIORITY_CLASSES, vip)
        await cluster.client.create(PODS, pod("lesser", "2"))
        assert await placed(cluster, "lesser") == "n0"
        await cluster.client.create(PODS, pod("vip", "2", priorityClassName="vip"))
        assert await placed(cluster, "vip", within_s=60) == "n0"
        with pytest.raises(errors.NotFound):
            await cluster.client.get(PODS, "lesser", "default")
        assert await events_of(cluster, "lesser", "Preempted")

    play(scenario, nodes=1)


class LosesAnswers:
    """A transport that carries out the next binding but says that the connection broke."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.lost = 0

    async def request(self, request: Request) -> Response:
        response: Response = await self._inner.request(request)
        if request.path.endswith("/binding") and not self.lost:
            self.lost += 1
            raise errors.ServiceUnavailable("connection lost")
        return response

    async def close(self) -> None: ...


def test_a_binding_whose_answer_was_lost_counts_and_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    transports: list[LosesAnswers] = []
    original = SimCluster.client_of

    def client_of(cluster: SimCluster, user: str, *groups: str, **options: Any) -> Client:
        if user != "system:kube-scheduler":
            return original(cluster, user, *groups, **options)
        transports.append(LosesAnswers(original(cluster, user, *groups, **options)._transport))
        return Client(transports[-1])

    monkeypatch.setattr(SimCluster, "client_of", client_of)

    async def scenario(cluster: SimCluster) -> None:
        await cluster.client.create(PODS, pod("p"))
        await placed(cluster, "p")
        await asyncio.sleep(5)
        assert transports[0].lost == 1
        assert len(await events_of(cluster, "p", "Scheduled")) == 1
        assert await events_of(cluster, "p", "FailedScheduling") == []

    play(scenario)
