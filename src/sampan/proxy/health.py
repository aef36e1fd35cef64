"""The proxy's health over HTTP: /healthz (is this node fit for new traffic) and /livez (does the proxy itself work).

Answers have kube-proxy's shape. The proxy is live as long as no change has been waiting for longer than the timeout to
reach the kernel; a node is eligible unless it is being deleted or the cluster autoscaler is about to.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from datetime import datetime
from typing import TYPE_CHECKING

import orjson

from sampan.apimachinery.object import Object, dig, is_being_deleted
from sampan.effects import monotonic, now

if TYPE_CHECKING:
    from aiohttp import web

TIMEOUT_S = 70.0
AUTOSCALER_TAINT = "ToBeDeletedByClusterAutoscaler"


class Health:
    """Told by the proxy when a change arrives and when the kernel has it."""

    def __init__(self) -> None:
        self.eligible = True
        self._updated: datetime | None = None
        self._waiting_since: float | None = None

    def queued(self) -> None:
        if self._waiting_since is None:
            self._waiting_since = monotonic()

    def updated(self) -> None:
        self._updated = now()
        self._waiting_since = None

    def node_changed(self, node: Object | None) -> None:
        taints = dig(node, "spec", "taints", default=[])
        self.eligible = not (node and is_being_deleted(node)) and all(t.get("key") != AUTOSCALER_TAINT for t in taints)

    @property
    def settled(self) -> bool:
        """True while the kernel has every change."""
        return self._updated is not None and self._waiting_since is None

    @property
    def live(self) -> bool:
        if self._updated is None:
            return False
        return self._waiting_since is None or monotonic() - self._waiting_since < TIMEOUT_S

    def document(self, *, with_node: bool) -> tuple[int, Object]:
        """The status code and the body."""
        body: Object = {
            "lastUpdated": _shown(self._updated) if self._updated and not self.live else _shown(now()),
            "currentTime": _shown(now()),
        }
        healthy = self.live
        if with_node:
            body["nodeEligible"] = self.eligible
            healthy = healthy and self.eligible
        return (200 if healthy else 503), body


@contextlib.asynccontextmanager
async def serving(health: Health, address: str, port: int) -> AsyncIterator[None]:
    """Serve /healthz and /livez at this address while the block runs."""
    from aiohttp import web

    def handler(*, with_node: bool) -> object:
        async def handle(_: web.Request) -> web.Response:
            status, body = health.document(with_node=with_node)
            headers = {"X-Content-Type-Options": "nosniff", "Content-Type": "application/json"}
            return web.Response(status=status, body=orjson.dumps(body), headers=headers)
        return handle

    app = web.Application()
    app.add_routes([
        web.get("/healthz", handler(with_node=True)),  # type: ignore[arg-type]
        web.get("/livez", handler(with_node=False)),  # type: ignore[arg-type]
    ])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, address, port).start()
        yield
    finally:
        await runner.cleanup()


def _shown(moment: datetime) -> str:
    """As Go prints a time."""
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f +0000 UTC")
