"""TLS of clients: who gives up, at whatever moment of the handshake, leaves nothing behind. On both event loops."""

from __future__ import annotations

import asyncio
import gc
import queue
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from sampan.client import http1, tls
from sampan.pki.authority import CertificateAuthority, server
from sampan.pki.certificate import KeyPair

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@pytest.fixture(params=[asyncio.DefaultEventLoopPolicy, uvloop.EventLoopPolicy], ids=["asyncio", "uvloop"])
def event_loop_policy(request: pytest.FixtureRequest) -> Any:
    return request.param()


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's and the client's."""
    directory: Path = tmp_path_factory.mktemp("tls")
    authority = CertificateAuthority.create("test")
    (directory / "ca.crt").write_bytes(authority.certificate_pem)
    KeyPair.named(directory, "server").save(authority.issue(server("s", (), ("127.0.0.1",))))
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(directory / "server.crt", directory / "server.key")
    return ours, ssl.create_default_context(cafile=str(directory / "ca.crt"))


@pytest.fixture(scope="module")
def port(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> Iterator[int]:
    """A server in a thread of its own, so that its bytes come at any moment."""
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(OK)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    async def run() -> None:
        listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=contexts[0])
        found.put((asyncio.get_running_loop(), listening.sockets[0].getsockname()[1]))
        await stopping.wait()

    found: queue.Queue[tuple[asyncio.AbstractEventLoop, int]] = queue.Queue()
    stopping = asyncio.Event()
    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    loop, number = found.get(timeout=60)
    yield number
    loop.call_soon_threadsafe(stopping.set)
    thread.join()


@pytest.fixture
async def complaints() -> AsyncIterator[list[dict[str, Any]]]:
    """What the event loop would print."""
    told: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(context))
    yield told
    loop.set_exception_handler(None)


async def test_requests_are_answered(contexts: Any, port: int) -> None:
    connection = await http1.connect("127.0.0.1", port, contexts[1], "", 60)
    for _ in range(3):
        assert (await connection.exchange(b"GET / HTTP/1.1\r\n\r\n")).body == b"ok"
    connection.close()


async def test_streams(contexts: Any, port: int) -> None:
    reader, writer = await tls.open_streams("127.0.0.1", port, contexts[1])
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    await writer.drain()
    assert await reader.readexactly(len(OK)) == OK
    writer.close()
    async with asyncio.timeout(60):
        assert await reader.read() == b""


async def test_giving_up_at_any_moment_of_the_handshake(
    contexts: Any, port: int, complaints: list[dict[str, Any]]
) -> None:
    ended = {"before": 0, "after": 0}
    for attempt in range(300):
        connecting = asyncio.create_task(http1.connect("127.0.0.1", port, contexts[1], "", 60))
        await asyncio.sleep(attempt % 50 * 0.0001)
        connecting.cancel()
        try:
            (await connecting).close()
            ended["after"] += 1
        except asyncio.CancelledError:
            ended["before"] += 1
    await asyncio.sleep(0.05)  # what is under way
    gc.collect()
    assert complaints == [] and ended["before"] > 10, ended


async def test_a_server_that_hangs_up_or_is_not_believed(contexts: Any, port: int) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        await tls.open_streams("127.0.0.1", port, ssl.create_default_context())

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.close()

    listening = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    with pytest.raises(ConnectionError):
        await tls.open_streams("127.0.0.1", listening.sockets[0].getsockname()[1], contexts[1])
    listening.close()
