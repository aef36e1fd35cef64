"""The server's side of WebSocket (RFC 6455) on a raw stream: handshake and messages.

Messages are read whole, answering pings and closes on the way; writes wait while the peer reads slowly. No extensions.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sampan.apimachinery.errors import BadRequest
from sampan.apimachinery.http import Duplex
from sampan.apiserver.authn.bearer import WEBSOCKET_PREFIX
from sampan.apiserver.authn.headers import listed

MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

NORMAL, GOING_AWAY, PROTOCOL_ERROR, TOO_BIG, INTERNAL_ERROR = 1000, 1001, 1002, 1009, 1011


class WebSocketError(ConnectionError):
    """The peer broke the protocol; `code` says how, as a close code."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


@dataclass(frozen=True, slots=True)
class Message:
    """A whole message; `text` tells its type."""

    data: bytes
    text: bool = False


def is_upgrade(headers: Mapping[str, str]) -> bool:
    """Does this request want to become a WebSocket?"""
    connection = headers.get("connection", "").lower()
    return "upgrade" in connection and headers.get("upgrade", "").lower() == "websocket"


def chosen_protocol(headers: Mapping[str, str], supported: Sequence[str]) -> str | None:
    """The client's first sub-protocol that is supported; "" when it names none; None when none fits."""
    offered = [name for name in listed(headers, "sec-websocket-protocol") if not name.startswith(WEBSOCKET_PREFIX)]
    if not offered:
        return "" if "" in supported else None
    return next((name for name in offered if name in supported), None)


def handshake(headers: Mapping[str, str], protocol: str) -> dict[str, str]:
    """The headers of the 101 answer. Raises BadRequest for a handshake that is none."""
    key = headers.get("sec-websocket-key", "")
    if not key or headers.get("sec-websocket-version", "") != "13":
        raise BadRequest("websocket: version 13 and a Sec-WebSocket-Key are required")
    accept = base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()
    answer = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": accept}
    if protocol:
        answer["Sec-WebSocket-Protocol"] = protocol
    return answer


class WebSocket:
    """One connection after its handshake."""

    def __init__(self, raw: Duplex) -> None:
        self._raw = raw
        self._buffer = bytearray()
        self._writing = asyncio.Lock()
        self._closed = False

    async def messages(self) -> AsyncIterator[Message]:
        """What the client sends, until it closes. Raises WebSocketError after telling the client."""
        parts = bytearray()
        first = BINARY
        try:
            while (frame := await self._frame()) is not None:
                final, opcode, payload = frame
                if opcode == CLOSE:
                    await self.close(NORMAL)
                    return
                if opcode == PING:
                    await self._send(PONG, payload)
                elif opcode in (TEXT, BINARY, CONTINUATION):
                    if opcode != CONTINUATION:
                        first = opcode
                    parts += payload
                    if len(parts) > MAX_MESSAGE_BYTES:
                        raise WebSocketError(TOO_BIG, "message too big")
                    if final:
                        yield Message(bytes(parts), first == TEXT)
                        parts.clear()
                elif opcode != PONG:
                    raise WebSocketError(PROTOCOL_ERROR, f"unknown opcode {opcode}")
        except WebSocketError as error:
            await self.close(error.code)
            raise

    async def send(self, data: bytes, *, text: bool = False) -> None:
        """One message. Raises ConnectionError when the client is gone."""
        await self._send(TEXT if text else BINARY, data)

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Send a close frame, once, and close the connection."""
        if not self._closed:
            self._closed = True
            with contextlib.suppress(ConnectionError):
                await self._raw.write(_framed(CLOSE, struct.pack(">H", code) + reason.encode()[:120]))
        await self._raw.close()

    async def _send(self, opcode: int, payload: bytes) -> None:
        if self._closed:
            raise ConnectionResetError("the WebSocket is closed")
        async with self._writing:
            await self._raw.write(_framed(opcode, payload))

    async def _frame(self) -> tuple[bool, int, bytes] | None:
        """(final, opcode, payload), or None at the end of the stream."""
        if not await self._fill(2):
            return None
        first, second = self._buffer[0], self._buffer[1]
        if first & 0x70:
            raise WebSocketError(PROTOCOL_ERROR, "reserved bits are set")
        if not second & 0x80:
            raise WebSocketError(PROTOCOL_ERROR, "a client's frames must be masked")
        length, header = second & 0x7F, 2
        if length >= 126:
            header = 4 if length == 126 else 10
            if not await self._fill(header):
                return None
            length = int.from_bytes(self._buffer[2:header], "big")
        if length > MAX_MESSAGE_BYTES:
            raise WebSocketError(TOO_BIG, "message too big")
        if first & 0x08 and length > 125:
            raise WebSocketError(PROTOCOL_ERROR, "control frame too long")
        if not await self._fill(header + 4 + length):
            return None
        mask = bytes(self._buffer[header:header + 4])
        payload = unmasked(bytes(memoryview(self._buffer)[header + 4:header + 4 + length]), mask)
        del self._buffer[:header + 4 + length]
        return bool(first & 0x80), first & 0x0F, payload

    async def _fill(self, size: int) -> bool:
        while len(self._buffer) < size:
            data = await self._raw.read()
            if not data:
                return False
            self._buffer += data
        return True


def unmasked(payload: bytes, mask: bytes) -> bytes:
    """XOR with the repeated mask, as whole numbers: fast without C."""
    length = len(payload)
    repeated = (mask * (length // 4 + 1))[:length]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(length, "big")


def _framed(opcode: int, payload: bytes) -> bytes:
    length = len(payload)
    if length < 126:
        head = struct.pack(">BB", 0x80 | opcode, length)
    elif length < 65536:
        head = struct.pack(">BBH", 0x80 | opcode, 126, length)
    else:
        head = struct.pack(">BBQ", 0x80 | opcode, 127, length)
    return head + payload
