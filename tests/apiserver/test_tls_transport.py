"""TLS under the listener: large bodies both ways, slow and silent peers, goodbyes. On asyncio's loop and on uvloop."""

import asyncio
import contextlib
import socket
import ssl

import pytest
import uvloop

from sampan.apimachinery.http import Request, Response
from sampan.apiserver.config import APIServerConfig
from sampan.apiserver.listener import TLSFiles, serve
from sampan.pki.authority import CertificateAuthority, server
from sampan.pki.certificate import KeyPair


@pytest.fixture(params=[asyncio.DefaultEventLoopPolicy, uvloop.EventLoopPolicy], ids=["asyncio", "uvloop"])
def event_loop_policy(request):
    return request.param()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tls")
    authority = CertificateAuthority.create("test")
    (directory / "ca.crt").write_bytes(authority.certificate_pem)
    KeyPair.named(directory, "server").save(authority.issue(server("s", (), ("127.0.0.1",))))
    return directory


class Server:
    config = APIServerConfig(max_body_bytes=8_000_000)

    async def handle(self, request: Request) -> Response:
        if request.path == "/length":
            return Response(200, {}, str(len(request.body)).encode())
        return Response(200, {}, bytes(range(256)) * 20_000)


@contextlib.asynccontextmanager
async def listening(files):
    listener = socket.create_server(("127.0.0.1", 0))
    tls = TLSFiles(str(files / "server.crt"), str(files / "server.key"))
    running = await serve(Server(), [listener], tls)
    try:
        yield listener.getsockname()[1]
    finally:
        await running.close()


def trusting(files):
    return ssl.create_default_context(cafile=str(files / "ca.crt"))


async def test_a_large_answer_to_a_slow_reader_is_whole(files):
    async with listening(files) as port, asyncio.timeout(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting(files), limit=1024)
        writer.write(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
        got = b""
        while chunk := await reader.read(100_000):
            got += chunk
            await asyncio.sleep(0)
        assert got.partition(b"\r\n\r\n")[2] == bytes(range(256)) * 20_000
        writer.close()


async def test_a_large_body_is_received(files):
    async with listening(files) as port, asyncio.timeout(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting(files))
        writer.write(b"POST /length HTTP/1.1\r\nhost: h\r\ncontent-length: 7000000\r\n\r\n" + b"x" * 7_000_000)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        assert await reader.readexactly(7) == b"7000000"
        writer.close()


async def test_what_is_no_handshake_is_answered_with_an_alert(files):
    async with listening(files) as port, asyncio.timeout(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() in (b"", b"\x15\x03\x01\x00\x02\x02\x46")
        writer.close()


async def test_a_handshake_that_does_not_go_on_is_given_up(files, monkeypatch):
    monkeypatch.setattr("sampan.apiserver.accepted_tls.HANDSHAKE_S", 0.05)
    async with listening(files) as port, asyncio.timeout(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()


async def test_many_unfinished_handshakes_push_out_the_oldest(files, monkeypatch):
    monkeypatch.setattr("sampan.apiserver.accepted_tls.MAX_HANDSHAKES", 2)
    async with listening(files) as port, asyncio.timeout(60):
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        with contextlib.suppress(ConnectionResetError):
            assert await silent[0][0].read() == b""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting(files))
        writer.write(b"GET /length HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
        assert b"200 OK" in await reader.read()
        for _, other in [*silent, (reader, writer)]:
            other.close()


async def test_each_side_says_goodbye(files):
    """The end of an answer is told apart from a connection that was cut."""
    async with listening(files) as port, asyncio.timeout(60):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = trusting(files).wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async def pumped(step):
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    writer.write(outgoing.read())
                    incoming.write(await reader.read(65536))

        await pumped(tls.do_handshake)
        tls.write(b"GET /length HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
        got = b""
        while chunk := await pumped(lambda: tls.read(65536)):  # b"" is the goodbye; a cut would raise
            got += chunk
        assert got.endswith(b"\r\n\r\n0")
        writer.close()
