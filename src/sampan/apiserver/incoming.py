"""Reads HTTP/1.1 requests from bytes: llhttp (through httptools) finds their parts, this class puts them together.

A request is handed on when it is complete, body included, because no verb of the API can begin before. Heads and bodies
are bounded; what is malformed or too large is handed on too, as a request with an `error`, and ends the reading. So
does a request to upgrade the connection: bytes after it belong to whoever gets the connection. Header fields after the
body (trailers) are dropped, since nobody has authorised what they might change.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from sampan.apimachinery.errors import APIError, BadRequest, RequestEntityTooLarge
from sampan.apiserver.authn.headers import IDENTITY, SEPARATOR

MAX_HEAD_BYTES: Final = 64 * 1024
_NAMES: Final[dict[bytes, str]] = {}
"""Header names as they were written, in lower case."""
_NAMES_KEPT, _NAME_KEPT_BYTES = 512, 64


class Incoming:
    """One request as it came; `error` says why it cannot be handled. Header names are lower case."""

    __slots__ = ("body", "error", "headers", "is_http11", "keep_alive", "method", "target", "upgrades")

    def __init__(self) -> None:
        self.method = ""
        self.target = ""
        self.headers: dict[str, str] = {}
        self.body = b""
        self.keep_alive = False
        self.is_http11 = True
        self.upgrades = False
        self.error: APIError | None = None


class IncomingReader:
    """The requests of one connection, in order, each given to `on_request`; `on_continue` when a body is waited for."""

    def __init__(
        self, max_body_bytes: int, on_request: Callable[[Incoming], None], on_continue: Callable[[], None]
    ) -> None:
        self._max_body_bytes = max_body_bytes
        self._on_request = on_request
        self._on_continue = on_continue
        self._parser = HttpRequestParser(self)
        self._message = Incoming()
        self._headers = self._message.headers
        self._in_head = True
        self._head_bytes = 0
        self._target = b""
        self._chunks: list[bytes] = []
        self._body_bytes = 0
        self.has_ended = False

    @property
    def is_between_requests(self) -> bool:
        return self._in_head and not self._head_bytes

    def feed(self, data: bytes) -> bytes | None:
        """Take what came. After a request to upgrade: what followed it, which is for the request's handler."""
        if self._in_head:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
            if self._in_head and self._head_bytes > MAX_HEAD_BYTES:
                self._fail(APIError("request header fields too large", code=431))
        except HttpParserUpgrade as upgrade:
            self.has_ended = True
            return data[upgrade.args[0] :]
        except HttpParserError as error:
            self._fail(BadRequest(f"malformed HTTP request: {error}"))
        return None

    def _fail(self, error: APIError) -> None:
        if not self.has_ended:
            self.has_ended = True
            self._message.error = error
            self._on_request(self._message)

    # What httptools calls

    def on_url(self, part: bytes) -> None:
        self._target += part

    def on_header(self, name: bytes, value: bytes | None) -> None:
        if self._in_head:
            key = _NAMES.get(name) or _lower(name)
            headers = self._headers
            try:
                text = value.decode() if value else ""
            except UnicodeDecodeError:
                text = _text(value or b"")
            if key in headers:
                text = f"{headers[key]}{SEPARATOR if key.startswith(IDENTITY) else ', '}{text}"
            headers[key] = text

    def on_headers_complete(self) -> None:
        self._in_head = False
        message = self._message
        headers = message.headers
        parser = self._parser
        message.method = parser.get_method().decode()
        message.target = _text(self._target)
        message.keep_alive = parser.should_keep_alive()
        message.upgrades = parser.should_upgrade()
        if message.upgrades or "upgrade" in headers:
            message.keep_alive = False
        message.is_http11 = message.keep_alive or parser.get_http_version() != "1.0"
        declared = headers.get("content-length", "")
        if declared and int(declared) > self._max_body_bytes:
            self._fail(self._too_large())
        elif headers.get("expect", "").lower() == "100-continue":
            self._on_continue()

    def on_body(self, chunk: bytes) -> None:
        self._body_bytes += len(chunk)
        if self._body_bytes > self._max_body_bytes:
            self._fail(self._too_large())
        elif not self.has_ended:
            self._chunks.append(chunk)

    def on_message_complete(self) -> None:
        message, chunks = self._message, self._chunks
        self._message, self._chunks = Incoming(), []
        self._headers = self._message.headers
        self._in_head, self._head_bytes, self._target, self._body_bytes = True, 0, b"", 0
        if not self.has_ended:
            message.body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            self._on_request(message)

    def _too_large(self) -> RequestEntityTooLarge:
        return RequestEntityTooLarge(f"Request entity too large: limit is {self._max_body_bytes}")


def _lower(name: bytes) -> str:
    """A header's name, kept for the next request, as long as there are not too many."""
    text = name.decode("latin-1").lower()
    if len(_NAMES) < _NAMES_KEPT and len(name) <= _NAME_KEPT_BYTES:
        _NAMES[name] = text
    return text


def _text(value: bytes) -> str:
    """Header values are UTF-8 in practice; others are taken as Latin-1, so that there is always a text."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
