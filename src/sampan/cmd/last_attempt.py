"""Asks a scheduler what its last attempt to place a pod saw, on the port where it shows its health.

A local cluster's scheduler listens on its first node's address, in that node's network namespace; any other is reached
by its URL. The caller shows the same certificate or token as to the API server, and believes the same authority, or the
one that is named.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote, urlsplit

from sampan.apimachinery.object import Object
from sampan.client.kubeconfig import Credentials, Material
from sampan.cmd.component_server import SCHEDULER_PORT
from sampan.cmd.layout import ClusterLayout
from sampan.scheduler.kube_scheduler import ATTEMPTS

TIMEOUT_S = 3.0
Connect: TypeAlias = Callable[[], socket.socket]


class NoAnswer(Exception):
    """The scheduler cannot be asked, or does not tell."""


@dataclass(frozen=True, slots=True)
class SchedulerPort:
    """Where a scheduler listens, and how to get there."""

    host: str
    connect: Connect
    authority: Path | None = None

    @classmethod
    def of_cluster(cls, cluster: ClusterLayout) -> SchedulerPort:
        from sampan.machines import namespace

        node = cluster.first_node
        return cls(node.address, lambda: namespace.call_in(node.namespace, lambda: _dial(node.address, SCHEDULER_PORT)))

    @classmethod
    def of_url(cls, url: str, authority: Path | None = None) -> SchedulerPort:
        parts = urlsplit(url if "//" in url else f"//{url}")
        host, port = parts.hostname or "127.0.0.1", parts.port or SCHEDULER_PORT
        return cls(host, lambda: _dial(host, port), authority)

    async def last_attempt(self, credentials: Credentials, namespace: str, name: str) -> Object | None:
        """None if the scheduler knows of no failed attempt. Raises NoAnswer."""
        try:
            return await asyncio.to_thread(self._ask, credentials, f"{namespace}/{name}")
        except (OSError, ssl.SSLError, http.client.HTTPException, ValueError) as error:
            raise NoAnswer(f"the scheduler at {self.host} cannot be asked: {error}") from None

    def _ask(self, credentials: Credentials, key: str) -> Object | None:
        if self.authority is not None:
            credentials = replace(credentials, authority=Material(path=self.authority), _context=None)
        with credentials.ssl_context().wrap_socket(self.connect(), server_hostname=self.host) as secured:
            connection = http.client.HTTPConnection(self.host)
            connection.sock = secured
            token = credentials.token()
            headers = {"authorization": f"Bearer {token}"} if token else {}
            connection.request("GET", ATTEMPTS + quote(key), headers=headers)
            answer = connection.getresponse()
            body = answer.read()
        if answer.status == http.HTTPStatus.NOT_FOUND:
            return None
        if answer.status != http.HTTPStatus.OK:
            raise NoAnswer(f"the scheduler at {self.host} does not tell: {body.decode(errors='replace').strip()}")
        return json.loads(body)  # type: ignore[no-any-return]


def _dial(host: str, port: int) -> socket.socket:
    return socket.create_connection((host, port), timeout=TIMEOUT_S)
