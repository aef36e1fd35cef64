"""The service proxy: watches Services and EndpointSlices and keeps the node's nftables so that Services work.

Handlers only note which Services changed; one loop computes their part of the table anew and sends the difference in
one transaction, so a change costs what changed, however many Services there are. On start, and whenever the kernel
refuses a change, the whole table is replaced in one transaction: connections that were established go on (the kernel
tracks them), new ones never meet half a table. What it wrote stays when it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sampan import effects
from sampan.api.resources import ENDPOINT_SLICES, NODES, SERVICES
from sampan.apimachinery.object import Object, key_of, labels_of, namespace_of
from sampan.client.client import Client
from sampan.client.informer import Informer, InformerFactory
from sampan.netfilter.kernel import Kernel
from sampan.netfilter.nft import NFTError
from sampan.netfilter.ruleset import Contribution, Family, Ruleset
from sampan.proxy import conntrack, figures, health
from sampan.proxy.balancer_check import BalancerChecks, check_port, local_endpoints, ports_of
from sampan.proxy.model import SERVICE_LABEL, Place, ServicePort, service_ports
from sampan.proxy.render import Frame, contribution, table_frame

log = logging.getLogger(__name__)

SERVICE_INDEX = "proxied-service"
ZONE_LABEL = "topology.kubernetes.io/zone"
MIN_INTERVAL_S = 0.02
RETRY_S = 1.0
MAX_RETRY_S = 30.0
AUDIT_S = 60.0


@dataclass(frozen=True, slots=True)
class ProxyConfig:
    """`node` is this node's name. `health_port` 0 leaves health out. `service_cidr` "" rejects nothing unallocated.

    `enter` is called once in the thread that talks to the kernel and may move it into the node's network namespace;
    leave it out when the process is there already. Give `informers` where components share them.
    """

    node: str
    cluster_cidr: str = "10.244.0.0/16"
    service_cidr: str = "10.96.0.0/16"
    table: str = "sampan-proxy"
    families: tuple[Family, ...] = ("ip",)
    health_address: str = "0.0.0.0"
    health_port: int = 10256
    metrics_port: int = 10249
    """On the node's loopback; 0 leaves figures out."""
    enter: Callable[[], None] | None = None
    informers: InformerFactory | None = field(default=None, compare=False)


async def run(client: Client, config: ProxyConfig) -> None:
    """Keep the node's Services working until cancelled."""
    await Proxy(client, config).run()


