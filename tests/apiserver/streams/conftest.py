"""A kubelet made of a script: TLS on loopback, SPDY after the upgrade, and a client with an in-memory connection."""

from __future__ import annotations

import asyncio
import datetime
import os
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sampan.api.kind import Kind
from sampan.apimachinery.http import Request, Response, UserInfo
from sampan.apimachinery.resource import Resource
from sampan.apiserver.config import APIServerConfig
from sampan.apiserver.context import RequestContext
from sampan.apiserver.seams import Attributes, Decision, Verdict
from sampan.apiserver.streams.spdy import SPDYConnection
from sampan.apiserver.streams.spdy_frames import SYN_STREAM, Data, Opened
from sampan.apiserver.streams.upstream import SocketDuplex
from sampan.apiserver.streams.websocket import unmasked


class Pipe:
    """One end of an in-memory connection; `Pipe.pair()` makes both. Holds at most `limit` chunks in flight."""

    def __init__(self, incoming: asyncio.Queue[bytes], outgoing: asyncio.Queue[bytes]) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self.closed = False
        self._peer: Pipe | None = None

    @classmethod
    def pair(cls, limit: int = 16) -> tuple[Pipe, Pipe]:
        one: asyncio.Queue[bytes] = asyncio.Queue(limit)
        other: asyncio.Queue[bytes] = asyncio.Queue(limit)
        left, right = cls(one, other), cls(other, one)
        left._peer, right._peer = right, left
        return left, right

    async def read(self) -> bytes:
        if self.closed:
            return b""
        return await self._incoming.get()

    async def write(self, data: bytes) -> None:
        if self.closed or (self._peer is not None and self._peer.closed):
            raise ConnectionResetError("closed")
        if data:
            await self._outgoing.put(data)

    async def close(self) -> None:
        if not self.closed:
            self.closed = True
            if not self._outgoing.full():
                self._outgoing.put_nowait(b"")


class WebSocketClient:
    """The client's side of a WebSocket, as small as a test needs it."""

    def __init__(self, raw: Pipe) -> None:
        self.raw = raw
        self._buffer = b""
        self.close_code = 0

    async def send(self, data: bytes, opcode: int = 2, final: bool = True) -> None:
        mask = os.urandom(4)
        length = len(data)
        head = bytes((final << 7 | opcode,))
        if length < 126:
            head += bytes((0x80 | length,))
        elif length < 65536:
            head += bytes((0x80 | 126,)) + struct.pack(">H", length)
        else:
            head += bytes((0x80 | 127,)) + struct.pack(">Q", length)
        await self.raw.write(head + mask + unmasked(data, mask))

    async def receive(self) -> tuple[int, bytes] | None:
        """(opcode, payload) of the next frame; None at the end."""
        while True:
            if len(self._buffer) >= 2:
                length, at = self._buffer[1] & 0x7F, 2
                if length == 126 and len(self._buffer) >= 4:
                    length, at = int.from_bytes(self._buffer[2:4], "big"), 4
                elif length == 127 and len(self._buffer) >= 10:
                    length, at = int.from_bytes(self._buffer[2:10], "big"), 10
                if (length < 126 or at > 2) and len(self._buffer) >= at + length:
                    opcode, payload = self._buffer[0] & 0x0F, self._buffer[at:at + length]
                    self._buffer = self._buffer[at + length:]
                    if opcode == 8:
                        self.close_code = int.from_bytes(payload[:2], "big")
                        return None
                    return opcode, payload
            data = await self.raw.read()
            if not data:
                return None
            self._buffer += data

    async def channels(self) -> dict[int, bytes]:
        """Everything until the end, by channel."""
        found: dict[int, bytes] = {}
        while (frame := await self.receive()) is not None:
            opcode, payload = frame
            if opcode in (1, 2):
                found[payload[0]] = found.get(payload[0], b"") + payload[1:]
        return found


@dataclass
class FakeKubelet:
    """Answers upgrades with 101 and runs `behave` on the SPDY connection; anything else gets `plain`."""

    port: int = 0
    behave: Callable[[KubeletSide], Awaitable[None]] | None = None
    plain: tuple[int, bytes] = (404, b"no such thing")
    requests: list[tuple[str, dict[str, list[str]]]] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    raw: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]] | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers: dict[str, list[str]] = {}
            for line in head[1:]:
                name, _, value = line.partition(":")
                if name:
                    headers.setdefault(name.lower(), []).append(value.strip())
            self.requests.append((head[0], headers))
            if "upgrade" not in headers or (self.behave is None and self.raw is None):
                status, body = self.plain
                writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
                await writer.drain()
                return
            protocol = headers.get("x-stream-protocol-version", ["v4.channel.k8s.io"])[0]
            writer.write(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
                f"X-Stream-Protocol-Version: {protocol}\r\n\r\n".encode()
            )
            await writer.drain()
            if self.raw is not None:
                await self.raw(reader, writer)
            elif self.behave is not None:
                await self.behave(KubeletSide(SPDYConnection(SocketDuplex(reader, writer), server=True)))
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            self.ended.set()
            writer.close()


