"""The cluster's name server: informers keep the zone, UDP and TCP sockets ask it.

It opens its sockets only once it knows all Services, so it never denies a name that exists; until then a client's
query is refused by the kernel at once and tried again. It answers from memory alone: while the API server is away,
names stay.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from sampan.api.resources import ENDPOINT_SLICES, NAMESPACES, SERVICES
from sampan.apimachinery.object import Object, dig, key_of, labels_of, name_of, namespace_of
from sampan.client.client import Client
from sampan.client.informer import Informer, InformerFactory
from sampan.dns.answer import Policy
from sampan.dns.forward import Address
from sampan.dns.records import SERVICE_LABEL
from sampan.dns.responder import Pending, Responder, start_pending
from sampan.dns.zone import Zone

log = logging.getLogger(__name__)

TCP_IDLE_S = 10.0
MAX_TCP_CONNECTIONS = 256
SERVICE_INDEX = "service"


@dataclass(frozen=True, slots=True)
class DNSConfig:
    """Where to listen, for which domain. `resolvers` (address, port) get what lies outside; empty: nothing does.

    `sockets`, when given, are served instead of opening any: bound UDP and listening TCP ones that somebody keeps
    open, so that queries wait in them while a killed server is replaced. They are used through duplicates and stay
    open. `health_port` serves /health and /ready over HTTP; 0 leaves it out. Give `informers` where components share
    them.
    """

    addresses: Sequence[str] = ("127.0.0.1",)
    port: int = 53
    domain: str = "cluster.local"
    ttl_s: int = 5
    resolvers: Sequence[Address] = ()
    health_port: int = 0
    sockets: Sequence[socket.socket] = ()
    informers: InformerFactory | None = field(default=None, compare=False)


async def run(client: Client, config: DNSConfig) -> None:
    """Serve the cluster's names until cancelled."""
    await DNSServer(client, config).run()


