"""A request and its answer, apart from any socket.

The API server is a function from `Request` to `Response`; HTTPS is one way to carry them, a call in the same process
is another. So a client cannot tell the two apart, and the whole server runs under virtual time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias


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


@dataclass(slots=True)
class Response:
    """One answer: a whole body, a stream of chunks, or (status 101) a handler that takes over the connection."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    stream: AsyncIterator[bytes] | None = None
    upgrade: UpgradeHandler | None = None


class Transport(Protocol):
    """Carries requests to an API server."""

    async def request(self, request: Request) -> Response:
        """Send and wait for the answer's head (and the whole body unless it streams)."""

    async def close(self) -> None: ...
