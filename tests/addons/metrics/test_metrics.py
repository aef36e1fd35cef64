"""metrics.k8s.io: rates from two scrapes, and the documents that say them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from tests.apiserver.serving import serving
from tests.meanwhile import meanwhile

from sampan.addons.metrics import objects
from sampan.addons.metrics.samples import Point, Window, parse, used
from sampan.addons.metrics.server import SMALL_NODES, MetricsConfig, MetricsServer
from sampan.api.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES
from sampan.apimachinery.http import Response, UserInfo
from sampan.client.client import Client, WatchEvent


def scrape(node_cpu_s: float, main_cpu_s: float, at_s: float, memory: int = 3 << 20) -> str:
    labels = '{container="main",namespace="ns",pod="web"}'
    return (
        f"# TYPE node_cpu_usage_seconds_total counter\nnode_cpu_usage_seconds_total {node_cpu_s}\n"
        f"# TYPE node_memory_working_set_bytes gauge\nnode_memory_working_set_bytes {5 << 30}\n"
        "# TYPE container_cpu_usage_seconds_total counter\n"
        f"container_cpu_usage_seconds_total{labels} {main_cpu_s} {int(at_s * 1000)}\n"
        "# TYPE container_memory_working_set_bytes gauge\n"
        f"container_memory_working_set_bytes{labels} {memory} {int(at_s * 1000)}\n"
    )


def test_two_samples_make_a_rate() -> None:
    window = Window()
    window.add("n1", parse(scrape(10, 1, 100), 101))
    assert window.node("n1") is None and window.pods() == {}
    window.add("n1", parse(scrape(13, 1.5, 110), 111))
    node, containers = window.node("n1"), window.pod("ns", "web")
    assert node is not None and (node.cpu_ns, node.window_s, node.memory_bytes) == (300_000_000, 10, 5 << 30)
    assert (containers["main"].cpu_ns, containers["main"].time_s) == (50_000_000, 110)


def test_a_container_that_was_not_measured_anew_keeps_its_rate_and_one_that_restarted_waits() -> None:
    window = Window()
    for at, cpu in ((100, 1.0), (110, 1.5)):
        window.add("n1", parse(scrape(10 + at, cpu, at), at + 1))
    window.add("n1", parse(scrape(130, 1.5, 110), 121))
    assert window.pod("ns", "web")["main"].cpu_ns == 50_000_000
    window.add("n1", parse(scrape(140, 0.1, 130), 131))
    assert window.pod("ns", "web") == {}
    window.keep(set())
    assert window.node("n1") is None


def started(text: str, at_s: float) -> str:
    labels = '{container="main",namespace="ns",pod="web"}'
    return f"{text}# TYPE container_start_time_seconds gauge\ncontainer_start_time_seconds{labels} {at_s}\n"


@pytest.mark.parametrize(("age", "cpu_ns"), [(9, None), (10, 50_000_000), (60, 8_333_333), (61, None)])
def test_a_fresh_containers_beginning_is_a_sample_once_it_runs_for_ten_seconds(age: int, cpu_ns: int | None) -> None:
    window = Window()
    window.add("n1", parse(started(scrape(10, 0.5, 100 + age), 100), 100 + age))
    found = window.pod("ns", "web")
    assert (found["main"].cpu_ns if found else None) == cpu_ns
    assert not window.is_complete("n1")  # the node itself has but one sample


def test_a_restart_is_seen_by_its_time_though_the_count_grew() -> None:
    window = Window()
    window.add("n1", parse(started(scrape(10, 1.0, 100), 90), 101))
    window.add("n1", parse(started(scrape(13, 1.5, 115), 112), 116))
    assert window.pod("ns", "web") == {} and not window.is_complete("n1")
    window.add("n1", parse(started(scrape(16, 1.8, 118), 112), 119))
    assert window.pod("ns", "web")["main"].cpu_ns == 100_000_000 and window.is_complete("n1")


class Scraped(Client):
    """Counts what is asked of the nodes; a container runs from the second round on."""

    def __init__(self) -> None:
        super().__init__(None)  # type: ignore[arg-type]
        self.rounds = 0

    async def raw(self, *_: Any, **__: Any) -> Response:
        self.rounds += 1
        return Response(200, {}, scrape(self.rounds, self.rounds / 10, self.rounds).encode())


async def test_a_new_pod_is_measured_before_the_next_round_is_due() -> None:
    client = Scraped()
    server = MetricsServer(client, MetricsConfig("", 0, "", "", "", interval_s=3600, first_interval_s=0.001))
    server._nodes.replace([{"metadata": {"name": "n1"}}])
    server._pods.replace([])
    async with meanwhile(server.rounds()), asyncio.timeout(60):
        while not server._window.is_complete("n1"):
            await asyncio.sleep(0)
        known = client.rounds
        server._pods.apply(WatchEvent("ADDED", {"metadata": {"name": "other", "namespace": "ns"}}))
        while client.rounds == known:
            await asyncio.sleep(0)


async def test_a_large_cluster_is_not_asked_for_every_new_pod() -> None:
    client = Scraped()
    server = MetricsServer(client, MetricsConfig("", 0, "", "", "", interval_s=3600, first_interval_s=0.001))
    server._nodes.replace([{"metadata": {"name": f"n{number}"}} for number in range(SMALL_NODES + 1)])
    await server._round()
    server._pods.apply(WatchEvent("ADDED", {"metadata": {"name": "other", "namespace": "ns"}}))
    assert not server._stirred.is_set()


def test_no_rate_of_one_moment() -> None:
    assert used(Point(1, 1, 1), Point(1, 2, 1)) is None and used(None, Point(1, 1, 1)) is None


async def test_documents() -> None:
    server = MetricsServer(Client(None), MetricsConfig("", 0, "", "", ""))  # type: ignore[arg-type]
    pod = {"metadata": {"name": "web", "namespace": "ns", "labels": {"app": "web"}}}
    node = {"metadata": {"name": "n1", "labels": {"zone": "a"}}}
    server._pods.replace([{**pod, "kind": "Pod"}])
    server._nodes.replace([node, {"metadata": {"name": "n2"}}])
    for at, cpu in ((100, 1.0), (110, 1.5)):
        server._window.add("n1", parse(scrape(10 + at, cpu, at), at))
    async with TestClient(TestServer(server.app())) as client:
        async def get(path: str) -> Any:
            return await (await client.get(f"/apis/metrics.k8s.io/v1beta1{path}")).json()

        assert [one["name"] for one in (await get(""))["resources"]] == ["nodes", "pods"]
        nodes = await get("/nodes")
        assert nodes["kind"] == "NodeMetricsList" and len(nodes["items"]) == 1
        assert nodes["items"][0] == {
            "kind": "NodeMetrics", "apiVersion": "metrics.k8s.io/v1beta1",
            "metadata": {"name": "n1", "creationTimestamp": None, "labels": {"zone": "a"}},
            "timestamp": "1970-01-01T00:01:50Z", "window": "10s",
            "usage": {"cpu": "1000000000n", "memory": "5242880Ki"},
        }
        found = await get("/namespaces/ns/pods/web")
        assert found["containers"] == [{"name": "main", "usage": {"cpu": "50000000n", "memory": "3072Ki"}}]
        assert len((await get("/pods?labelSelector=app%3Dweb"))["items"]) == 1
        assert (await get("/pods?labelSelector=app%3Dother"))["items"] == []
        assert (await get("/namespaces/other/pods"))["items"] == []
        assert (await get("/pods?labelSelector=%3D%3D"))["reason"] == "BadRequest"
        missing = await get("/nodes/n2")
        assert (missing["code"], missing["reason"]) == (404, "NotFound")


async def test_it_reads_nothing_before_it_may() -> None:
    async with serving(authorization=True) as (api, admin):
        account = UserInfo("system:serviceaccount:kube-system:metrics-server", groups=("system:authenticated",))
        server = MetricsServer(Client(api.transport(account)), MetricsConfig("", 0, "", "", ""))
        waiting = asyncio.create_task(server.permitted())
        done, _ = await asyncio.wait({waiting}, timeout=0.3)
        assert not done
        await admin.create(CLUSTER_ROLES, objects.ROLE)
        await admin.create(CLUSTER_ROLE_BINDINGS, objects.BINDING)
        async with asyncio.timeout(60):
            await waiting
