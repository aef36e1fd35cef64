"""The WebSocket sub-protocols of exec and attach: what a message's first byte means, and how it travels.

    channel.k8s.io, base64.channel.k8s.io         channels 0 stdin, 1 stdout, 2 stderr, 3 error (plain text)
    v4.channel.k8s.io, v4.base64.channel.k8s.io   and 4 resize; the error channel carries a Status v5.channel.k8s.io
    and 255 CLOSE, whose content is the channel that ends: stdin's end of file
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Final

import orjson

from sampan.apiserver.streams.websocket import Message

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255

NAMES: Final = {"stdin": STDIN, "stdout": STDOUT, "stderr": STDERR, "error": ERROR, "resize": RESIZE}


class ChannelError(ValueError):
    """A message that no channel protocol knows."""


@dataclass(frozen=True, slots=True)
class ChannelProtocol:
    """One sub-protocol: a codec of (channel, data)."""

    name: str
    base64: bool = False
    status: bool = True
    half_close: bool = False

    def decode(self, message: Message) -> tuple[int, bytes]:
        """Raises ChannelError for an empty message or one that is not base64 though it should be."""
        if not message.data:
            raise ChannelError("a message without a channel")
        if not self.base64:
            return message.data[0], message.data[1:]
        try:
            return message.data[0] - ord("0"), base64.b64decode(message.data[1:], validate=True)
        except binascii.Error as error:
            raise ChannelError(str(error)) from error

    def encode(self, channel: int, data: bytes) -> bytes:
        if channel == ERROR and not self.status:
            data = _plain(data)
        if self.base64:
            return bytes((ord("0") + channel,)) + base64.b64encode(data)
        return bytes((channel,)) + data


def _plain(status: bytes) -> bytes:
    """A Status as the older protocols tell it: nothing for success, else the message."""
    try:
        document = orjson.loads(status)
    except orjson.JSONDecodeError:
        return status
    if not isinstance(document, dict) or document.get("status") == "Success":
        return b""
    return str(document.get("message", "")).encode()


PROTOCOLS: Final = {
    protocol.name: protocol for protocol in (
        ChannelProtocol("v5.channel.k8s.io", half_close=True),
        ChannelProtocol("v4.channel.k8s.io"),
        ChannelProtocol("v4.base64.channel.k8s.io", base64=True),
        ChannelProtocol("channel.k8s.io", status=False),
        ChannelProtocol("base64.channel.k8s.io", base64=True, status=False),
        ChannelProtocol("", status=False),
    )
}
