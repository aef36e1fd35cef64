"""port-forward: tunnelled SPDY and the older channels."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import pytest

from sampan.apimachinery.errors import BadRequest, Forbidden
from sampan.apiserver.streams.port_forward import TUNNEL, port_forward
from sampan.apiserver.streams.spdy_frames import Data


async def test_a_tunnel_carries_spdy_bytes_as_they_are(harness: Any) -> None:
    async def raw(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data[::-1])
            await writer.drain()

    harness.kubelet.raw = raw
    headers = {**harness.websocket, "sec-websocket-protocol": TUNNEL}
    response = await port_forward(harness.context("portforward", {}, headers), harness.parts)
    assert response.headers["Sec-WebSocket-Protocol"] == TUNNEL
    task, client = harness.connected(response)
    await client.send(b"abc\x00")
    assert await client.receive() == (2, b"\x00cba")
    await client.send(b"", opcode=8)
    assert await client.receive() is None
    async with asyncio.timeout(60):
        await task
        await harness.kubelet.ended.wait()
    line, sent = harness.kubelet.requests[0]
    assert line == "POST /portForward/ns/web HTTP/1.1"
    assert sent["x-stream-protocol-version"] == ["portforward.k8s.io"]


async def test_two_channels_a_port(harness: Any) -> None:
    async def behave(side: Any) -> None:
        await side.opened(4)
        async for event in side.events:
            if isinstance(event, Data) and event.data:
                await side.spdy.write(event.stream, event.data.upper(), fin=True)
                await side.spdy.write(side.streams["error1"], b"refused", fin=True)
                await side.spdy.write(side.streams["data1"], b"", fin=True)
                return

    harness.kubelet.behave = behave
    headers = {**harness.websocket, "sec-websocket-protocol": "v4.channel.k8s.io"}
    response = await port_forward(harness.context("portforward", {"ports": ["80,443"]}, headers), harness.parts)
    task, client = harness.connected(response)
    await client.send(b"\x00get /")
    port80, port443 = struct.pack("<H", 80), struct.pack("<H", 443)
    assert await client.channels() == {0: port80 + b"GET /", 1: port80, 2: port443, 3: port443 + b"refused"}
    await task


async def test_ports_must_be_ports_and_creation_allowed(harness: Any) -> None:
    headers = {**harness.websocket, "sec-websocket-protocol": "v4.channel.k8s.io"}
    for ports in (["0"], ["x"], ["70000"], []):
        with pytest.raises(BadRequest):
            await port_forward(harness.context("portforward", {"ports": ports}, headers), harness.parts)
    harness.parts.allow = lambda attributes: attributes.verb == "get"
    with pytest.raises(Forbidden, match='cannot create resource "pods/portforward"'):
        await port_forward(harness.context("portforward", {"ports": ["80"]}, headers), harness.parts)
