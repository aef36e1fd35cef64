"""exec and attach: a client's streams, WebSocket or SPDY, carried to the kubelet, which speaks SPDY.

A SPDY client is spliced through byte by byte once the kubelet has agreed. A WebSocket client is translated: each
channel is a SPDY stream, the end of stdin a half-closed stream, and the command's exit status the content of the
error stream. Refusals come before the upgrade, as Status. Whichever side goes away first, the other is closed.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode

from sampan.apimachinery.errors import BadRequest
from sampan.apimachinery.http import Duplex, Response
from sampan.apimachinery.object import Object
from sampan.apimachinery.resource import Resource
from sampan.apiserver.authn.headers import listed
from sampan.apiserver.authz.refusal import forbidden
from sampan.apiserver.context import RequestContext
from sampan.apiserver.seams import AdmissionAttributes, Attributes, ServerParts
from sampan.apiserver.streams import location, upstream, websocket
from sampan.apiserver.streams.channels import (
    CLOSE,
    ERROR,
    NAMES,
    PROTOCOLS,
    STDERR,
    STDOUT,
    ChannelError,
    ChannelProtocol,
)
from sampan.apiserver.streams.spdy import SPDYConnection
from sampan.apiserver.streams.spdy_frames import Data, Reset
from sampan.apiserver.streams.splice import first_of, splice
from sampan.apiserver.streams.upstream import Upgraded
from sampan.apiserver.streams.websocket import WebSocket

SPDY: Final = "SPDY/3.1"
PROTOCOL_HEADER: Final = "X-Stream-Protocol-Version"
TO_KUBELET: Final = "v4.channel.k8s.io"
POD_EXEC_OPTIONS = Resource("", "v1", "podexecoptions", "PodExecOptions")
POD_ATTACH_OPTIONS = Resource("", "v1", "podattachoptions", "PodAttachOptions")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Streams:
    """Which streams a command has. `options` is the document that admission sees."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool
    options: Object

    @classmethod
    def of(cls, ctx: RequestContext, document: Resource) -> Streams:
        """From the query. Raises BadRequest for a value that is no boolean."""
        flags = {name: _boolean(ctx, name) for name in ("stdin", "stdout", "stderr", "tty")}
        options: Object = {"kind": document.kind, "apiVersion": document.api_version}
        if container := ctx.request.param("container"):
            options["container"] = container
        options |= {name: True for name, value in flags.items() if value}
        if document is POD_EXEC_OPTIONS:
            options["command"] = ctx.request.query.get("command", [])
        return cls(**flags, options=options)

    @property
    def names(self) -> list[str]:
        """The SPDY streams to open, in the order in which every client opens them."""
        wanted = (("error", True), ("stdin", self.stdin), ("stdout", self.stdout),
                  ("stderr", self.stderr and not self.tty), ("resize", self.tty))
        return [name for name, present in wanted if present]

    def query(self, command: Sequence[str] = ()) -> str:
        """The kubelet's names for them."""
        pairs = [("command", word) for word in command]
        flags = (("input", self.stdin), ("output", self.stdout), ("error", self.stderr and not self.tty),
                 ("tty", self.tty))
        return urlencode(pairs + [(name, "1") for name, present in flags if present])


async def exec_(ctx: RequestContext, parts: ServerParts) -> Response:
    """`pods/NAME/exec`: run a command in a container."""
    command = ctx.request.query.get("command", [])
    return await _connect(ctx, parts, "exec", POD_EXEC_OPTIONS, command)


async def attach(ctx: RequestContext, parts: ServerParts) -> Response:
    """`pods/NAME/attach`: the streams of a container's first process."""
    return await _connect(ctx, parts, "attach", POD_ATTACH_OPTIONS, ())


async def _connect(
    ctx: RequestContext, parts: ServerParts, verb: str, document: Resource, command: Sequence[str]
) -> Response:
    await require_create(ctx, parts)
    streams = Streams.of(ctx, document)
    await admit_connect(ctx, parts, document, streams.options)
    pod = await location.find_pod(ctx, parts)
    container = location.choose_container(pod, ctx.request.param("container"))
    if verb == "exec" and not command:
        raise BadRequest("you must specify at least one command for the container")
    if not (streams.stdin or streams.stdout or streams.stderr):
        raise BadRequest("you must specify at least 1 of stdin, stdout, stderr")
    kubelet = await location.kubelet_of(pod, parts)
    path = f"/{verb}/{quote(ctx.namespace)}/{quote(ctx.name)}/{quote(container)}?{streams.query(command)}"
    target = upstream.Target(kubelet.host, kubelet.port, upstream.kubelet_tls(parts.config))
    if websocket.is_upgrade(ctx.request.headers):
        return await _translated(ctx, target, path, streams)
    return await spliced(ctx, target, path)


async def require_create(ctx: RequestContext, parts: ServerParts) -> None:
    """A WebSocket has to be a GET, but running a command is no reading: whoever does it must have `create`.

    Without this check, the right to get pods/exec, which roles for viewers often carry, would be the right to run
    anything. Raises Forbidden.
    """
    if ctx.verb == "create" or not parts.config.authorization:
        return
    assert ctx.user is not None
    attributes = Attributes(
        ctx.user, "create", group=ctx.group, version=ctx.version, resource=ctx.resource, subresource=ctx.subresource,
        namespace=ctx.namespace, name=ctx.name,
    )
    verdict = await parts.authorize(attributes)
    if not verdict.allowed:
        raise forbidden(attributes, verdict.reason)


