"""Simulated nodes: to the API server they look like machines with a kubelet; behind them is nothing.

One `Fleet` plays any number of nodes: it registers their Node objects, renews their Leases, reports their status, and
takes every pod that is bound to one of them through the `stages`. A node can be stopped (it falls silent, as a machine
that lost power) and started again.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import math
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any

from sampan import effects
from sampan.api.resources import LEASES, NODES, PODS
from sampan.apimachinery import errors
from sampan.apimachinery.object import Object, key_of, meta, name_of, namespace_of, uid_of
from sampan.client.client import Client
from sampan.client.informer import Informer, InformerFactory
from sampan.sim.stages import RESTART, STAGES, PodPlace, Stage, next_stage

log = logging.getLogger(__name__)

LEASE_NAMESPACE = "kube-node-lease"
LEASE_DURATION_S = 40
LEASE_RENEWAL_S = 10.0
STATUS_REPORT_S = 300.0
RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """What a simulated node claims to be. `capacity` is also what is allocatable."""

    name: str
    address: str = "10.0.0.1"
    capacity: Object = field(default_factory=lambda: {"cpu": "8", "memory": "32Gi", "pods": "110"})
    labels: dict[str, str] = field(default_factory=dict)
    taints: tuple[Object, ...] = ()


def node_specs(count: int, *, zones: int = 3, prefix: str = "node") -> list[NodeSpec]:
    """`count` equal nodes, spread over zones."""
    return [
        NodeSpec(
            f"{prefix}-{n:04}", f"172.31.{n // 250}.{n % 250 + 1}",
            labels={"topology.kubernetes.io/zone": f"zone-{n % zones}", "topology.kubernetes.io/region": "sim"},
        )
        for n in range(count)
    ]


class SimulatedNode:
    """One node's own state: whether it is on, and the addresses it has given to pods."""

    def __init__(self, spec: NodeSpec, number: int) -> None:
        self.spec = spec
        self.on = True
        self.rebooted = False
        self.lease: Object | None = None
        self.healthy_since = ""
        self.reported_at_s = float("-inf")
        self._number = number
        self._addresses: dict[str, str] = {}
        self._counter = itertools.count(2)

    def place(self, pod: Object) -> PodPlace:
        """The pod's address on this node, the same each time."""
        uid = uid_of(pod)
        if uid not in self._addresses:
            host = next(self._counter)
            number = self._number * 256 + host % 65536
            self._addresses[uid] = f"10.{100 + number // 65536 % 100}.{number // 256 % 256}.{number % 256}"
        address = self.spec.address if (pod.get("spec") or {}).get("hostNetwork") else self._addresses[uid]
        return PodPlace(self.spec.name, self.spec.address, address)

    def release(self, pod: Object) -> None:
        self._addresses.pop(uid_of(pod), None)

    def document(self) -> Object:
        """The Node object as a kubelet registers it."""
        spec = self.spec
        labels = {
            "kubernetes.io/hostname": spec.name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
            "beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": "amd64",
            "type": "simulated", **spec.labels,
        }
        return {
            "apiVersion": "v1", "kind": "Node", "metadata": {
                "name": spec.name, "labels": labels,
                "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
            },
            "spec": {"taints": list(spec.taints)} if spec.taints else {}, "status": self.status(),
        }

    def status(self) -> Object:
        now = effects.timestamp()
        healthy = [
            ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
            ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
        ]
        return {
            "capacity": dict(self.spec.capacity), "allocatable": dict(self.spec.capacity),
            "addresses": [
                {"type": "InternalIP", "address": self.spec.address}, {"type": "Hostname", "address": self.spec.name}
            ],
            "conditions": [
                {"type": type, "status": status, "reason": reason, "message": message, "lastHeartbeatTime": now,
                 "lastTransitionTime": self.healthy_since}
                for type, status, reason, message in healthy
            ],
            "nodeInfo": {
                "kubeletVersion": "v1.37.0-sim", "osImage": "simulated", "containerRuntimeVersion": "sim://1",
                "operatingSystem": "linux", "architecture": "amd64", "machineID": "", "systemUUID": "", "bootID": "",
                "kernelVersion": "0", "kubeProxyVersion": "",
            },
        }


