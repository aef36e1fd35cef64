"""The server's side of WebSocket: handshakes, frames, and clients that break the rules."""

from __future__ import annotations

import asyncio
import os

import pytest

from sampan.apimachinery.errors import BadRequest
from sampan.apiserver.streams.websocket import (
    MAX_MESSAGE_BYTES,
    WebSocket,
    WebSocketError,
    chosen_protocol,
    handshake,
    is_upgrade,
    unmasked,
)


class Script:
    """A raw stream that reads what a test wrote down, in pieces of `step` bytes."""

    def __init__(self, incoming: bytes, step: int = 1 << 20) -> None:
        self._pieces = [incoming[at:at + step] for at in range(0, len(incoming), step)]
        self.written = b""
        self.closed = False

    async def read(self) -> bytes:
        await asyncio.sleep(0)
        return self._pieces.pop(0) if self._pieces else b""

    async def write(self, data: bytes) -> None:
        self.written += data

    async def close(self) -> None:
        self.closed = True


def frame(first: int, payload: bytes, mask: bytes = b"\x01\x02\x03\x04") -> bytes:
    length = len(payload)
    if length < 126:
        size = bytes((0x80 | length,))
    elif length < 65536:
        size = bytes((0x80 | 126,)) + length.to_bytes(2, "big")
    else:
        size = bytes((0x80 | 127,)) + length.to_bytes(8, "big")
    return bytes((first,)) + size + mask + unmasked(payload, mask)


async def received(script: Script) -> list[tuple[bytes, bool]]:
    return [(message.data, message.text) async for message in WebSocket(script).messages()]


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
async def test_messages_of_every_length_however_they_arrive(size: int, step: int) -> None:
    payload = os.urandom(size)
    wire = frame(0x82, payload) + frame(0x81, b"text") + frame(0x88, b"\x03\xe8")
    script = Script(wire, max(step, len(wire) // 500))
    assert await received(script) == [(payload, False), (b"text", True)]
    assert script.written == b"\x88\x02\x03\xe8" and script.closed


async def test_pings_are_answered_between_fragments() -> None:
    script = Script(frame(0x02, b"ab") + frame(0x89, b"you there?") + frame(0x80, b"cd"))
    assert await received(script) == [(b"abcd", False)]
    assert script.written == b"\x8a\x0ayou there?"


@pytest.mark.parametrize(("wire", "code"), [
    (b"\x82\x02ab", 1002),
    (frame(0xC2, b"ab"), 1002),
    (frame(0x83, b"ab"), 1002),
    (frame(0x89, b"x" * 126), 1002),
    (b"\x82\xff" + (MAX_MESSAGE_BYTES + 1).to_bytes(8, "big"), 1009),
])
async def test_a_client_that_breaks_the_rules_is_told_and_cut_off(wire: bytes, code: int) -> None:
    script = Script(wire)
    with pytest.raises(WebSocketError):
        await received(script)
    assert script.written == b"\x88\x02" + code.to_bytes(2, "big") and script.closed


async def test_fragments_cannot_add_up_to_more_than_a_message() -> None:
    piece = frame(0x02, bytes(MAX_MESSAGE_BYTES // 2 + 1))
    again = frame(0x00, bytes(MAX_MESSAGE_BYTES // 2 + 1))
    with pytest.raises(WebSocketError) as refused:
        await received(Script(piece + again))
    assert refused.value.code == 1009


async def test_nothing_is_sent_after_the_close() -> None:
    script = Script(b"")
    websocket = WebSocket(script)
    await websocket.close(1000, "done")
    await websocket.close(1011)
    assert script.written == b"\x88\x06\x03\xe8done"
    with pytest.raises(ConnectionError):
        await websocket.send(b"late")


def test_handshakes() -> None:
    headers = {
        "connection": "keep-alive, Upgrade", "upgrade": "WebSocket", "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    assert is_upgrade(headers)
    assert handshake(headers, "x")["Sec-WebSocket-Accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    with pytest.raises(BadRequest):
        handshake({**headers, "sec-websocket-version": "8"}, "")
    with pytest.raises(BadRequest):
        handshake({**headers, "sec-websocket-key": ""}, "")


@pytest.mark.parametrize(("offered", "chosen"), [
    ("v5.channel.k8s.io, v4.channel.k8s.io", "v5.channel.k8s.io"),
    ("base64url.bearer.authorization.k8s.io.abc, v4.channel.k8s.io", "v4.channel.k8s.io"),
    ("unknown", None),
    ("", ""),
])
def test_the_clients_first_known_protocol_is_chosen(offered: str, chosen: str | None) -> None:
    supported = ("v4.channel.k8s.io", "v5.channel.k8s.io", "")
    assert chosen_protocol({"sec-websocket-protocol": offered}, supported) == chosen