class KubeletSide:
    """The kubelet's view: streams by their type, as the client opens them."""

    def __init__(self, spdy: SPDYConnection) -> None:
        self.spdy = spdy
        self.streams: dict[str, int] = {}
        self.events = spdy.events()

    async def opened(self, count: int) -> None:
        """Wait for so many streams and accept them."""
        while len(self.streams) < count:
            event = await anext(self.events)
            if isinstance(event, Opened) and event.type == SYN_STREAM:
                kind = event.headers["streamtype"] + event.headers.get("requestid", "")
                self.streams[kind] = event.stream
                await self.spdy.accept(event.stream)

    async def data_of(self, kind: str) -> bytes:
        """All that comes on a stream until its end."""
        found = b""
        async for event in self.events:
            if isinstance(event, Data) and event.stream == self.streams[kind]:
                found += event.data
                if event.fin:
                    break
        return found

    async def finish(self, status: bytes) -> None:
        """The command is over."""
        for kind in ("stdout", "stderr"):
            if kind in self.streams:
                await self.spdy.write(self.streams[kind], b"", fin=True)
        await self.spdy.write(self.streams["error"], status, fin=True)


@dataclass
class FakeReader:
    objects: dict[tuple[str, str, str], Any] = field(default_factory=dict)

    def get(self, resource: Resource, name: str, namespace: str = "") -> Any:
        return self.objects.get((resource.plural, namespace, name))

    peek = get

    def list(self, resource: Resource, namespace: str = "", labels: Any = None) -> Any:
        return [obj for key, obj in self.objects.items() if key[0] == resource.plural and key[1] == namespace]

    def version(self, resource: Resource) -> int:
        return 1

    async def fresh(self, resource: Resource) -> None:
        """Always fresh."""


@dataclass
class FakeParts:
    config: APIServerConfig
    reader: FakeReader
    allow: Callable[[Attributes], bool] = lambda attributes: True
    asked: list[Attributes] = field(default_factory=list)

    def kind_of(self, group: str, version: str, plural: str) -> Kind | None:
        return None

    async def authorize(self, attributes: Attributes) -> Verdict:
        self.asked.append(attributes)
        return Verdict(Decision.ALLOW if self.allow(attributes) else Decision.NO_OPINION)


WEBSOCKET = {
    "connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def context(
    subresource: str, query: dict[str, list[str]], headers: dict[str, str], method: str = "GET"
) -> RequestContext:
    request = Request(method, f"/api/v1/namespaces/ns/pods/web/{subresource}", query, headers)
    return RequestContext(
        request, verb="get" if method == "GET" else "create", is_resource=True, version="v1", resource="pods",
        subresource=subresource, namespace="ns", name="web", user=UserInfo("jane"),
    )


def connected(response: Response, limit: int = 16) -> tuple[asyncio.Task[None], WebSocketClient]:
    """Run an upgrade; the client's end of it."""
    assert response.status == 101 and response.upgrade is not None
    ours, theirs = Pipe.pair(limit)
    return asyncio.ensure_future(response.upgrade(ours)), WebSocketClient(theirs)  # type: ignore[arg-type]


@dataclass
class Harness:
    """What a test needs: the kubelet, the server's parts, and the ways to ask and connect."""

    kubelet: FakeKubelet
    parts: Any
    context: Callable[..., RequestContext] = context
    connected: Callable[..., tuple[asyncio.Task[None], WebSocketClient]] = connected
    websocket: dict[str, str] = field(default_factory=lambda: dict(WEBSOCKET))


@pytest.fixture(scope="session")
def serving_tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "node")])
    start = datetime.datetime(2020, 1, 1)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(7).not_valid_before(start).not_valid_after(start + datetime.timedelta(days=36500))
        .sign(key, hashes.SHA256())
    )
    path: Path = tmp_path_factory.mktemp("kubelet") / "tls.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(path)
    return tls


@pytest.fixture
async def harness(serving_tls: ssl.SSLContext) -> AsyncIterator[Harness]:
    kubelet = FakeKubelet()
    server = await asyncio.start_server(kubelet.serve, "127.0.0.1", 0, ssl=serving_tls)
    kubelet.port = server.sockets[0].getsockname()[1]
    node = {"metadata": {"name": "n1"}, "status": {
        "addresses": [{"type": "Hostname", "address": "n1"}, {"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet.port}},
    }}
    pod = {
        "metadata": {"name": "web", "namespace": "ns"},
        "spec": {"nodeName": "n1", "containers": [{"name": "app"}]},
    }
    reader = FakeReader({("nodes", "", "n1"): node, ("pods", "ns", "web"): pod})
    before = asyncio.all_tasks()
    yield Harness(kubelet, FakeParts(APIServerConfig(), reader))
    server.close()
    async with asyncio.timeout(60):
        while {task for task in asyncio.all_tasks() - before if task is not asyncio.current_task()}:
            await asyncio.sleep(0.01)
