"""Groups that other servers answer, beside those of this one.

One task follows the APIServices: it registers this server's own versions, checks the servers behind the others every
`INTERVAL_S` and whenever an APIService, its Service or the endpoints of that change, keeps their Available condition,
and tells the table of kinds what they serve, so that discovery and OpenAPI show it. While one does not answer they
are checked sooner, from `FIRST_S` on in steps that double: a server that is only starting is found at once. Requests
for a version of theirs are passed on, once the ordinary chain has authenticated, authorised and recorded them. A
server that is broken costs its own clients a 503 and nobody else anything: checks run side by side, each with its own
deadline, and no request waits for one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Final
from urllib.parse import quote, urlencode

from sampan.api.resources import API_SERVICES, ENDPOINT_SLICES, SERVICES
from sampan.apimachinery.errors import APIError, BadRequest, ServiceUnavailable
from sampan.apimachinery.http import Duplex, Response
from sampan.apimachinery.object import Object, dig, is_being_deleted, name_of
from sampan.apiserver.aggregation import local, trust
from sampan.apiserver.aggregation.availability import SERVICE_NAME, Availability, check
from sampan.apiserver.aggregation.backend_server import HOP_BY_HOP, headers_for, target
from sampan.apiserver.backend import Backend
from sampan.apiserver.context import RequestContext
from sampan.apiserver.registry.entry import Entry
from sampan.apiserver.registry.kind_table import RemoteVersion
from sampan.apiserver.registry.watcher import Change
from sampan.apiserver.seams import Next
from sampan.apiserver.served import group_versions
from sampan.apiserver.streams import upstream
from sampan.apiserver.streams.splice import splice
from sampan.client.client import Client

log = logging.getLogger(__name__)
INTERVAL_S: Final = 30.0
FIRST_S: Final = 0.1
_OPENAPI: Final = "/openapi/v3"


class Aggregator:
    """Of one server. `start` when the caches are loaded, `stop` before they end."""

    def __init__(self, backend: Backend, client: Client) -> None:
        self._backend = backend
        self._client = client
        self._registers = backend.config.authorization  # a bare server, as tests have it, stays as it was made
        self._built_in = {(one.group, one.version) for one in group_versions(backend.table)}
        self._specs: dict[tuple[str, str], Object] = {}
        self._known: dict[tuple[str, str], Availability] = {}
        self._failures: dict[tuple[str, str], int] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._trust = trust.upkeep(client, backend.config)

    async def start(self) -> None:
        for resource, listener in (
            (API_SERVICES, self), (SERVICES, _Behind(self, lambda entry: entry.name)),
            (ENDPOINT_SLICES, _Behind(self, lambda entry: entry.labels.get(SERVICE_NAME, ""))),
        ):
            cache = self._backend.hub.cache(resource)
            assert cache is not None
            cache.listen(listener)
        await asyncio.gather(
            trust.ensure(self._client, self._backend.config),
            self._register(self._backend.parts.reader.list(API_SERVICES)),
        )
        self._task = asyncio.create_task(self._run(), name="aggregation")
        self._trust.start()

    async def stop(self) -> None:
        await self._trust.stop()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def reset(self, entries: Iterable[Entry]) -> None:
        """See `watch_cache.Listener`."""
        self._changed.set()

    def changed(self, change: Change) -> None:
        self._changed.set()

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            try:
                await self.step()
            except Exception:
                log.exception("API aggregation failed")
            try:
                async with asyncio.timeout(self._interval_s()):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _interval_s(self) -> float:
        """Until the next look, when nothing changes: what failed last is looked at first."""
        return min([INTERVAL_S, *(FIRST_S * 2.0 ** min(tries, 16) for tries in self._failures.values())])

    def wake(self, namespace: str, service: str) -> None:
        """Something about this Service is different."""
        for spec in self._specs.values():
            if spec["service"]["name"] == service and spec["service"]["namespace"] == namespace:
                self._changed.set()

    async def step(self) -> None:
        """Bring everything up to date with the APIServices that there are."""
        services = [one for one in self._backend.parts.reader.list(API_SERVICES) if not is_being_deleted(one)]
        await self._register(services)
        remote = {(one["spec"].get("group", ""), one["spec"]["version"]): one
                  for one in services if one["spec"].get("service")}
        self._specs = {where: one["spec"] for where, one in remote.items()}
        self._known = {where: known for where, known in self._known.items() if where in remote}
        self._failures = {where: tries for where, tries in self._failures.items() if where in remote}
        self._publish()
        await asyncio.gather(*(self._check(where, one) for where, one in remote.items()))

    async def _register(self, services: Iterable[Object]) -> None:
        """See to the APIServices of what this server answers itself."""
        if self._registers:
            served = {(one.group, one.version) for one in group_versions(self._backend.table)}
            await local.register(self._client, services, self._built_in, served)

    async def _check(self, where: tuple[str, str], service: Object) -> None:
        """What was found counts before the status says so."""
        found = await check(service["spec"], self._backend.parts.reader, self._backend.config)
        self._known[where] = found
        if found.available:
            self._failures.pop(where, None)
        else:
            self._failures[where] = self._failures.get(where, 0) + 1
        self._publish()
        conditions = dig(service, "status", "conditions", default=())
        before = next((one for one in conditions if one.get("type") == "Available"), None)
        condition = found.condition(before)
        if condition != before:
            try:
                patch = {"status": {"conditions": [condition]}}
                await self._client.patch(API_SERVICES, name_of(service), patch, subresource="status")
            except APIError as error:
                log.warning("APIService %s: %s", name_of(service), error)

    def _publish(self) -> None:
        """Tell discovery, if anything is different."""
        table = self._backend.table
        shown = {}
        for (group, version) in self._specs:
            known = self._known.get((group, version))
            fresh = known is not None and known.available
            shown[group, version] = RemoteVersion(
                group, version, fresh, known.resources if known and fresh else [], known.openapi if known else "",
            )
        if shown != table.remote:
            table.set_remote(shown)

    def around(self, dispatcher: Next) -> Next:
        """The last step of the chain: requests of other servers' versions go there, the rest to `dispatcher`."""

        def step(ctx: RequestContext) -> Awaitable[Response]:
            if self._specs:
                spec = self._spec_of(ctx)
                if spec is not None:
                    return self._proxy(ctx, spec)
            return dispatcher(ctx)

        return step

    def _spec_of(self, ctx: RequestContext) -> Object | None:
        if ctx.is_resource:
            return self._specs.get((ctx.group, ctx.version))
        parts = ctx.request.path.removeprefix(_OPENAPI).strip("/").split("/")
        return self._specs.get((parts[1], parts[2])) if len(parts) == 3 and parts[0] == "apis" else None

    async def _proxy(self, ctx: RequestContext, spec: Object) -> Response:
        known = self._known.get((spec.get("group", ""), spec["version"]))
        if known is None or not known.available:
            raise ServiceUnavailable("service unavailable")
        request, user = ctx.request, ctx.user
        if not {".", ".."}.isdisjoint(request.path.split("/")):
            raise BadRequest("the path has dot segments")  # the server behind might leave what was authorised here
        assert user is not None, "the chain has authenticated"
        where = target(spec, self._backend.parts.reader, self._backend.config)
        headers = headers_for(user, dict(request.headers), request.remote)
        path = quote(request.path, safe="/:@!$&'()*+,;=~-._")
        if request.query:
            path += "?" + urlencode(request.query, doseq=True)
        if request.headers.get("upgrade") and "upgrade" in request.headers.get("connection", "").lower():
            upgrade = [("Connection", "Upgrade"), ("Upgrade", request.headers["upgrade"]), *headers.items()]
            backend = await upstream.upgrade(where, request.method, path, upgrade)

            async def run(client: Duplex) -> None:
                await splice(client, backend.duplex)

            return Response(101, dict(backend.headers), upgrade=run)
        try:
            body = await upstream.request(where, request.method, path, headers, request.body)
        except APIError as error:
            raise ServiceUnavailable(f"error trying to reach service: {error}") from None
        status = body.answer.status
        if 300 <= status < 400 and status != 304:
            await body.aclose()
            raise APIError("the backend attempted to redirect this request, which is not permitted", code=502)
        answered = {
            name.lower(): value for name, value in body.answer.headers.items() if name.lower() not in HOP_BY_HOP
        }
        return Response(status, answered, stream=body)


class _Behind:
    """Tells the aggregator which Service a changed object is about."""

    def __init__(self, aggregator: Aggregator, service_of: Callable[[Entry], str]) -> None:
        self._aggregator = aggregator
        self._service_of = service_of

    def reset(self, entries: Iterable[Entry]) -> None:
        self._aggregator.reset(entries)

    def changed(self, change: Change) -> None:
        entry = change.new or change.old
        assert entry is not None
        self._aggregator.wake(entry.namespace, self._service_of(entry))