class Proxy:
    """One node's proxy. `ready` is set once the kernel has the first whole table."""

    def __init__(self, client: Client, config: ProxyConfig) -> None:
        self.config = config
        self.ready = asyncio.Event()
        self.health = health.Health()
        self.figures = figures.Figures()
        self.syncs = 0
        self.failures = 0
        self._factory = config.informers or InformerFactory(client)
        self._services = self._factory.informer(SERVICES)
        self._slices = self._factory.informer(ENDPOINT_SLICES)
        self._nodes = self._factory.informer(NODES, field_selector=f"metadata.name={config.node}")
        self._kernel = Kernel(config.enter)
        self._checks = BalancerChecks(config.health_address, self._local_endpoints, lambda: self.health.live)
        self._rulesets = {
            family: Ruleset(table_frame(self._frame(family))) for family in config.families
        }
        self._ports: dict[tuple[Family, str], list[ServicePort]] = {}
        self._dirty: set[str] = set()
        self._balanced: dict[str, Object] = {}
        self._wake = asyncio.Event()
        self._place = Place(config.node)

    async def run(self) -> None:
        handlers = self._watch()
        try:
            if self.config.informers is None:
                self._factory.start()
            for informer in (self._services, self._slices, self._nodes):
                await informer.wait_synced()
            async with contextlib.AsyncExitStack() as stack:
                if self.config.health_port:
                    await stack.enter_async_context(
                        health.serving(self.health, self.config.health_address, self.config.health_port))
                if self.config.metrics_port:
                    await stack.enter_async_context(
                        figures.serving(self.figures, "127.0.0.1", self.config.metrics_port))
                await self._loop()
        finally:
            self.ready.clear()
            for informer, handler in handlers:
                informer.remove_handler(handler)
            if self.config.informers is None:
                await self._factory.stop()
            await self._checks.close()
            await self._kernel.close()

    async def _loop(self) -> None:
        whole, retry_s = True, RETRY_S
        while True:
            self._wake.clear()
            dirty, self._dirty = self._dirty, set()
            began = effects.monotonic()
            try:
                await self._synchronise(dirty, whole=whole)
            except (NFTError, OSError) as error:
                self.failures += 1
                self.figures.failed()
                log.error("services %s: not written, trying again in %s s: %s", sorted(dirty), retry_s, error)
                self._dirty |= dirty
                whole = True
                await asyncio.sleep(retry_s)
                retry_s = min(2 * retry_s, MAX_RETRY_S)
                continue
            retry_s = RETRY_S
            self.syncs += 1
            self.figures.synced(effects.monotonic() - began)
            await self._checks.update(ports_of(self._balanced.values()))
            if not self._dirty:
                self.health.updated()
            self.ready.set()
            await asyncio.sleep(MIN_INTERVAL_S)
            whole = not await self._wait()

    async def _wait(self) -> bool:
        """Until something changed. False when the table is found to be gone."""
        while not self._wake.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(AUDIT_S):
                    await self._wake.wait()
            if not self._wake.is_set():
                for ruleset in self._rulesets.values():
                    if not await self._kernel.has_table(ruleset.frame):
                        log.warning("table %s was removed by somebody; writing it again", ruleset.frame.table)
                        return False
        return True

    async def _synchronise(self, dirty: set[str], *, whole: bool) -> None:
        for key in dirty:
            service = self._services.lister.get_by_key(key)
            if service is not None and check_port(service):
                self._balanced[key] = service
            else:
                self._balanced.pop(key, None)
        before: list[ServicePort] = []
        after: list[ServicePort] = []
        for family, ruleset in self._rulesets.items():
            changes: dict[str, Contribution | None] = {}
            for key in dirty:
                old = self._ports.pop((family, key), [])
                new = self._compute(key, family)
                if new:
                    self._ports[family, key] = new
                changes.update(dict.fromkeys(port.key for port in old))
                changes.update({port.key: contribution(port, self._frame(family)) for port in new})
                before += old
                after += new
            transaction = ruleset.update(changes)
            if whole:
                await self._kernel.replace(ruleset)
            elif transaction:
                await self._kernel.apply(transaction)
        await self._forget_flows(before, after)

    async def _forget_flows(self, before: list[ServicePort], after: list[ServicePort]) -> None:
        """On the first pass there is no telling what changed while no proxy ran, so every UDP frontend is new."""
        changed = conntrack.frontends(before, after)
        try:
            gone = await self._kernel.call(lambda: conntrack.forget(changed)) if changed else 0
        except OSError:
            self.failures += 1
            log.exception("UDP flows to endpoints that are gone could not be dropped")
            return
        if gone:
            log.info("%d UDP flows to endpoints that are gone were dropped", gone)

    def _local_endpoints(self, key: str) -> int:
        return local_endpoints(self._slices.lister.by_index(SERVICE_INDEX, key), self.config.node)

    def _compute(self, key: str, family: Family) -> list[ServicePort]:
        service = self._services.lister.get_by_key(key)
        if service is None:
            return []
        try:
            return service_ports(service, self._slices.lister.by_index(SERVICE_INDEX, key), self._place, family)
        except (KeyError, ValueError, TypeError, AttributeError):
            self.failures += 1
            log.exception("service %s cannot be proxied", key)
            return []

    def _watch(self) -> list[tuple[Informer, Any]]:
        self._slices.lister.add_index(SERVICE_INDEX, _service_keys)

        def note(*objects: Object) -> None:
            self.figures.changed("service", 1)
            self._note(key_of(obj) for obj in objects)

        def note_slice(*objects: Object) -> None:
            self.figures.changed("endpoint", 1)
            self._note(key for obj in objects for key in _service_keys(obj))

        return [
            (self._services, self._services.add_handler(note, note, note)),
            (self._slices, self._slices.add_handler(note_slice, note_slice, note_slice)),
            (self._nodes, self._nodes.add_handler(self._node_changed, lambda _, new: self._node_changed(new))),
        ]

    def _note(self, keys: Any) -> None:
        self._dirty.update(keys)
        if self._dirty:
            self.health.queued()
            self._wake.set()

    def _node_changed(self, node: Object) -> None:
        """Another zone means other endpoints, for every Service."""
        self.health.node_changed(node)
        place = Place(self.config.node, labels_of(node).get(ZONE_LABEL, ""))
        if place != self._place:
            self._place = place
            self._note([key_of(service) for service in self._services.lister.list()])

    def _frame(self, family: Family) -> Frame:
        def of_family(cidrs: str) -> str:
            return next((c for c in cidrs.split(",") if c and (":" in c) == (family == "ip6")), "")

        pods, services = of_family(self.config.cluster_cidr), of_family(self.config.service_cidr)
        return Frame(self.config.table, family, pods, services)


def _service_keys(piece: Object) -> list[str]:
    name = labels_of(piece).get(SERVICE_LABEL)
    return [f"{namespace_of(piece)}/{name}"] if name else []
