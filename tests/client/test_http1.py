"""One HTTP/1.1 connection, against servers that behave and servers that do not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from sampan.apimachinery import errors
from sampan.apimachinery.http import Request
from sampan.client import http1, transport
from sampan.client.transport import HTTPTransport

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Server:
    """Counts connections and requests; `serve` is called for each connection."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self.connections = 0
        self.heads: list[bytes] = []

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self._serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def head(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        return head


@pytest.fixture
async def serving() -> AsyncIterator[Callable[[Serve], Awaitable[tuple[Server, HTTPTransport]]]]:
    ends: list[Callable[[], Awaitable[None]]] = []

    async def start(serve: Serve) -> tuple[Server, HTTPTransport]:
        server = Server(serve)
        listening = await asyncio.start_server(server.connected, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        client = HTTPTransport(f"http://127.0.0.1:{port}/base")

        async def end() -> None:
            await client.close()
            listening.close()

        ends.append(end)
        return server, client

    yield start
    for end in ends:
        await end()


async def test_answers_in_pieces_come_whole_and_the_connection_is_used_again(serving) -> None:
    parts = (b"HTTP/1.1 2", b"00 OK\r\ntransfer-encoding: chun", b"ked\r\n\r\n2\r\nab\r\n", b"1\r\nc\r\n0\r\n\r\n")

    async def serve(reader, writer) -> None:
        while True:
            await server.head(reader)
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0.01)

    server, client = await serving(serve)
    for _ in range(3):
        answer = await client.request(Request("GET", "/a b", {"x": ["1", "2"]}, {"accept": "text/plain"}))
        assert (answer.status, answer.body) == (200, b"abc")
    assert server.connections == 1
    assert server.heads[0].startswith(b"GET /base/a%20b?x=1&x=2 HTTP/1.1\r\nhost: 127.0.0.1:")
    assert b"accept: text/plain\r\n" in server.heads[0]


async def test_requests_at_the_same_time_have_connections_of_their_own(serving) -> None:
    together = asyncio.Barrier(3)

    async def serve(reader, writer) -> None:
        await server.head(reader)
        await together.wait()
        writer.write(OK)
        await writer.drain()

    server, client = await serving(serve)
    await asyncio.gather(*(client.request(Request("GET", "/")) for _ in range(3)))
    assert server.connections == 3


async def test_a_read_over_a_connection_that_the_server_just_closed_is_sent_again(serving) -> None:
    async def serve(reader, writer) -> None:
        await server.head(reader)
        writer.write(OK)
        await reader.readuntil(b"\r\n\r\n")  # the second request is never answered

    server, client = await serving(serve)
    await client.request(Request("GET", "/"))
    assert (await client.request(Request("GET", "/"))).body == b"ok"
    assert server.connections == 2
    with pytest.raises(errors.ServiceUnavailable):  # it may have been carried out
        await client.request(Request("POST", "/", body=b"{}"))


async def test_a_connection_that_the_server_closes_is_not_used_again(serving) -> None:
    async def serve(reader, writer) -> None:
        await server.head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok")

    server, client = await serving(serve)
    for _ in range(2):
        assert (await client.request(Request("POST", "/", body=b"{}"))).body == b"ok"
    assert server.connections == 2


async def test_a_server_that_says_nothing_is_given_up(serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "READ_TIMEOUT_S", 0.05)

    async def serve(reader, writer) -> None:
        await reader.read(-1)

    _, client = await serving(serve)
    with pytest.raises(errors.ServiceUnavailable, match="timed out"):
        await client.request(Request("GET", "/"))


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab", b""])
async def test_what_is_no_whole_answer_is_service_unavailable(serving, answer: bytes) -> None:
    async def serve(reader, writer) -> None:
        await server.head(reader)
        writer.write(answer)

    server, client = await serving(serve)
    with pytest.raises(errors.ServiceUnavailable):
        await client.request(Request("POST", "/"))


async def test_a_slow_reader_of_a_stream_makes_the_server_wait(serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http1, "BUFFERED_BYTES", 1 << 16)
    sent = 0

    async def serve(reader, writer) -> None:
        nonlocal sent
        await server.head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(400):
            writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            sent += 65536
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    server, client = await serving(serve)
    answer = await client.request(Request("GET", "/", {"watch": ["true"]}))
    assert answer.stream is not None
    chunks = aiter(answer.stream)
    size = len(await anext(chunks))
    await asyncio.sleep(0.3)
    assert sent < 400 * 65536
    async for chunk in chunks:
        size += len(chunk)
    assert size == 400 * 65536
    assert (await client.request(Request("GET", "/", {"watch": ["true"]}))).status == 200


async def test_a_header_cannot_bring_another_one_with_it(serving) -> None:
    async def serve(reader, writer) -> None:
        await server.head(reader)

    server, client = await serving(serve)
    with pytest.raises(errors.BadRequest, match="line ends"):
        await client.request(Request("GET", "/", headers={"accept": "a\r\nimpersonate-user: root"}))
    assert server.connections == 0


async def test_a_cancelled_request_does_not_leave_its_answer_to_the_next(serving) -> None:
    given_up = asyncio.Event()

    async def serve(reader, writer) -> None:
        head = await server.head(reader)
        if b"/slow" in head:
            await given_up.wait()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n" + (b"slow" if b"/slow" in head else b"fast"))
        await writer.drain()

    server, client = await serving(serve)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.request(Request("GET", "/slow")), 0.03)
    given_up.set()
    assert (await client.request(Request("GET", "/fast"))).body == b"fast"