async def admit_connect(ctx: RequestContext, parts: ServerParts, document: Resource, options: Object) -> None:
    """Ask admission whether this connection may be made."""
    kind = parts.kind_of(ctx.group, ctx.version, ctx.resource)
    if kind is not None and ctx.user is not None:
        await parts.admit(AdmissionAttributes(
            "CONNECT", kind, document, ctx.name, ctx.namespace, ctx.user, options, subresource=ctx.subresource,
            context=ctx,
        ))


async def spliced(ctx: RequestContext, target: upstream.Target, path: str) -> Response:
    """A SPDY client: the kubelet answers its handshake, then bytes pass through."""
    headers = ctx.request.headers
    if "upgrade" not in headers.get("connection", "").lower() or headers.get("upgrade", "").upper() != SPDY:
        raise BadRequest("Upgrade request required")
    offered = listed(headers, PROTOCOL_HEADER.lower())
    backend = await upstream.upgrade(target, "POST", path, handshake(offered))
    answer = {"Connection": "Upgrade", "Upgrade": backend.headers.get("Upgrade", SPDY)}
    agreed = backend.headers.get(PROTOCOL_HEADER)
    if agreed:
        answer[PROTOCOL_HEADER] = agreed

    async def run(client: Duplex) -> None:
        await splice(client, backend.duplex)

    return Response(101, answer, upgrade=run)


def handshake(protocols: Sequence[str]) -> list[tuple[str, str]]:
    """The headers of our own SPDY upgrade."""
    return [
        ("Connection", "Upgrade"), ("Upgrade", SPDY), ("Content-Length", "0"), ("User-Agent", "kube-apiserver"),
        *((PROTOCOL_HEADER, protocol) for protocol in protocols),
    ]


async def _translated(ctx: RequestContext, target: upstream.Target, path: str, streams: Streams) -> Response:
    """A WebSocket client: agree on a protocol with it, then on SPDY with the kubelet, and only then upgrade."""
    name = websocket.chosen_protocol(ctx.request.headers, tuple(PROTOCOLS))
    if name is None:
        offered = " ".join(listed(ctx.request.headers, "sec-websocket-protocol"))
        raise BadRequest(
            f"unable to upgrade: unable to negotiate protocol: client supports [{offered}], "
            f"server accepts [{' '.join(PROTOCOLS).strip()}]"
        )
    answer = websocket.handshake(ctx.request.headers, name)
    backend = await upstream.upgrade(target, "POST", path, handshake((TO_KUBELET,)))

    async def run(client: Duplex) -> None:
        await Translation(WebSocket(client), backend, PROTOCOLS[name], streams).run()

    return Response(101, answer, upgrade=run)


class Translation:
    """One WebSocket client and one SPDY kubelet, while they talk."""

    def __init__(self, client: WebSocket, backend: Upgraded, protocol: ChannelProtocol, streams: Streams) -> None:
        self._client = client
        self._spdy = SPDYConnection(backend.duplex)
        self._protocol = protocol
        self._streams = streams
        self._by_channel: dict[int, int] = {}
        self._channels: dict[int, int] = {}

    async def run(self) -> None:
        """Until the command is over or either side goes away."""
        code = websocket.NORMAL
        try:
            await self._open()
            await first_of(self._to_client(), self._to_kubelet())
        except ConnectionError as error:
            log.debug("stream broken: %s", error)
            code = websocket.INTERNAL_ERROR
        finally:
            await self._spdy.close()
            await self._client.close(code)

    async def _open(self) -> None:
        for name in self._streams.names:
            stream = await self._spdy.open({"streamtype": name})
            self._by_channel[NAMES[name]] = stream
            self._channels[stream] = NAMES[name]
        # Nothing will ever be sent to the command on the error stream.
        await self._spdy.write(self._by_channel[ERROR], b"", fin=True)
        first = STDOUT if self._streams.stdout else STDERR if self._streams.stderr else ERROR
        await self._send(first, b"")

    async def _to_client(self) -> None:
        """Everything the kubelet sends; ends when all of its streams have, or the connection."""
        open_streams = {stream for stream, channel in self._channels.items() if channel in (STDOUT, STDERR, ERROR)}
        async for event in self._spdy.events():
            if isinstance(event, Data):
                channel = self._channels.get(event.stream)
                if channel is not None and event.data:
                    await self._send(channel, event.data)
                if event.fin:
                    open_streams.discard(event.stream)
            elif isinstance(event, Reset):
                open_streams.discard(event.stream)
            if not open_streams:
                return

    async def _to_kubelet(self) -> None:
        """Everything the client sends; ends when it closes."""
        async for message in self._client.messages():
            if not message.data:
                continue
            try:
                channel, data = self._protocol.decode(message)
            except ChannelError as error:
                log.debug("message ignored: %s", error)
                continue
            if channel == CLOSE and self._protocol.half_close:
                stream = self._by_channel.get(data[0]) if data else None
                if stream is not None:
                    await self._spdy.write(stream, b"", fin=True)
                continue
            stream = self._by_channel.get(channel)
            if stream is not None and channel in (NAMES["stdin"], NAMES["resize"]) and data:
                await self._spdy.write(stream, data)

    async def _send(self, channel: int, data: bytes) -> None:
        await self._client.send(self._protocol.encode(channel, data), text=self._protocol.base64)


def _boolean(ctx: RequestContext, name: str) -> bool:
    value = ctx.request.param(name)
    if value.lower() in ("", "false", "0", "f"):
        return False
    if value.lower() in ("true", "1", "t"):
        return True
    raise BadRequest(f'strconv.ParseBool: parsing "{value}": invalid syntax')