class Fleet:
    """Plays all nodes. `run(client)` until cancelled."""

    def __init__(self, specs: Iterable[NodeSpec], stages: tuple[Stage, ...] = STAGES) -> None:
        self.nodes = {spec.name: SimulatedNode(spec, number) for number, spec in enumerate(specs)}
        self._stages = stages
        self._due: list[tuple[float, int, str, str, Stage]] = []
        self._planned: dict[str, tuple[str, str]] = {}
        self._known_from: dict[str, float] = {}
        """By pod's uid, the version from which on its node looks at it: what it wrote last, none while it writes."""
        self._numbers = itertools.count()
        self._changed = asyncio.Event()
        self._tasks: dict[asyncio.Task[None], None] = {}

    async def run(self, client: Client) -> None:
        self._due, self._planned, self._known_from = [], {}, {}
        factory = InformerFactory(client)
        pods = factory.informer(PODS)
        pods.add_handler(self._plan, lambda old, new: self._plan(new), self._gone)
        try:
            await asyncio.gather(*(self._register(client, node) for node in self.nodes.values()))
            async with factory:
                await asyncio.gather(self._keep_alive(client), self._play(client, pods))
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def stop_node(self, name: str) -> None:
        """The node falls silent; its pods stay as they are."""
        self.nodes[name].on = False

    def start_node(self, name: str) -> None:
        """The node is back; it goes on with the pods that are still bound to it."""
        node = self.nodes[name]
        node.on, node.healthy_since, node.reported_at_s = True, effects.timestamp(), float("-inf")
        self._changed.set()

    def reboot_node(self, name: str) -> None:
        """The node is back; every container on it has ended."""
        self.start_node(name)
        self.nodes[name].rebooted = True

    async def _register(self, client: Client, node: SimulatedNode) -> None:
        node.healthy_since = effects.timestamp()
        while not await self._try(self._join(client, node), f"registration of {node.spec.name}"):  # noqa: ASYNC110
            await asyncio.sleep(RETRY_S)

    async def _join(self, client: Client, node: SimulatedNode) -> None:
        try:
            await client.create(NODES, node.document())
            node.reported_at_s = effects.monotonic()
        except errors.AlreadyExists:
            await self._report(client, node)

    async def _report(self, client: Client, node: SimulatedNode) -> None:
        node.reported_at_s = effects.monotonic()
        status: Object = {"status": node.status()}
        try:
            await client.patch(NODES, node.spec.name, status, type="strategic", subresource="status")
        except errors.NotFound:  # somebody deleted the Node: a kubelet that starts registers it again
            await client.create(NODES, node.document())

    async def _keep_alive(self, client: Client) -> None:
        """Leases every ten seconds, statuses every five minutes and when a node comes back."""
        while True:
            for node in self.nodes.values():
                if node.on:
                    self._spawn(self._heartbeat(client, node))
            await asyncio.sleep(LEASE_RENEWAL_S)

    async def _heartbeat(self, client: Client, node: SimulatedNode) -> None:
        await self._try(self._renew(client, node), f"lease of {node.spec.name}")
        if effects.monotonic() - node.reported_at_s >= STATUS_REPORT_S:
            await self._try(self._report(client, node), f"status of {node.spec.name}")

    async def _renew(self, client: Client, node: SimulatedNode) -> None:
        """As a kubelet does: replace the Lease as it was last seen; look or make it again when that fails."""
        name = node.spec.name
        spec: Object = {
            "holderIdentity": name, "leaseDurationSeconds": LEASE_DURATION_S,
            "renewTime": effects.micro_timestamp(),
        }
        try:
            known = node.lease or await client.get(LEASES, name, LEASE_NAMESPACE)
            node.lease = None
            node.lease = await client.update(LEASES, {**known, "spec": spec})
        except errors.NotFound:
            lease: Object = {
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {"name": name, "namespace": LEASE_NAMESPACE}, "spec": spec,
            }
            node.lease = await client.create(LEASES, lease, LEASE_NAMESPACE)

    # Pods

    def _plan(self, pod: Object) -> None:
        """Note what happens to the pod next, unless that is planned already, or its node knows more by now."""
        node = self.nodes.get((pod.get("spec") or {}).get("nodeName") or "")
        if node is None or int(meta(pod)["resourceVersion"]) < self._known_from.get(uid_of(pod), 0):
            return
        stage = next_stage(pod, self._stages)
        key = key_of(pod)
        if stage is None:
            self._planned.pop(key, None)
            return
        plan = (uid_of(pod), stage.name)
        if self._planned.get(key) == plan:
            return
        self._planned[key] = plan
        due = effects.monotonic() + stage.delay(pod)
        heapq.heappush(self._due, (due, next(self._numbers), key, uid_of(pod), stage))
        self._changed.set()

    def _gone(self, pod: Object) -> None:
        self._planned.pop(key_of(pod), None)
        self._known_from.pop(uid_of(pod), None)
        node = self.nodes.get((pod.get("spec") or {}).get("nodeName") or "")
        if node is not None:
            node.release(pod)

    async def _play(self, client: Client, pods: Informer) -> None:
        """Apply what is due, when it is due."""
        while True:
            self._changed.clear()
            for node in self.nodes.values():
                if node.on and node.rebooted:
                    node.rebooted = False
                    self._restart_containers(client, pods, node)
            now = effects.monotonic()
            asleep = []
            while self._due and self._due[0][0] <= now:
                entry = heapq.heappop(self._due)
                _, _, key, uid, stage = entry
                pod = pods.lister.get_by_key(key)
                if pod is None or self._planned.get(key) != (uid, stage.name):
                    continue
                if not self.nodes[pod["spec"]["nodeName"]].on:
                    asleep.append(entry)
                    continue
                del self._planned[key]
                self._spawn(self._attempt(client, pods, pod, stage))
            await self._wait_until(self._due[0][0] if self._due else None)
            for entry in asleep:
                heapq.heappush(self._due, entry)

    async def _wait_until(self, due: float | None) -> None:
        try:
            async with asyncio.timeout(None if due is None else max(0.0, due - effects.monotonic())):
                await self._changed.wait()
        except TimeoutError:
            return

    def _restart_containers(self, client: Client, pods: Informer, node: SimulatedNode) -> None:
        for pod in pods.lister.list():
            if (pod.get("spec") or {}).get("nodeName") == node.spec.name and RESTART.applies(pod):
                self._planned.pop(key_of(pod), None)  # what its containers were about to do, they never will
                self._spawn(self._attempt(client, pods, pod, RESTART))

    async def _attempt(self, client: Client, pods: Informer, pod: Object, stage: Stage) -> None:
        """Apply a stage, and plan the next one from what came of it; if it fails, from what the pod is in a moment."""
        key, uid = key_of(pod), uid_of(pod)
        self._known_from[uid] = math.inf
        if not await self._try(self._apply(client, pod, stage), f"{stage.name} {key}"):
            self._known_from.pop(uid, None)
            await asyncio.sleep(RETRY_S)
        current = pods.lister.get_by_key(key)
        if current is not None:
            self._plan(current)

    async def _apply(self, client: Client, pod: Object, stage: Stage) -> None:
        status = stage.effect(pod, self.nodes[pod["spec"]["nodeName"]].place(pod))
        if status is None:  # that was the last that its node does for it, even if a finalizer holds it
            await client.delete(PODS, name_of(pod), namespace_of(pod), grace_period_s=0, uid=uid_of(pod))
            return
        patch: Object = {"metadata": {"uid": uid_of(pod)}, "status": status}
        written = await client.patch(
            PODS, name_of(pod), patch, namespace_of(pod), type="strategic", subresource="status"
        )
        self._known_from[uid_of(pod)] = int(meta(written)["resourceVersion"])

    async def _try(self, attempt: Coroutine[Any, Any, None], what: str) -> bool:
        """Whether it worked. The pod may be gone or changed by now, the server away; anything else is worth a line."""
        try:
            await attempt
        except (errors.NotFound, errors.Conflict, errors.ServiceUnavailable) as error:
            log.debug("%s: %s", what, error)
        except errors.APIError as error:
            log.warning("%s: %s", what, error)
        else:
            return True
        return False

    def _spawn(self, attempt: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(attempt)
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))
