"""Answers a load balancer's question whether this node has endpoints of a Service (`spec.healthCheckNodePort`).

A LoadBalancer Service with `externalTrafficPolicy: Local` has such a port on every node: 200 where there is an
endpoint, 503 where there is none, and a body in kube-proxy's shape. `ports_of` decides which ports are open;
`BalancerChecks` opens them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import orjson

from sampan.apimachinery.object import Object, dig, key_of, split_key

if TYPE_CHECKING:
    from aiohttp import web

log = logging.getLogger(__name__)


def check_port(service: Object) -> int:
    """The port to answer on, 0 for Services that have none."""
    spec = service.get("spec") or {}
    if spec.get("type") != "LoadBalancer" or spec.get("externalTrafficPolicy") != "Local":
        return 0
    return int(spec.get("healthCheckNodePort") or 0)


def ports_of(services: Iterable[Object]) -> dict[int, str]:
    """Ports to open, with the Service (`namespace/name`) that each is about."""
    return {port: key_of(service) for service in services if (port := check_port(service))}


def local_endpoints(slices: Iterable[Object], node: str) -> int:
    """How many distinct addresses of ready endpoints are on this node."""
    return len({
        entry["addresses"][0]
        for piece in slices for entry in piece.get("endpoints") or []
        if entry.get("nodeName") == node and dig(entry, "conditions", "ready", default=True) is not False
    })


class BalancerChecks:
    """The open ports. `count` gives a Service's endpoints on this node, `live` whether the proxy works."""

    def __init__(self, address: str, count: Callable[[str], int], live: Callable[[], bool]) -> None:
        self._address = address
        self._count = count
        self._live = live
        self._open: dict[int, tuple[str, web.AppRunner]] = {}

    async def update(self, wanted: dict[int, str]) -> None:
        """Open and close ports. One that cannot be opened is logged and tried again with the next change."""
        for port, (key, _) in list(self._open.items()):
            if wanted.get(port) != key:
                await self._open.pop(port)[1].cleanup()
        for port, key in wanted.items():
            if port not in self._open:
                await self._start(port, key)

    async def close(self) -> None:
        await self.update({})

    def document(self, key: str) -> tuple[int, Object]:
        """The status code and the body for a Service."""
        namespace, name = split_key(key)
        count, live = self._count(key), self._live()
        body = {
            "service": {"namespace": namespace, "name": name}, "localEndpoints": count, "serviceProxyHealthy": live,
        }
        return (200 if count and live else 503), body

    async def _start(self, port: int, key: str) -> None:
        from aiohttp import web

        async def handle(_: web.Request) -> web.Response:
            status, body = self.document(key)
            headers = {
                "Content-Type": "application/json", "X-Content-Type-Options": "nosniff",
                "X-Load-Balancing-Endpoint-Weight": str(body["localEndpoints"]),
            }
            return web.Response(status=status, body=orjson.dumps(body), headers=headers)

        app = web.Application()
        app.add_routes([web.get("/{path:.*}", handle)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._address, port).start()
        except OSError as error:
            log.error("service %s: health check port %d cannot be opened: %s", key, port, error)
            await runner.cleanup()
            return
        self._open[port] = (key, runner)
