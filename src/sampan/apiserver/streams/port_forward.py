"""port-forward: a client's connections to ports of a pod, carried to the kubelet, which speaks SPDY.

    SPDY client                                        spliced through byte by byte
    WebSocket with SPDY/3.1+portforward.k8s.io         the same bytes, inside binary messages (KEP-4006)
    WebSocket with v4.channel.k8s.io and ports=        two channels a port, data and error, each a SPDY stream
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from sampan.apimachinery.errors import BadRequest
from sampan.apimachinery.http import Duplex, Response
from sampan.apimachinery.object import Object
from sampan.apimachinery.resource import Resource
from sampan.apiserver.authn.headers import listed
from sampan.apiserver.context import RequestContext
from sampan.apiserver.seams import ServerParts
from sampan.apiserver.streams import location, upstream, websocket
from sampan.apiserver.streams.channels import ChannelError, ChannelProtocol
from sampan.apiserver.streams.remote_command import admit_connect, handshake, require_create, spliced
from sampan.apiserver.streams.spdy import SPDYConnection
from sampan.apiserver.streams.spdy_frames import Data, Reset
from sampan.apiserver.streams.splice import first_of
from sampan.apiserver.streams.upstream import Upgraded
from sampan.apiserver.streams.websocket import WebSocket

PROTOCOL: Final = "portforward.k8s.io"
TUNNEL: Final = "SPDY/3.1+portforward.k8s.io"
_CHANNELS: Final = {
    "v4.channel.k8s.io": ChannelProtocol("v4.channel.k8s.io"),
    "v4.base64.channel.k8s.io": ChannelProtocol("v4.base64.channel.k8s.io", base64=True),
}
POD_PORT_FORWARD_OPTIONS = Resource("", "v1", "podportforwardoptions", "PodPortForwardOptions")

log = logging.getLogger(__name__)


async def port_forward(ctx: RequestContext, parts: ServerParts) -> Response:
    """`pods/NAME/portforward`."""
    await require_create(ctx, parts)
    ports = _ports(ctx)
    document = POD_PORT_FORWARD_OPTIONS
    options: Object = {"kind": document.kind, "apiVersion": document.api_version}
    if ports:
        options["ports"] = ports
    await admit_connect(ctx, parts, document, options)
    pod = await location.find_pod(ctx, parts)
    kubelet = await location.kubelet_of(pod, parts)
    target = upstream.Target(kubelet.host, kubelet.port, upstream.kubelet_tls(parts.config))
    path = f"/portForward/{quote(ctx.namespace)}/{quote(ctx.name)}"
    if not websocket.is_upgrade(ctx.request.headers):
        return await spliced(ctx, target, path)
    name = websocket.chosen_protocol(ctx.request.headers, (TUNNEL, *_CHANNELS))
    if name is None or (name != TUNNEL and not ports):
        offered = " ".join(listed(ctx.request.headers, "sec-websocket-protocol"))
        raise BadRequest(
            f"unable to negotiate protocol: client supports [{offered}], server accepts [{TUNNEL}], or "
            "[v4.channel.k8s.io v4.base64.channel.k8s.io] with at least one port"
        )
    answer = websocket.handshake(ctx.request.headers, name)
    backend = await upstream.upgrade(target, "POST", path, handshake((PROTOCOL,)))

    async def run(client: Duplex) -> None:
        if name == TUNNEL:
            await tunnel(WebSocket(client), backend.duplex)
        else:
            await PortTranslation(WebSocket(client), backend, _CHANNELS[name], ports).run()

    return Response(101, answer, upgrade=run)


def _ports(ctx: RequestContext) -> list[int]:
    """The query's ports, repeated or separated by commas. Raises BadRequest."""
    found = [piece for value in ctx.request.query.get("ports", ()) for piece in value.split(",") if piece]
    for piece in found:
        if not piece.isdigit() or not 0 < int(piece) < 65536:
            raise BadRequest(f'query parameter "ports": invalid port {piece!r}')
    return [int(piece) for piece in found]


async def tunnel(client: WebSocket, backend: Duplex) -> None:
    """SPDY bytes inside binary messages on one side, bare on the other."""

    async def to_client() -> None:
        while data := await backend.read():
            await client.send(data)

    async def to_backend() -> None:
        async for message in client.messages():
            if message.data:
                await backend.write(message.data)

    try:
        await first_of(to_client(), to_backend())
    finally:
        await backend.close()
        await client.close()


class PortTranslation:
    """Channels 2n and 2n+1 of a WebSocket are data and errors of port n; each begins with the port's number."""

    def __init__(
        self, client: WebSocket, backend: Upgraded, protocol: ChannelProtocol, ports: Sequence[int]
    ) -> None:
        self._client = client
        self._spdy = SPDYConnection(backend.duplex)
        self._protocol = protocol
        self._ports = ports
        self._channels: dict[int, int] = {}
        self._data_streams: dict[int, int] = {}

    async def run(self) -> None:
        """Until either side goes away."""
        try:
            for number, port in enumerate(self._ports):
                await self._open(number, port)
            await first_of(self._to_client(), self._to_backend())
        except ConnectionError as error:
            log.debug("port forward broken: %s", error)
        finally:
            await self._spdy.close()
            await self._client.close()

    async def _open(self, number: int, port: int) -> None:
        common = {"port": str(port), "requestid": str(number)}
        errors = await self._spdy.open({"streamtype": "error", **common})
        await self._spdy.write(errors, b"", fin=True)
        data = await self._spdy.open({"streamtype": "data", **common})
        self._channels |= {data: 2 * number, errors: 2 * number + 1}
        self._data_streams[2 * number] = data
        for channel in (2 * number, 2 * number + 1):
            await self._send(channel, struct.pack("<H", port))

    async def _to_client(self) -> None:
        open_streams = set(self._data_streams.values())
        async for event in self._spdy.events():
            if isinstance(event, Data):
                channel = self._channels.get(event.stream)
                if channel is not None and event.data:
                    await self._send(channel, event.data)
            if (isinstance(event, Data) and event.fin) or isinstance(event, Reset):
                open_streams.discard(event.stream)
                if not open_streams:
                    return

    async def _to_backend(self) -> None:
        async for message in self._client.messages():
            try:
                channel, data = self._protocol.decode(message)
            except ChannelError as error:
                log.debug("message ignored: %s", error)
                continue
            stream = self._data_streams.get(channel)
            if stream is not None and data:
                await self._spdy.write(stream, data)

    async def _send(self, channel: int, data: bytes) -> None:
        await self._client.send(self._protocol.encode(channel, data), text=self._protocol.base64)
