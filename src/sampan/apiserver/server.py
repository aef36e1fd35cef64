"""The API server: a function from `Request` to `Response` over a store.

`APIServer` puts the parts together: the tables of kinds and routes, the watch caches, the read and the write path, the
plugins of authentication, authorisation and admission, and the chain that a request passes. It knows no socket; see
`listener` for HTTPS and `transport` for callers in the same process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from sampan import effects
from sampan.api.kind import Kind
from sampan.api.kinds import KINDS
from sampan.api.resources import IP_ADDRESSES, SERVICES
from sampan.apimachinery.http import Request, Response, UserInfo
from sampan.apiserver import bootstrap, chain, paths, routes
from sampan.apiserver.admission import table as admission_table
from sampan.apiserver.aggregation.aggregator import Aggregator
from sampan.apiserver.authn import table as authn_table
from sampan.apiserver.authz import always
from sampan.apiserver.authz import table as authz_table
from sampan.apiserver.authz.rbac_bootstrap.reconcile import reconcile
from sampan.apiserver.backend import Backend
from sampan.apiserver.config import APIServerConfig
from sampan.apiserver.context import RequestContext
from sampan.apiserver.dispatch import Dispatcher
from sampan.apiserver.encryption import store as encryption
from sampan.apiserver.extensions.custom_resources import CustomResources
from sampan.apiserver.extensions.rule_check import RuleCheck
from sampan.apiserver.flowcontrol import bootstrap as flow_bootstrap
from sampan.apiserver.flowcontrol import fairness
from sampan.apiserver.handlers.discovery import OWN_PATHS, Discovery
from sampan.apiserver.handlers.health import Health
from sampan.apiserver.handlers.openapi import OpenAPI
from sampan.apiserver.handlers.zpages import ZPages
from sampan.apiserver.identity import Identity
from sampan.apiserver.kubernetes_endpoints import KubernetesEndpoints
from sampan.apiserver.loopback import LoopbackTransport
from sampan.apiserver.metrics import RequestMetrics, exposition
from sampan.apiserver.registry.address_ledger import AddressLedger
from sampan.apiserver.registry.admitting import AdmissionChain
from sampan.apiserver.registry.compaction import Compaction
from sampan.apiserver.registry.event_expiry import EventExpiry
from sampan.apiserver.registry.hooks import Hook
from sampan.apiserver.registry.hub import Hub
from sampan.apiserver.registry.kind_table import KindTable
from sampan.apiserver.registry.periodic import Periodic
from sampan.apiserver.registry.port_claims import PortClaims
from sampan.apiserver.registry.reader import CacheReader
from sampan.apiserver.registry.reading import ReadPath
from sampan.apiserver.registry.service_addresses import ServiceAddresses
from sampan.apiserver.registry.service_ranges import ServiceRanges
from sampan.apiserver.registry.window_aging import WindowAging
from sampan.apiserver.registry.writing import WritePath
from sampan.apiserver.seams import AdmissionAttributes, Attributes, Decision, KnownRules, Reader, Verdict
from sampan.apiserver.start_up import StartUp, Step
from sampan.client.client import Client
from sampan.storage.store import Store


class Upkeep(Protocol):
    """Work in the background."""

    def start(self) -> None: ...
    async def stop(self) -> None: ...


ITSELF = UserInfo("system:apiserver", groups=("system:masters", "system:authenticated"))


class APIServer:
    """One server. `start` before the first request, `stop` when done; the store stays the caller's to close."""

    def __init__(self, store: Store, config: APIServerConfig | None = None) -> None:
        self.config = config or APIServerConfig()
        store = self._store = encryption.wrap(store, self.config.encryption_config_file)
        self.table = KindTable(KINDS, routes.ROUTES)
        self.hub = Hub(store, KINDS, self.config.watch_window_events)
        self._reader = CacheReader(self.hub)
        self.client = Client(self.transport(ITSELF), field_manager="kube-apiserver")
        self._ledger = AddressLedger(self.client, self._reader)
        self.admission = AdmissionChain(admission_table.plugins(self))
        writes = WritePath(store, self.hub, self.admission, self._hooks())
        self.backend = Backend(self.config, self.table, self.hub, ReadPath(store, self.hub), writes, self)
        for route in routes.WRITES:
            self.table.add_route(route.bound(self.backend))
        checked = self.config.authorization
        self._custom_resources = CustomResources(self.backend, self.client)
        self._aggregator = Aggregator(self.backend, self.client)
        self._authenticators = [one for build in authn_table.AUTHENTICATORS if checked and (one := build(self))]
        self._authorizers = authz_table.Authorizers(self) if checked else None
        self._endpoints = KubernetesEndpoints(self.client, self.config)
        self._start_up = StartUp()
        self._stopping = False
        self._exposition: Callable[[], bytes] | None = None
        self._upkeep: tuple[Upkeep, ...] = (
            Compaction(store, self.config.history_s), EventExpiry(store, self.hub, self.config.event_ttl_s),
            WindowAging(self.hub), self._ledger,
            Identity(self.client, self.config.hostname, self._endpoints.reached_at), self._endpoints,
            *self._maintenance(),
        )
        health = self._health()
        endpoints = (Discovery(), OpenAPI(), health)
        self._metrics = RequestMetrics(self.hub)
        pages = ZPages(OWN_PATHS)
        exact = {
            **paths.exact(*endpoints), "/metrics": self._scrape, "/metrics/slis": health.slis,
            "/statusz": pages.statusz, "/flagz": pages.flagz,
        }
        dispatcher = Dispatcher(self.backend, exact, paths.below(*endpoints))
        self._chain = chain.build(self, chain.LINKS, self._aggregator.around(dispatcher))

    def _maintenance(self) -> tuple[Periodic, ...]:
        """What keeps the objects that must always exist."""
        system = bootstrap.upkeep(self.client, self._reader, self.config)
        if not self.config.authorization:
            return (system,)
        return (
            system, fairness.status_upkeep(self.client, self._reader), flow_bootstrap.upkeep(self.client),
        )

    def _health(self) -> Health:
        checks: dict[str, Callable[[], bool]] = {
            "ping": lambda: True, "log": lambda: True, "etcd": lambda: self.hub.following,
            "etcd-readiness": lambda: self.hub.following, "informer-sync": lambda: self.hub.following,
            **self._start_up.checks(), "shutdown": lambda: not self._stopping,
        }
        return Health(checks, frozenset({"etcd-readiness", "informer-sync", "shutdown"}))

    def _hooks(self) -> dict[tuple[str, str], Hook]:
        """What needs other objects to complete a write."""
        ranges = ServiceRanges(self.config.service_cidr, self._reader)
        claims = PortClaims(self._store, self.hub) if self.config.shares_store else None
        addresses = ServiceAddresses(ranges, self.config.node_ports, self._ledger, claims)
        for resource, listener in ((SERVICES, addresses), (IP_ADDRESSES, self._ledger)):
            cache = self.hub.cache(resource)
            assert cache is not None
            cache.listen(listener)
        return {("", "services"): addresses, ("apiextensions.k8s.io", "customresourcedefinitions"): RuleCheck()}

    @property
    def reader(self) -> Reader:
        return self._reader

    async def start(self) -> None:
        """Load the caches and make what must always exist."""
        if isinstance(self._store, encryption.EncryptedStore):
            await self._store.reseal()
        await self.hub.start()
        self._start_up.done(Step.CACHES)
        await self._custom_resources.start()
        self._start_up.done(Step.CUSTOM_RESOURCES)
        await bootstrap.ensure(self.client, self.config)
        await self._endpoints.reconcile()
        self._start_up.done(Step.OBJECTS)
        if self.config.authorization:
            await asyncio.gather(reconcile(self.client), flow_bootstrap.ensure(self.client))
        self._start_up.done(Step.RULES)
        await self._aggregator.start()
        self._start_up.done(Step.GROUPS)
        for work in self._upkeep:
            work.start()

    async def stop(self) -> None:
        """End watches and background work."""
        self._stopping = True
        self._start_up.undone()
        await self._aggregator.stop()
        await self._custom_resources.stop()
        for work in self._upkeep:
            await work.stop()
        await self.hub.stop()
        await self.admission.close()

    async def handle(self, request: Request) -> Response:
        """Answer one request. Never raises but for cancellation."""
        ctx = RequestContext(request)
        ctx.received_s = effects.monotonic()
        response = await self._chain(ctx)
        self._metrics.note(ctx, response.status)
        return response

    async def _scrape(self, ctx: RequestContext, backend: Backend) -> Response:
        """`/metrics`"""
        if self._exposition is None:
            self._exposition = exposition(self._metrics, self._reader)
        headers = {"content-type": "text/plain; version=0.0.4; charset=utf-8"}
        return Response(200, headers, self._exposition())

    def transport(self, user: UserInfo) -> LoopbackTransport:
        """In-process requests as `user`."""
        return LoopbackTransport(self.handle, user)

    def kind_of(self, group: str, version: str, plural: str) -> Kind | None:
        return self.table.kind(group, version, plural)

    def kinds(self) -> Sequence[Kind]:
        return self.table.kinds()

    async def authenticate(self, ctx: RequestContext) -> UserInfo | None:
        if not self.config.authorization:
            return ITSELF
        return await authn_table.authenticate(self._authenticators, ctx)

    async def authorize(self, attributes: Attributes) -> Verdict:
        if self._authorizers is None:
            return Verdict(Decision.ALLOW)
        return await authz_table.authorize(self._authorizers.now(), attributes)

    def rules_for(self, user: UserInfo, namespace: str) -> KnownRules:
        authorizers = [always.ALLOW] if self._authorizers is None else self._authorizers.now()
        return authz_table.rules_for(authorizers, user, namespace)

    async def admit(self, attributes: AdmissionAttributes) -> None:
        try:
            await self.admission.admit(attributes)
            await self.admission.validate(attributes)
        finally:
            attributes.settle()
