"""A small HTTPS client that costs little: some connections, one request at a time each, prepared bytes."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from httptools import HttpResponseParser


def request(method: str, path: str, body: Any = None, content_type: str = "application/json") -> bytes:
    data = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\naccept: application/json\r\nuser-agent: bench\r\n"
    if body is not None:
        head += f"content-type: {content_type}\r\ncontent-length: {len(data)}\r\n"
    return head.encode() + b"\r\n" + data


class Client(asyncio.Protocol):
    """One connection. It takes the next request from what all connections share, until nothing is left."""

    def __init__(self, shared: deque[bytes], sent_at: list[float], took: list[float], statuses: set[int]) -> None:
        self._shared, self._sent_at, self._took, self._statuses = shared, sent_at, took, statuses
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._parser = HttpResponseParser(self)

    def begin(self) -> None:
        if not self._shared:
            self.done.set_result(None)
            return
        self._began = time.perf_counter()
        self._sent_at.append(self._began)
        self.transport.write(self._shared.popleft())

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._took.append(time.perf_counter() - self._began)
        self._statuses.add(self._parser.get_status_code())
        self.begin()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionResetError())


async def send(
    port: int, tls: ssl.SSLContext, requests: Iterable[bytes], cpu_s: Callable[[], float], connections: int = 1
) -> Measured:
    """Send everything; what it cost the server, measured between the first request and the last answer."""
    shared, sent_at, took, statuses = deque(requests), list[float](), list[float](), set[int]()
    loop = asyncio.get_running_loop()
    clients: list[Client] = []
    for _ in range(connections):
        _, client = await loop.create_connection(
            lambda: Client(shared, sent_at, took, statuses), "127.0.0.1", port, ssl=tls, server_hostname="localhost"
        )
        clients.append(client)
    used, began = cpu_s(), time.perf_counter()
    for client in clients:
        client.begin()
    await asyncio.gather(*(client.done for client in clients))
    measured = Measured(sent_at, took, statuses, cpu_s() - used, time.perf_counter() - began)
    for client in clients:
        client.transport.close()
    return measured


class Measured:
    """When each request was sent (in their order), how long each took, statuses, CPU and clock seconds of all."""

    def __init__(
        self, sent_at: Sequence[float], took: Sequence[float], statuses: set[int], cpu_s: float, clock_s: float
    ) -> None:
        self.sent_at = sent_at
        self.statuses = statuses
        self.cpu_us = cpu_s / len(took) * 1e6
        self.per_s = len(took) / clock_s
        self.p50_ms = sorted(took)[len(took) // 2] * 1e3
        self.p99_ms = sorted(took)[int(len(took) * 0.99)] * 1e3
