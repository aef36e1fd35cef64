"""The kubelet: runs the pods that are bound to this node.

    API watch ─┐                 ┌─ PLEG (what runs) ─┐
    manifests ─┴─▶ PodSet ─▶ PodWorker, one a pod ────┴─▶ Runtime (CRI)
                                  └─▶ StatusManager ─▶ API

`run` starts everything, serves until cancelled and then stops without touching a container: whoever runs next, this
kubelet or its successor, takes over what it finds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeAlias

from sampan.api.resources import NODES, PODS, SERVICES
from sampan.apimachinery.object import Object
from sampan.client.client import Client
from sampan.client.events import EventRecorder
from sampan.client.informer import Informer, InformerFactory
from sampan.cri.runtime import CRIError, Runtime
from sampan.kubelet.backoff import Backoff
from sampan.kubelet.cgroups import Cgroups
from sampan.kubelet.config import KubeletConfig
from sampan.kubelet.containers import Containers, Surroundings
from sampan.kubelet.dns_config import ClusterDNS, read_resolv_conf
from sampan.kubelet.eviction import EvictionManager
from sampan.kubelet.housekeeping import Housekeeper
from sampan.kubelet.images import ImageManager
from sampan.kubelet.machine import Machine, read_machine
from sampan.kubelet.mirror_pods import MirrorPods
from sampan.kubelet.node import Pressure
from sampan.kubelet.node_agent import NodeAgent, NodeSources
from sampan.kubelet.objects import NodeObjects
from sampan.kubelet.pleg import PLEG, PLEGConfig
from sampan.kubelet.pod_set import PodSet
from sampan.kubelet.pod_worker import Workplace
from sampan.kubelet.probes.prober import Prober
from sampan.kubelet.server.api import NodeAPI
from sampan.kubelet.static_pods import StaticPods
from sampan.kubelet.status_manager import StatusManager
from sampan.kubelet.tokens import TokenManager
from sampan.kubelet.volumes.manager import VolumeManager, VolumeSources

log = logging.getLogger(__name__)

SANDBOXES_AT_ONCE = 4
RUNTIME_RETRY_S = 0.1


BeforeStart: TypeAlias = Callable[[Object, tuple[str, ...]], Awaitable[None]]
"""(pod, its addresses): what has to be done between a pod's network and its first container."""


async def _at_once(pod: Object, ips: tuple[str, ...]) -> None:
    return None


async def run(
    client: Client, config: KubeletConfig, runtime: Runtime | None = None, before_start: BeforeStart = _at_once
) -> None:
    """Run the node until cancelled. `runtime` replaces the connection to `config.runtime_socket`."""
    if runtime is None:
        from sampan.cri.client import CRIClient  # gRPC is only loaded where it is used

        runtime = CRIClient(config.runtime_socket)
    kubelet = Kubelet(client, config, runtime, read_machine(), before_start)
    try:
        await kubelet.run()
    finally:
        await runtime.close()


@dataclass(frozen=True, slots=True)
class _Late:
    """Calls that parts make on parts which are built after them."""

    on_change: list[Callable[[str], None]]

    def __call__(self, uid: str) -> None:
        for function in self.on_change:
            function(uid)


