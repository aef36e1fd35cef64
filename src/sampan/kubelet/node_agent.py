"""Keeps the Node object and its Lease: registers the node, renews the Lease, reports the status when it changes.

The Lease is the heartbeat (every 10 s); the status is looked at as often and written when something changed, or after
five minutes. A condition that somebody else has changed (the control plane calls a node that it has missed Unknown) is
put right at the next look. Deleting the Node while the kubelet runs makes it register again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from sampan import effects
from sampan.api.resources import LEASES, NODES
from sampan.apimachinery import errors
from sampan.apimachinery.object import Object, dig, labels_of, uid_of
from sampan.apimachinery.quantity import Quantity
from sampan.client.client import Client
from sampan.client.events import EventRecorder
from sampan.cri.runtime import CRIError, Runtime
from sampan.kubelet import node as documents
from sampan.kubelet.config import KubeletConfig
from sampan.kubelet.downward import NodeFacts
from sampan.kubelet.machine import Machine, disk
from sampan.kubelet.node import NodeReadings, Pressure

log = logging.getLogger(__name__)

LEASE_NAMESPACE = "kube-node-lease"
NOT_READY_POLL_S = 0.2
NOT_READY_POLL_LIMIT_S = 2.0
RETRY_S = 1.0
NETWORK_MESSAGE = "container runtime network not ready: NetworkReady=false reason:{} message:{}"


@dataclass(frozen=True, slots=True)
class NodeSources:
    """Who knows what the status needs: pressure from eviction, health from the PLEG."""

    machine: Machine
    pressure: Callable[[], Pressure]
    pleg_error: Callable[[], str]


class NodeAgent:
    """`run` registers and reports until cancelled."""

    def __init__(
        self, client: Client, runtime: Runtime, recorder: EventRecorder, config: KubeletConfig, sources: NodeSources
    ) -> None:
        self._client = client
        self._runtime = runtime
        self._recorder = recorder
        self._config = config
        self._sources = sources
        self._node: Object | None = None
        self._written: Object = {}
        self._reported_at = 0.0
        self._poll_s = NOT_READY_POLL_S
        self._wake = asyncio.Event()
        self.registered = asyncio.Event()
        self.network_error = ""
        self.runtime_error = ""
        self.runtime_version = ""
        self.runtime_name = "containerd"

    @property
    def reference(self) -> Object:
        """The Node as events name it: upstream uses its name as uid."""
        name = self._config.node_name
        return {"kind": "Node", "name": name, "uid": name, "apiVersion": "v1"}

    def owner_reference(self) -> Object | None:
        """For mirror pods; None before registration."""
        if self._node is None:
            return None
        return {"apiVersion": "v1", "kind": "Node", "name": self._config.node_name, "uid": uid_of(self._node),
                "controller": True}

    def document(self, seen: Object | None = None) -> Object:
        """The Node as last seen in the API, or what it will be; always with what it can take."""
        node = seen or self._node or documents.node_document(self._config, self._sources.machine, self._written)
        if dig(node, "status", "allocatable"):
            return node
        total = documents.capacity(self._config, self._sources.machine, disk(self._config.root_dir))
        free = documents.allocatable(self._config, total)
        return {**node, "status": {**(node.get("status") or {}), "capacity": total, "allocatable": free}}

    def facts(self) -> NodeFacts:
        """For the downward API."""
        total = documents.capacity(self._config, self._sources.machine, disk(self._config.root_dir))
        free = documents.allocatable(self._config, total)
        return NodeFacts(
            self._config.node_name, (self._config.node_ip,), Quantity.parse(free["cpu"]),
            Quantity.parse(free["memory"]), Quantity.parse(free["ephemeral-storage"]),
        )

    async def look_at_runtime(self) -> None:
        """Version and conditions of the runtime; remembers what is wrong."""
        try:
            if not self.runtime_version:
                version = await self._runtime.version()
                self.runtime_name = version.runtime_name
                self.runtime_version = f"{version.runtime_name}://{version.runtime_version}"
            conditions = {item.type: item for item in await self._runtime.status()}
        except CRIError as error:
            self.runtime_error = f"container runtime is down: {error.message}"
            return
        self.runtime_error = self.network_error = ""
        runtime, network = conditions.get("RuntimeReady"), conditions.get("NetworkReady")
        if runtime is not None and not runtime.status:
            self.runtime_error = (
                f"container runtime not ready: RuntimeReady=false reason:{runtime.reason} message:{runtime.message}"
            )
        if network is not None and not network.status:
            self.network_error = NETWORK_MESSAGE.format(network.reason, network.message)

    def seen(self, before: Object, after: Object) -> None:
        """The Node changed in the API: what somebody advertises there becomes allocatable at once."""
        if documents.advertised(before) != documents.advertised(after):
            self._wake.set()

    async def run(self) -> None:
        """Register, then keep Lease and status current."""
        self._recorder.event(self.reference, "Normal", "Starting", "Starting kubelet.")
        lease = asyncio.create_task(self._renew_lease(), name="node lease")
        try:
            while True:
                delay_s = await self._report_logged()
                self._wake.clear()
                try:
                    await asyncio.wait_for(self._wake.wait(), delay_s)
                except TimeoutError:
                    continue
        finally:
            lease.cancel()
            await asyncio.gather(lease, return_exceptions=True)

    async def _report_logged(self) -> float:
        try:
            await self.look_at_runtime()
            await self._report()
        except errors.APIError as error:
            log.warning("node %s: %s", self._config.node_name, error)
            return RETRY_S
        if not self._not_ready():
            self._poll_s = NOT_READY_POLL_S
            return self._config.status_update_interval_s
        self._poll_s = min(self._poll_s * 1.2, NOT_READY_POLL_LIMIT_S)
        return self._poll_s

    def _not_ready(self) -> tuple[str, ...]:
        pleg = self._sources.pleg_error()
        found = (self.runtime_error, self.network_error, f"PLEG is not healthy: {pleg}" if pleg else "")
        return tuple(text for text in found if text)

    async def _status(self) -> Object:
        try:
            images = await self._runtime.list_images()
        except CRIError:
            images = ()
        readings = NodeReadings(
            effects.timestamp(), self.runtime_version, images, self._not_ready(), self._sources.pressure()
        )
        seen = dig(self._node, "status", default={})
        known = {"status": {**(self._written or seen), "capacity": seen.get("capacity") or {}}}
        return documents.node_status(
            self._config, self._sources.machine, disk(self._config.root_dir), readings, known
        )

    async def _report(self) -> None:
        if self._node is None:
            await self._register()
        else:
            await self._look_at_node()
        status = await self._status()
        unchanged = documents.without_heartbeats(status) == documents.without_heartbeats(self._written)
        fresh = effects.monotonic() - self._reported_at < self._config.status_report_interval_s
        if unchanged and fresh:
            return
        name = self._config.node_name
        self.registered.set()
        allocatable = status["allocatable"] | documents.vanished(self._node, status["allocatable"])
        patch = {"status": {**status, "allocatable": allocatable}}
        try:
            self._node = await self._client.patch(NODES, name, patch, type="strategic", subresource="status")
        except errors.NotFound:
            self._forget()
            raise
        for reason in documents.transitions(self._written.get("conditions") or [], status["conditions"]):
            self._recorder.event(self.reference, "Normal", reason, f"Node {name} status is now: {reason}")
        self._written, self._reported_at = status, effects.monotonic()

    async def _look_at_node(self) -> None:
        """What the API has now; its conditions count as written, so that a wrong one differs from ours."""
        try:
            self._node = await self._client.get(NODES, self._config.node_name)
        except errors.NotFound:
            self._forget()
            raise
        if self._written:
            self._written = {**self._written, "conditions": dig(self._node, "status", "conditions", default=[])}

    def _forget(self) -> None:
        """The Node is gone: register again."""
        self._node, self._written = None, {}

    async def _register(self) -> None:
        """Create the Node, or adopt the one that is there with this kubelet's labels."""
        wanted = documents.node_document(self._config, self._sources.machine, await self._status())
        try:
            self._node = await self._client.create(NODES, wanted)
            log.info("registered node %s", self._config.node_name)
        except errors.AlreadyExists:
            self._node = await self._client.get(NODES, self._config.node_name)
            missing = {
                key: value for key, value in labels_of(wanted).items() if labels_of(self._node).get(key) != value
            }
            if missing:
                self._node = await self._client.patch(NODES, self._config.node_name, {"metadata": {"labels": missing}})
            self._written = dig(self._node, "status", default={})

    async def _renew_lease(self) -> None:
        known: Object | None = None
        while True:
            try:
                known = await self._renew(known)
            except errors.APIError as error:
                log.debug("lease of node %s: %s", self._config.node_name, error)
                known = None
                await asyncio.sleep(RETRY_S)
                continue
            await asyncio.sleep(self._config.lease_renew_interval_s)

    async def _renew(self, known: Object | None) -> Object:
        name = self._config.node_name
        if known is None:
            try:
                known = await self._client.get(LEASES, name, LEASE_NAMESPACE)
            except errors.NotFound:
                return await self._client.create(LEASES, self._lease(), LEASE_NAMESPACE)
        renewed = {**known, "spec": {**(known.get("spec") or {}), **self._lease()["spec"]}}
        owner = self._lease()["metadata"].get("ownerReferences")
        if owner and not known["metadata"].get("ownerReferences"):
            renewed["metadata"] = {**known["metadata"], "ownerReferences": owner}
        return await self._client.update(LEASES, renewed)

    def _lease(self) -> Object:
        name = self._config.node_name
        metadata: Object = {"name": name, "namespace": LEASE_NAMESPACE}
        if self._node is not None:
            metadata["ownerReferences"] = [
                {"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid_of(self._node)}
            ]
        return {
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata,
            "spec": {
                "holderIdentity": name, "leaseDurationSeconds": self._config.lease_duration_s,
                "renewTime": effects.micro_timestamp(),
            },
        }
