"""sig-node and sig-scheduling: Nodes, Leases and the kubelets' own API; who is scheduled, who has to give way."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.e2e.conformance.board import case, serial
from tests.e2e.conformance.space import Object, Space, condition, container, is_ready, pod

from sampan.api.resources import API_SERVICES, LEASES, NODES, PODS, PRIORITY_CLASSES, REPLICA_SETS

FOO = "scheduling.example.com/foo"


@case
async def test_nodes_report(space: Space) -> None:
    """Conditions, capacity, allocatable, addresses, the runtime, and the Lease that is the heartbeat."""
    for name in space.nodes:
        node = await space.node(name)
        conditions = {one["type"]: (one["status"], one["reason"]) for one in node["status"]["conditions"]}
        assert conditions == {
            "MemoryPressure": ("False", "KubeletHasSufficientMemory"),
            "DiskPressure": ("False", "KubeletHasNoDiskPressure"),
            "PIDPressure": ("False", "KubeletHasSufficientPID"), "Ready": ("True", "KubeletReady"),
        }
        assert set(node["status"]["allocatable"]) >= {"cpu", "memory", "pods", "ephemeral-storage"}
        assert node["status"]["nodeInfo"]["containerRuntimeVersion"].startswith("containerd://")
        assert {one["type"] for one in node["status"]["addresses"]} == {"InternalIP", "Hostname"}
        lease = await space.client.get(LEASES, name, "kube-node-lease")
        assert lease["spec"]["holderIdentity"] == name and lease["spec"]["leaseDurationSeconds"] == 40
        first = lease["spec"]["renewTime"]

        async def renewed(name: str = name, first: str = first) -> bool:
            now = await space.client.get(LEASES, name, "kube-node-lease")
            return bool(now["spec"]["renewTime"] > first)

        await space.eventually(renewed, "a renewal", 40)


@case
async def test_the_kubelets_own_api(space: Space) -> None:
    """/pods, /stats/summary, /metrics, /metrics/resource, /metrics/cadvisor, /configz, /healthz through the proxy."""
    node = space.nodes[0]
    await space.start(pod("web", nodeName=node))

    async def ask(path: str) -> str:
        return await space.proxy(f"/api/v1/nodes/{node}/proxy/{path}")

    assert await ask("healthz") == "ok"
    pods = json.loads(await ask("pods"))["items"]
    assert ("web", space.name) in {(p["metadata"]["name"], p["metadata"]["namespace"]) for p in pods}
    config = json.loads(await ask("configz"))["kubeletconfig"]
    assert config["clusterDomain"] == "cluster.local" and config["maxPods"] == 110

    async def counted() -> bool:
        summary = json.loads(await ask("stats/summary"))
        mine = [p for p in summary["pods"] if p["podRef"]["namespace"] == space.name]
        assert summary["node"]["nodeName"] == node and summary["node"]["memory"]["workingSetBytes"] > 0
        return bool(mine and mine[0]["containers"][0]["memory"]["workingSetBytes"] > 0)

    await space.eventually(counted, "the pod in the summary")
    resource, advisor, own = await asyncio.gather(ask("metrics/resource"), ask("metrics/cadvisor"), ask("metrics"))
    assert f'container_memory_working_set_bytes{{container="main",namespace="{space.name}",pod="web"}}' in resource
    assert "node_cpu_usage_seconds_total" in resource and "container_cpu_usage_seconds_total" in advisor
    assert "kubelet_running_pods" in own


@case
async def test_metrics(space: Space) -> None:
    """metrics.k8s.io: nodes and pods, behind the aggregation layer."""
    await space.start(pod("web"))
    api = "/apis/metrics.k8s.io/v1beta1"

    async def measured() -> bool:
        nodes = json.loads(await space.proxy(f"{api}/nodes"))["items"]
        found = json.loads(await space.proxy(f"{api}/namespaces/{space.name}/pods/web"))
        assert {one["metadata"]["name"] for one in nodes} == set(space.nodes)
        assert all(one["usage"]["cpu"].endswith("n") and one["usage"]["memory"].endswith("Ki") for one in nodes)
        return [one["name"] for one in found["containers"]] == ["main"]

    await space.eventually(measured, "two scrapes")
    await space.until(API_SERVICES, "v1beta1.metrics.k8s.io", lambda s: condition(s, "Available")["status"] == "True")


@case
async def test_static_pods(space: Space) -> None:
    """A file on the node is a pod with a mirror, which comes back, and goes with the file."""
    node = space.nodes[0]
    cluster = node.rpartition("-")[0]
    file = Path(f"/var/lib/sampan/{cluster}/nodes/{node}/manifests/{space.name}.json")
    made = pod("static")
    made["metadata"]["namespace"] = space.name
    file.write_text(json.dumps(made))
    try:
        shown = await space.ready(f"static-{node}")
        assert "kubernetes.io/config.mirror" in shown["metadata"]["annotations"]
        assert shown["metadata"]["ownerReferences"][0]["kind"] == "Node"
        await space.delete(PODS, f"static-{node}", grace_period_s=0)
        uid = shown["metadata"]["uid"]
        again = await space.until(PODS, f"static-{node}", lambda p: p and p["metadata"]["uid"] != uid, "a new mirror")
        assert again["status"].get("phase") in ("Running", "Pending")
    finally:
        file.unlink()
    await space.gone(f"static-{node}")


@serial
async def test_node_objects_live(space: Space) -> None:
    """Node Lifecycle: create, patch, list, update, delete a Node that has no kubelet."""
    name = f"fake-{space.name}"
    await space.create(NODES, {"metadata": {"name": name, "labels": {"fake": space.name}},
                               "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}})
    await space.patch(NODES, name, {"metadata": {"labels": {"patched": "yes"}}}, type="strategic")
    found = await space.client.list(NODES, label_selector=f"fake={space.name}")
    assert [one["metadata"]["labels"]["patched"] for one in found["items"]] == ["yes"]
    await space.delete(NODES, name)
    await space.until(NODES, name, lambda n: not n, "deletion")


@case
async def test_selectors_and_room(space: Space) -> None:
    """NodeSelector matching and not matching; more than any node has."""
    node = space.nodes[0]
    await space.patch(NODES, node, {"metadata": {"labels": {space.name: "42"}}})
    try:
        await space.start(pod("match", nodeSelector={space.name: "42"}))
        assert (await space.get(PODS, "match"))["spec"]["nodeName"] == node
    finally:
        await space.patch(NODES, node, {"metadata": {"labels": {space.name: None}}})
    await space.create(PODS, pod("nowhere", nodeSelector={"label": "nonempty"}))
    await space.create(PODS, pod("large", container(resources={"requests": {"cpu": "9999"}})))
    for name, words in (("nowhere", "didn't match Pod's node affinity/selector"), ("large", "Insufficient cpu")):
        message = await space.event(name, "FailedScheduling")
        assert message.startswith("0/2 nodes are available:") and words in message
        await space.until(
            PODS, name, lambda found: condition(found, "PodScheduled").get("reason") == "Unschedulable", "its condition"
        )


async def advertise(space: Space, amount: str | None) -> None:
    """Give each node so many of an extended resource, or take it away; until it is allocatable, or not."""
    for name in space.nodes:
        await space.patch(NODES, name, {"status": {"capacity": {FOO: amount}}}, subresource="status")
    for name in space.nodes:
        await space.until(NODES, name, lambda n: n["status"]["allocatable"].get(FOO) == amount, "allocatable")


def asking(name: str, amount: int, **spec: Any) -> Object:
    wanted = {FOO: str(amount)}
    return pod(name, container(resources={"requests": wanted, "limits": wanted}), **spec)


@serial
async def test_preemption(space: Space) -> None:
    """The least important pods give way to more important and critical ones, with a condition that says so."""
    classes = {f"{space.name}-{level}": value for level, value in (("low", 1), ("medium", 100), ("high", 1000))}
    low, medium, high = classes
    for name, value in classes.items():
        await space.create(PRIORITY_CLASSES, {"metadata": {"name": name}, "value": value})
    await advertise(space, "5")
    try:
        first, second = space.nodes
        await space.start(
            asking("low", 4, priorityClassName=low, nodeName=None, nodeSelector={"kubernetes.io/hostname": first}),
            asking("medium", 4, priorityClassName=medium, nodeSelector={"kubernetes.io/hostname": second}),
        )
        await space.start(asking("high", 3, priorityClassName=high))
        await space.gone("low")
        assert is_ready(await space.get(PODS, "medium"))
        assert (await space.get(PODS, "high"))["spec"]["nodeName"] == first
        kept = asking("victim", 1, priorityClassName=low, nodeSelector={"kubernetes.io/hostname": second})
        kept["metadata"]["finalizers"] = ["example.com/test"]
        await space.start(kept)
        await space.create(PODS, asking("wins", 1, priorityClassName=high,
                                        nodeSelector={"kubernetes.io/hostname": second}))
        shown = await space.until(PODS, "victim", lambda p: condition(p, "DisruptionTarget"), "the condition")
        assert condition(shown, "DisruptionTarget")["reason"] == "PreemptionByScheduler"
        await space.patch(PODS, "victim", {"metadata": {"finalizers": None}})
        await space.ready("wins")
    finally:
        await advertise(space, None)
        for name in classes:
            await space.delete(PRIORITY_CLASSES, name)


@serial
async def test_preemption_by_replica_sets(space: Space) -> None:
    """PreemptionExecutionPath: ReplicaSets of rising priority on one node end as their priorities say."""
    classes = {f"{space.name}-p{level}": level for level in range(1, 5)}
    for name, value in classes.items():
        await space.create(PRIORITY_CLASSES, {"metadata": {"name": name}, "value": value})
    await advertise(space, "10")
    try:
        for level, (replicas, amount) in enumerate(((5, 1), (4, 1), (4, 1), (1, 5)), start=1):
            wanted = {FOO: str(amount)}
            template = pod("x", container(resources={"requests": wanted, "limits": wanted}),
                           priorityClassName=f"{space.name}-p{level}",
                           nodeSelector={"kubernetes.io/hostname": space.nodes[0]})
            await space.create(REPLICA_SETS, {"metadata": {"name": f"rs{level}"}, "spec": {
                "replicas": replicas, "selector": {"matchLabels": {"set": f"rs{level}"}},
                "template": {"metadata": {"labels": {"set": f"rs{level}"}}, "spec": template["spec"]}}})
            await asyncio.sleep(0.5)

        async def settled() -> bool:
            counts = [len([p for p in await space.items(PODS, label_selector=f"set=rs{level}") if is_ready(p)])
                      for level in range(1, 5)]
            assert counts == [0, 1, 4, 1], counts
            return True

        await space.eventually(settled, "the order of priorities")
    finally:
        await space.client.delete_collection(REPLICA_SETS, space.name)
        await advertise(space, None)
        for name in classes:
            await space.delete(PRIORITY_CLASSES, name)


@serial
async def test_a_taint_that_goes_cancels_the_eviction(space: Space) -> None:
    """NoExecute: tolerated for a time, evicted after it, spared when the taint goes in time."""
    node = space.nodes[1]
    taint = {"key": "kubernetes.io/e2e-evict-taint-key", "value": "evictTaintVal", "effect": "NoExecute"}
    tolerated_s, loop = 60, asyncio.get_running_loop()
    tolerance = {"key": taint["key"], "value": taint["value"], "operator": "Equal", "effect": "NoExecute"}
    await space.start(
        pod("stays", nodeName=node, tolerations=[{**tolerance, "tolerationSeconds": tolerated_s}]),
        pod("soon", nodeName=node, tolerations=[{**tolerance, "tolerationSeconds": 2}]),
        pod("bare", nodeName=node),
    )
    tainted = loop.time()
    await space.patch(NODES, node, {"spec": {"taints": [taint]}})
    try:
        await space.gone("bare")
        await space.gone("soon")
    finally:
        await space.patch(NODES, node, {"spec": {"taints": None}})
    await asyncio.sleep(tainted + tolerated_s + 5 - loop.time())
    assert is_ready(await space.get(PODS, "stays"))
