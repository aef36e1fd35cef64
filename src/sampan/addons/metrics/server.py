"""Asks every node's kubelet what is used, and answers for metrics.k8s.io behind the API server's aggregation.

All nodes are asked every `interval_s`. In a small cluster a new pod's figures need not wait that long: as soon as an
unmeasured pod changes, rounds follow each other in ½, 1, 2… seconds until everything that runs has a rate.

A scrape goes through the API server's node proxy, so no credentials for kubelets are needed here. Only the API server
may ask: it shows its front proxy certificate, and has authorised whoever it asks for.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

import orjson
from aiohttp import web

from sampan import effects
from sampan.addons.metrics import documents
from sampan.addons.metrics.samples import Window, parse
from sampan.api.resources import NODES, PODS, SELF_SUBJECT_ACCESS_REVIEWS
from sampan.apimachinery import selectors
from sampan.apimachinery.errors import APIError, BadRequest, NotFound
from sampan.apimachinery.object import Object, labels_of, name_of, namespace_of
from sampan.apimachinery.resource import Resource
from sampan.apimachinery.selector_grammar import SelectorError
from sampan.client.client import Client
from sampan.client.informer import InformerFactory

log = logging.getLogger(__name__)

RELOAD_S = 3600.0
PERMISSION_S = 0.5
AT_ONCE = 8
SMALL_NODES = 8
_ROOT = f"/apis/{documents.API_VERSION}"

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.Response]]


@dataclass(frozen=True, slots=True)
class MetricsConfig:
    """Where it serves, with what, and to whom (the CA of front proxies). A rate needs two scrapes."""

    address: str
    port: int
    certificate: str
    key: str
    front_proxy_ca: str
    interval_s: float = 15.0
    first_interval_s: float = 0.5
    """Between the first rounds, while something has no rate yet; doubled from round to round."""


async def run(client: Client, config: MetricsConfig) -> None:
    """Scrape and serve until cancelled."""
    server = MetricsServer(client, config)
    async with asyncio.TaskGroup() as group:
        group.create_task(server.scrape(), name="scrape")
        group.create_task(server.serve(), name="serve")


class MetricsServer:
    """`scrape` and `serve` run until cancelled."""

    def __init__(self, client: Client, config: MetricsConfig) -> None:
        self._client = client
        self._config = config
        self._window = Window()
        self._factory = InformerFactory(client)
        self._nodes = self._factory.informer(NODES, metadata_only=True)
        self._pods = self._factory.informer(PODS, metadata_only=True)
        self._pods.add_handler(self._stir, lambda _, pod: self._stir(pod))
        self._stirred = asyncio.Event()
        self._is_small = True
        self.failures = 0

    def _stir(self, pod: Object) -> None:
        if self._is_small and not self._window.pod(namespace_of(pod), name_of(pod)):
            self._stirred.set()

    async def scrape(self) -> None:
        await self.permitted()
        async with self._factory:
            await self._nodes.wait_synced()
            await self._pods.wait_synced()
            await self.rounds()

    async def rounds(self) -> None:
        """Ask again and again, soon while something lacks a rate, else when it is due."""
        pace_s = self._config.first_interval_s
        while True:
            self._stirred.clear()
            if await self._round() and await self._quiet():
                pace_s = self._config.first_interval_s
            else:
                await asyncio.sleep(pace_s)
                pace_s = min(2 * pace_s, self._config.interval_s)

    async def _round(self) -> bool:
        """Ask every node once. Whether everything that runs has a rate; a large cluster's nodes are enough."""
        names = {name_of(node) for node in self._nodes.lister.list()}
        self._window.keep(names)
        slots = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(*(self._scrape(name, slots) for name in sorted(names)))
        self._is_small = len(names) <= SMALL_NODES
        if not self._is_small:
            return all(self._window.node(name) for name in names)
        return bool(names) and all(self._window.is_complete(name) for name in names)

    async def _quiet(self) -> bool:
        """Wait for the next round's time. False as soon as a pod without figures changes."""
        try:
            async with asyncio.timeout(self._config.interval_s):
                await self._stirred.wait()
        except TimeoutError:
            return True
        return False

    async def permitted(self) -> None:
        """Wait until the cluster lets it read: on a new one its role comes a moment after it."""
        missing = [NODES, PODS]
        while missing:
            if await self._may_list(missing[0]):
                missing.pop(0)
            else:
                await asyncio.sleep(PERMISSION_S)

    async def _may_list(self, resource: Resource) -> bool:
        asked = {"group": resource.group, "resource": resource.plural, "verb": "list"}
        kind = SELF_SUBJECT_ACCESS_REVIEWS
        review = {"kind": kind.kind, "apiVersion": kind.api_version, "spec": {"resourceAttributes": asked}}
        try:
            return bool((await self._client.create(kind, review))["status"]["allowed"])
        except (APIError, OSError) as error:
            log.info("may it list %s? %s", resource.plural, error)
            return False

    async def _scrape(self, node: str, slots: asyncio.Semaphore) -> None:
        async with slots:
            try:
                answer = await self._client.raw("GET", f"/api/v1/nodes/{node}/proxy/metrics/resource")
                body = answer.body
                if answer.stream is not None:
                    body = b"".join([chunk async for chunk in answer.stream])
                self._window.add(node, parse(body.decode(), effects.now().timestamp()))
            except (APIError, ValueError, OSError) as error:
                self.failures += 1
                log.warning("node %s was not measured: %s", node, error)

    async def serve(self) -> None:
        config = self._config
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(config.certificate, config.key)
        context.load_verify_locations(config.front_proxy_ca)
        context.verify_mode = ssl.CERT_REQUIRED
        runner = web.AppRunner(self.app(), access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, config.address, config.port, ssl_context=context, reuse_address=True).start()
            while True:
                await asyncio.sleep(RELOAD_S)
                context.load_cert_chain(config.certificate, config.key)  # it may have been renewed
        finally:
            await runner.cleanup()

    def app(self) -> web.Application:
        app = web.Application()
        for path, document in (
            ("/apis", documents.API_GROUPS), (f"/apis/{documents.GROUP}", documents.API_GROUP),
            (_ROOT, documents.RESOURCES),
        ):
            app.router.add_get(path, _constant(document))
        app.router.add_get(f"{_ROOT}/nodes", self._answer(self._list_nodes))
        app.router.add_get(f"{_ROOT}/nodes/{{name}}", self._answer(self._get_node))
        app.router.add_get(f"{_ROOT}/pods", self._answer(self._list_pods))
        app.router.add_get(f"{_ROOT}/namespaces/{{namespace}}/pods", self._answer(self._list_pods))
        app.router.add_get(f"{_ROOT}/namespaces/{{namespace}}/pods/{{name}}", self._answer(self._get_pod))
        return app

    def _answer(self, find: Callable[[web.Request], Object]) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            try:
                return _json(find(request))
            except APIError as error:
                return _json(error.to_status(), error.status_code)

        return handle

    def _list_nodes(self, request: web.Request) -> Object:
        found = []
        for node in _selected(self._nodes.lister.list(), request):
            used = self._window.node(name_of(node))
            if used is not None:
                found.append(documents.node_metrics(node, used))
        return documents.listed("NodeMetrics", found)

    def _get_node(self, request: web.Request) -> Object:
        name = request.match_info["name"]
        node, used = self._nodes.lister.get(name), self._window.node(name)
        if node is None or used is None:
            raise NotFound(f'nodemetrics.metrics.k8s.io "{name}" not found')
        return documents.node_metrics(node, used)

    def _list_pods(self, request: web.Request) -> Object:
        namespace = request.match_info.get("namespace", "")
        measured = self._window.pods()
        found = []
        for pod in _selected(self._pods.lister.list(namespace or None), request):
            containers = measured.get((namespace_of(pod), name_of(pod)))
            if containers:
                found.append(documents.pod_metrics(pod, containers))
        return documents.listed("PodMetrics", found)

    def _get_pod(self, request: web.Request) -> Object:
        namespace, name = request.match_info["namespace"], request.match_info["name"]
        pod, containers = self._pods.lister.get(name, namespace), self._window.pod(namespace, name)
        if pod is None or not containers:
            raise NotFound(f'podmetrics.metrics.k8s.io "{namespace}/{name}" not found')
        return documents.pod_metrics(pod, containers)


def _selected(objects: list[Object], request: web.Request) -> list[Object]:
    """By label and by name, in the order of names. Raises BadRequest for a selector that is none."""
    try:
        chosen = selectors.parse(request.query.get("labelSelector", ""))
        fields = selectors.parse_fields(request.query.get("fieldSelector", ""))
    except SelectorError as error:
        raise BadRequest(str(error)) from error
    found = [
        one for one in objects if chosen.matches(labels_of(one)) and fields.matches({
            "metadata.name": name_of(one), "metadata.namespace": namespace_of(one),
        })
    ]
    return sorted(found, key=lambda one: (namespace_of(one), name_of(one)))


def _constant(document: Object) -> Handler:
    async def handle(_: web.Request) -> web.Response:
        return _json(document)

    return handle


def _json(document: Object, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(document), content_type="application/json")
