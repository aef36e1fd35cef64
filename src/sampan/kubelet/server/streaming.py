"""exec, attach and port-forward: the client's upgraded connection, spliced to the runtime's streaming server.

The kubelet asks the runtime for a URL, repeats the client's upgrade request there, and from then on only carries bytes,
whatever protocol the two speak (SPDY/3.1 or WebSocket).
"""

from __future__ import annotations

import asyncio
import contextlib
from urllib.parse import urlsplit

from sampan.apimachinery.http import Duplex, Response
from sampan.kubelet.server.http import BLOCK_BYTES, MAX_HEAD_BYTES, NodeRequest

_NOT_PASSED_ON = {"host", "authorization", "content-length", "transfer-encoding"}


async def pass_on(node_request: NodeRequest, url: str) -> Response:
    """Upgrade at `url` as the client asked; the runtime's refusal, if it refuses."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80, limit=MAX_HEAD_BYTES)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    headers = [(name, value) for name, value in node_request.pairs if name.lower() not in _NOT_PASSED_ON]
    lines = [f"{node_request.request.method} {target} HTTP/1.1", f"Host: {parts.netloc}"]
    lines += [f"{name}: {value}" for name, value in headers]
    if node_request.request.method == "POST":
        lines.append("Content-Length: 0")
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
    await writer.drain()
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()
        return Response(502, {"content-type": "text/plain"}, b"the container runtime closed the stream\n")
    first, *rest = head.split("\r\n")[:-2]
    status = int(first.split(" ")[1])
    answered = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
    if status != 101:
        body = await _rest(reader, answered)
        writer.close()
        return Response(status, {"content-type": answered.get("Content-Type", "text/plain")}, body)

    async def splice(duplex: Duplex) -> None:
        await _splice(duplex, reader, writer)

    return Response(101, answered, upgrade=splice)


async def _rest(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    length = {name.lower(): value for name, value in headers.items()}.get("content-length", "")
    if length.isdigit():
        return await reader.readexactly(int(length))
    return b""


async def _splice(client: Duplex, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry bytes both ways until one side is done."""
    async def up() -> None:
        while data := await client.read():
            writer.write(data)
            await writer.drain()

    async def down() -> None:
        while data := await reader.read(BLOCK_BYTES):
            await client.write(data)

    tasks = [asyncio.create_task(up(), name="stream up"), asyncio.create_task(down(), name="stream down")]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await client.close()
