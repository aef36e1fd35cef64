"""A request and its answer, apart from any socket.

The API server is a function from `Request` to `Response`; HTTPS is one way to carry them, a call in the same process
is another. So a client cannot tell the two apart, and the whole server runs under virtual time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias, runtime_checkable

CHUNK_BYTES: Final = 128 * 1024


@dataclass(frozen=True, slots=True)
class UserInfo:
    """Who asks: as in `authentication.k8s.io/v1 UserInfo`."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Duplex(Protocol):
    """A raw byte stream in both directions, after a connection was upgraded."""

    async def read(self) -> bytes:
        """Some bytes, or b"" at the end of the stream."""

    async def write(self, data: bytes) -> None:
        """Send; waits while the peer reads too slowly. Raises ConnectionError when the peer is gone."""

    async def close(self) -> None: ...


UpgradeHandler: TypeAlias = Callable[[Duplex], Awaitable[None]]


@dataclass(slots=True)
class Request:
    """One request. `path` is decoded, `query` keeps repeated keys in order, header names are lower case.

    `peer_certificate` is the client certificate in DER, already verified against the client CA by the TLS layer.
    `user` is set by in-process transports that vouch for their caller; otherwise authentication finds it.
    """

    method: str
    path: str
    query: dict[str, list[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    user: UserInfo | None = None
    peer_certificate: bytes | None = None
    remote: str = ""

    def param(self, name: str, default: str = "") -> str:
        """The first value of a query parameter."""
        values = self.query.get(name)
        return values[0] if values else default

    def flag(self, name: str) -> bool:
        """Whether a query parameter says yes, as Kubernetes reads them: anything but its absence, false and 0."""
        values = self.query.get(name) or ("0",)
        return values[0].lower() not in ("false", "0")


class Pieces:
    """A large list: a head, items with a separator between them, a tail; joined only as it is sent, a few at a time.

    Iterating gives chunks of about CHUNK_BYTES, so that neither the whole nor a second copy of it is ever in memory.
    """

    __slots__ = ("_head", "_items", "_separator", "_tail", "size_bytes")

    def __init__(self, head: bytes, items: Sequence[bytes], tail: bytes, separator: bytes = b"") -> None:
        self._head = head
        self._items = items
        self._separator = separator
        self._tail = tail
        between = max(len(items) - 1, 0) * len(separator)
        self.size_bytes = len(head) + sum(map(len, items)) + between + len(tail)

    def __iter__(self) -> Iterator[bytes]:
        items, separator = self._items, self._separator
        per_chunk = max(CHUNK_BYTES * len(items) // self.size_bytes, 1)
        lead = self._head
        for start in range(0, len(items), per_chunk):
            yield lead + separator.join(items[start : start + per_chunk])
            lead = separator
        yield (b"" if items else lead) + self._tail

    def joined(self) -> bytes:
        """All of it."""
        return b"".join((self._head, self._separator.join(self._items), self._tail))


class Response:
    """One answer: a whole body, a stream of chunks, or (status 101) a handler that takes over the connection.

    A large body may be given as `pieces`; who asks for `body` gets it joined.
    """

    __slots__ = ("_body", "headers", "pieces", "status", "stream", "upgrade")

    def __init__(
        self, status: int = 200, headers: dict[str, str] | None = None, body: bytes = b"",
        stream: AsyncIterator[bytes] | None = None, upgrade: UpgradeHandler | None = None,
    ) -> None:
        self.status = status
        self.headers = {} if headers is None else headers
        self.stream = stream
        self.upgrade = upgrade
        self.pieces: Pieces | None = None
        self._body = body

    @property
    def body(self) -> bytes:
        if self.pieces is not None:
            self._body, self.pieces = self.pieces.joined(), None
        return self._body

    @body.setter
    def body(self, body: bytes) -> None:
        self._body, self.pieces = body, None


class Sink(Protocol):
    """Where a stream writes to: a client that may read slowly."""

    is_open: bool
    """Whether the client reads: what is written now is on its way at once, and does not pile up."""

    def write(self, chunk: bytes) -> None:
        """Send. A sink that is not open takes a chunk all the same, so ask first."""

    async def opened(self) -> None:
        """Wait until it is open. Raises ConnectionError when the client is gone."""

    def on_open(self, callback: Callable[[], object] | None) -> None:
        """Call back whenever it opens again."""


@runtime_checkable
class Pushing(Protocol):
    """A stream that need not be asked: it writes to a sink as soon as there is something, until it ends."""

    async def push_to(self, sink: Sink) -> None: ...


class Transport(Protocol):
    """Carries requests to an API server."""

    async def request(self, request: Request) -> Response:
        """Send and wait for the answer's head (and the whole body unless it streams)."""

    async def close(self) -> None: ...