class Kubelet:
    """The parts of one node's kubelet, put together."""

    def __init__(
        self, client: Client, config: KubeletConfig, runtime: Runtime, machine: Machine,
        before_start: BeforeStart = _at_once,
    ) -> None:
        self.config = config
        self._before_start = before_start
        self.runtime = runtime
        self.client = client
        config.pods_dir.mkdir(parents=True, exist_ok=True)
        config.pods_dir.chmod(0o750)  # volumes hold Secrets; other users of the machine have no business there
        config.pod_logs_dir.mkdir(parents=True, exist_ok=True)
        changed = _Late([])
        self.recorder = EventRecorder(client, "kubelet", config.node_name)
        self.pleg = PLEG(runtime, changed, PLEGConfig(config.relist_interval_s, config.relist_interval_with_events_s))
        self.node = NodeAgent(
            client, runtime, self.recorder, config,
            NodeSources(machine, lambda: self._pressure(), lambda: self.pleg.error),
        )
        self.informers = InformerFactory(client)
        self.pods_informer = self.informers.informer(PODS, None, "", f"spec.nodeName={config.node_name}")
        self.services: Informer = self.informers.informer(SERVICES)
        self.nodes = self.informers.informer(NODES, None, "", f"metadata.name={config.node_name}")
        self.cgroups = Cgroups(config.cgroup_root, pids_limit=config.pod_pids_limit)
        self.statuses = StatusManager(client)
        self.objects, self.tokens = NodeObjects(client, lambda uid: self.pods.show(uid)), TokenManager(client)
        self.volumes = VolumeManager(config, VolumeSources(self.objects, self.tokens))
        self.images = ImageManager(runtime, Backoff(config.backoff_initial_s, config.backoff_limit_s))
        self.containers = Containers(runtime, Surroundings(
            config, self.recorder, self.objects, self.images, self.cgroups,
            Backoff(config.backoff_initial_s, config.backoff_limit_s), self._dns(),
            lambda: list(self.services.lister.list()), self.node.facts, machine.memory_bytes,
        ))
        self.prober = Prober(runtime, self.containers.record, changed)
        self.mirrors = MirrorPods(client, self.node.owner_reference)
        place = self._workplace()
        self.pods = PodSet(place, lambda: self.node.document(self.nodes.lister.get(config.node_name)))
        changed.on_change.append(self.pods.wake)
        self.eviction = EvictionManager(config, machine, runtime, self.pods, self.containers)
        self.housekeeper = Housekeeper(config, runtime, self.pods, place)

    def _pressure(self) -> Pressure:
        return self.eviction.pressure

    def _dns(self) -> ClusterDNS:
        config = self.config
        return ClusterDNS(config.cluster_dns, config.cluster_domain, read_resolv_conf(config.host_resolv_conf))

    def _workplace(self) -> Workplace:
        return Workplace(
            self.client, self.config, self.containers, self.images, self.pleg, self.prober, self.statuses, self.volumes,
            self.cgroups, self.mirrors, self.node.facts, lambda: self.node.network_error,
            lambda: self.node.runtime_name, asyncio.Semaphore(SANDBOXES_AT_ONCE),
            lambda uid: self.pods.room(uid), self._before_start,
        )

    async def run(self) -> None:
        """Everything, until cancelled."""
        await self._wait_for_runtime()
        self.cgroups.prepare()
        tasks = [self._task("node", self.node.run()), self._task("pleg", self.pleg.run())]
        try:
            async with self.informers:
                tasks += [
                    self._task("eviction", self.eviction.run()),
                    self._task("housekeeping", self.housekeeper.run()),
                    self._task("server", NodeAPI(self).run()),
                ]
                if self.config.static_pod_dir is not None:
                    static = StaticPods(self.config.static_pod_dir, self.config.node_name, self.pods.set_static)
                    tasks.append(self._task("static pods", static.run()))
                tasks.append(self._task("pods", self._take_api_pods()))
                await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.prober.close()
            await self.pods.close()
            await self.objects.close()
            await self.statuses.close()
            await self.recorder.close()

    async def _wait_for_runtime(self) -> None:
        """Until the runtime answers and its pods are known; nothing may be decided before."""
        said = ""
        while True:
            try:
                await self.pleg.relist()
                await self.node.look_at_runtime()
                return
            except CRIError as error:
                if said != error.message:
                    log.warning("waiting for the container runtime: %s", error)
                    said = error.message
                await asyncio.sleep(RUNTIME_RETRY_S)

    async def _take_api_pods(self) -> None:
        """Once the Node is known, since whether a pod is taken depends on its labels, taints and allocatable."""
        await self.node.registered.wait()
        await self.nodes.wait_synced()
        self.nodes.add_handler(on_update=self.node.seen)
        self.pods_informer.add_handler(
            self.pods.add_from_api, lambda old, new: self.pods.update_from_api(new), self.pods.remove_from_api
        )
        await self.pods_informer.wait_synced()
        self.pods.sources_synced()
        await asyncio.Event().wait()

    def _task(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return asyncio.create_task(_guarded(name, work), name=f"kubelet {name}")


async def _guarded(name: str, work: Coroutine[Any, Any, None]) -> None:
    """A part that fails for good takes the kubelet down, loudly: its supervisor starts it again."""
    try:
        await work
    except Exception:
        log.exception("kubelet: %s failed", name)
        raise