class DNSServer:
    """One name server. `ready` is set while it answers; `port` is the one it listens on."""

    def __init__(self, client: Client, config: DNSConfig) -> None:
        self.config = config
        self.zone = Zone(config.domain)
        self.responder = Responder(self.zone, Policy(config.ttl_s, bool(config.resolvers)), config.resolvers)
        self.ready = asyncio.Event()
        self.port = config.port
        self._factory = config.informers or InformerFactory(client)
        self._services = self._factory.informer(SERVICES)
        self._slices = self._factory.informer(ENDPOINT_SLICES)
        self._namespaces = self._factory.informer(NAMESPACES)
        self._tasks: set[asyncio.Task[bytes]] = set()
        self._connections = 0

    async def run(self) -> None:
        """Synchronise, listen, answer; everything is closed again in the end."""
        handlers = self._watch()
        try:
            if self.config.informers is None:
                self._factory.start()
            for informer in (self._services, self._slices, self._namespaces):
                await informer.wait_synced()
            async with contextlib.AsyncExitStack() as stack:
                for ready in self.config.sockets:
                    await stack.enter_async_context(self._serve_on(ready.dup()))
                for address in self.config.addresses if not self.config.sockets else ():
                    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                        await stack.enter_async_context(self._serve_on(_open(address, self.port, kind)))
                if self.config.health_port:
                    await stack.enter_async_context(self._serve_health())
                self.ready.set()
                log.info("cluster DNS: %s port %d", ", ".join(self.config.addresses), self.port)
                await asyncio.Event().wait()
        finally:
            self.ready.clear()
            for informer, handler in handlers:
                informer.remove_handler(handler)
            if self.config.informers is None:
                await self._factory.stop()

    def _watch(self) -> list[tuple[Informer, Any]]:
        """From changes of objects to changes of the zone."""
        self._slices.lister.add_index(SERVICE_INDEX, _service_keys)

        def service(obj: Object) -> None:
            self.zone.set_service(obj, self._slices.lister.by_index(SERVICE_INDEX, key_of(obj)))

        def piece(obj: Object) -> None:
            for key in _service_keys(obj):
                found = self._services.lister.get_by_key(key)
                # The slices of a Service with an address change often and matter only to the proxy.
                if found and dig(found, "spec", "clusterIP") == "None":
                    service(found)

        def moved_piece(old: Object, new: Object) -> None:
            if _service_keys(old) != _service_keys(new):
                piece(old)
            piece(new)

        return [
            (self._services, self._services.add_handler(
                service, lambda _, new: service(new), lambda old: self.zone.remove_service(key_of(old)))),
            (self._slices, self._slices.add_handler(piece, moved_piece, piece)),
            (self._namespaces, self._namespaces.add_handler(
                lambda new: self.zone.add_namespace(name_of(new)), None,
                lambda old: self.zone.remove_namespace(name_of(old)))),
        ]

    @contextlib.asynccontextmanager
    async def _serve_on(self, opened: socket.socket) -> AsyncIterator[None]:
        """Answer on one socket, TCP or UDP, and close it in the end."""
        opened.setblocking(False)
        self.port = opened.getsockname()[1]
        if opened.type == socket.SOCK_STREAM:
            server = await asyncio.start_server(self._serve_tcp, sock=opened)
            try:
                yield
            finally:
                server.close()
            return
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _UDP(self.responder, self._tasks), sock=opened)
        try:
            yield
        finally:
            transport.close()

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Queries one after the other on one connection, each after its length in two bytes (RFC 7766)."""
        self._connections += 1
        try:
            while self._connections <= MAX_TCP_CONNECTIONS:
                async with asyncio.timeout(TCP_IDLE_S):
                    size_bytes = int.from_bytes(await reader.readexactly(2), "big")
                    wire = await reader.readexactly(size_bytes)
                reply = self.responder.immediate(wire, tcp=True)
                if isinstance(reply, Pending):
                    reply = await reply.resolve()
                if reply is None:
                    return
                writer.write(len(reply).to_bytes(2, "big") + reply)
                await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            pass  # the client is done, or was cut off: both are its business
        finally:
            self._connections -= 1
            writer.close()

    @contextlib.asynccontextmanager
    async def _serve_health(self) -> AsyncIterator[None]:
        from aiohttp import web

        async def health(_: web.Request) -> web.Response:
            return web.Response(text="OK")

        async def ready(_: web.Request) -> web.Response:
            if self.ready.is_set():
                return web.Response(text="OK")
            return web.Response(text="kubernetes", status=503)  # the plugin that is not ready, as CoreDNS says it

        app = web.Application()
        app.add_routes([web.get("/health", health), web.get("/ready", ready)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, self.config.addresses[0], self.config.health_port).start()
            yield
        finally:
            await runner.cleanup()


class _UDP(asyncio.DatagramProtocol):
    """A datagram in, a datagram out."""

    def __init__(self, responder: Responder, tasks: set[asyncio.Task[bytes]]) -> None:
        self._responder = responder
        self._tasks = tasks
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # asyncio's own is no subclass

    def datagram_received(self, data: bytes, addr: Address) -> None:
        assert self._transport is not None
        reply = self._responder.immediate(data, tcp=False)
        if isinstance(reply, Pending):
            task = start_pending(reply, self._tasks)
            task.add_done_callback(lambda done: self._send_result(done, addr))
        elif reply is not None:
            self._transport.sendto(reply, addr)

    def error_received(self, exc: Exception) -> None:
        log.debug("a client was gone before its answer: %s", exc)

    def _send_result(self, done: asyncio.Task[bytes], addr: Address) -> None:
        assert self._transport is not None
        if not done.cancelled() and done.exception() is None and not self._transport.is_closing():
            self._transport.sendto(done.result(), addr)


def _open(address: str, port: int, kind: socket.SocketKind) -> socket.socket:
    """A bound socket; a TCP one listens."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    if kind == socket.SOCK_STREAM:
        return socket.create_server((address, port), family=family)
    opened = socket.socket(family, kind)
    try:
        opened.bind((address, port))
    except OSError:
        opened.close()
        raise
    return opened


def _service_keys(piece: Object) -> list[str]:
    """The Service that a slice belongs to, as `namespace/name`."""
    name = labels_of(piece).get(SERVICE_LABEL)
    return [f"{namespace_of(piece)}/{name}"] if name else []
