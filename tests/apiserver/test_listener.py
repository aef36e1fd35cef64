"""HTTPS: certificates, streams, upgrades, limits; with bare sockets, so that every byte is seen."""

import asyncio
import contextlib
import gzip
import socket
import ssl
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.apimachinery.http import Request, Response
from sampan.apiserver.config import APIServerConfig
from sampan.apiserver.listener import TLSFiles, _parameters, serve
from sampan.pki.authority import CertificateAuthority, client, server
from sampan.pki.certificate import KeyPair


class Server:
    """Stands in for the API server."""

    def __init__(self, handle, config):
        self.config = APIServerConfig(max_body_bytes=1000, **config)
        self.handle = handle


@contextlib.asynccontextmanager
async def listening(handle, tls=None, **config):
    listener = socket.create_server(("127.0.0.1", 0))
    running = await serve(Server(handle, config), [listener], tls)
    try:
        yield listener.getsockname()[1]
    finally:
        await running.close()


async def echo(request: Request) -> Response:
    text = f"{request.method} {request.path} {request.query} {request.headers.get('x-many')} {request.body!r}"
    return Response(200, {"content-type": "text/plain"}, text.encode())


async def exchange(port, sent, *, until=b""):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    async with asyncio.timeout(60):
        got = await (reader.readuntil(until) if until else reader.read())
    writer.close()
    return got


async def test_requests_keep_the_connection_and_their_order():
    async with listening(echo) as port:
        sent = (
            b"GET /a%20b?x=1&x=2 HTTP/1.1\r\nhost: h\r\nX-Many: 1\r\nx-many: 2\r\n\r\n"
            b"POST /p HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 4\r\n\r\nbody"
        )
        got = (await exchange(port, sent)).decode()
        assert got.index("GET /a b {'x': ['1', '2']} 1, 2 b''") < got.index("POST /p {} None b'body'")


async def test_a_body_that_is_too_large_is_refused():
    async with listening(echo) as port:
        head = b"POST /p HTTP/1.1\r\nhost: h\r\ncontent-length: 5000\r\n\r\n"
        assert b"413" in await exchange(port, head, until=b"\r\n")
        chunked = b"POST /p HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n7d0\r\n" + b"x" * 2000
        assert b"413" in await exchange(port, chunked, until=b"\r\n")


async def test_a_stream_ends_with_its_reader():
    ended = asyncio.Event()

    async def endless(request):
        async def chunks():
            try:
                yield b"one\n"
                await asyncio.Event().wait()
            finally:
                ended.set()

        return Response(200, {}, stream=chunks())

    async with listening(endless) as port:
        got = await exchange(port, b"GET / HTTP/1.1\r\nhost: h\r\n\r\n", until=b"one\n")
        assert b"transfer-encoding: chunked" in got
        await asyncio.wait_for(ended.wait(), 60)


@pytest.mark.parametrize("protocol", ["websocket", "SPDY/3.1"])
async def test_an_upgraded_connection_is_handed_over_and_closed(protocol):
    async def shout(duplex):
        while data := await duplex.read():
            await duplex.write(data.upper())
            if b"bye" in data:
                return

    async def handle(request):
        headers = {"upgrade": protocol, "connection": "Upgrade"}
        return Response(101, headers, upgrade=shout)

    async with listening(handle) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            f"POST /x HTTP/1.1\r\nhost: h\r\nconnection: Upgrade\r\nupgrade: {protocol}\r\n\r\n".encode()
        )
        async with asyncio.timeout(60):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 101")
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            assert await reader.readexactly(18) == b"GET / HTTP/1.1\r\n\r\n"
            writer.write(b"bye")
            assert await reader.read() == b"BYE"
        writer.close()


async def test_a_refused_upgrade_ends_the_connection():
    async with listening(echo) as port:
        sent = (
            b"GET /x HTTP/1.1\r\nhost: h\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n"
            b"GET /smuggled HTTP/1.1\r\nhost: h\r\n\r\n"
        )
        got = await exchange(port, sent)
        assert b"smuggled" not in got and b"connection: close" in got


async def test_large_answers_are_compressed_on_request():
    async def large(request):
        return Response(200, {}, b"x" * 200_000)

    async with listening(large) as port:
        sent = b"GET / HTTP/1.1\r\nhost: h\r\naccept-encoding: gzip\r\nconnection: close\r\n\r\n"
        head, _, body = (await exchange(port, sent)).partition(b"\r\n\r\n")
        assert b"content-encoding: gzip" in head and gzip.decompress(dechunked(body)) == b"x" * 200_000


async def test_small_answers_and_those_of_others_are_not_compressed():
    async def answer(request):
        return Response(200, {}, b"x" * (200_000 if request.path == "/large" else 128 * 1024))

    async with listening(answer) as port:
        for head in (b"GET /large HTTP/1.1\r\n", b"GET /small HTTP/1.1\r\naccept-encoding: gzip\r\n"):
            got = await exchange(port, head + b"host: h\r\nconnection: close\r\n\r\n")
            assert b"content-encoding" not in got and got.endswith(b"x" * 128 * 1024)


def dechunked(body):
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        whole, body = whole + body[: int(size, 16)], body[int(size, 16) + 2 :]
    return whole


async def test_a_connection_that_is_idle_gives_way_to_a_new_one():
    async with listening(echo, max_connections=2) as port:
        first, second = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        for reader, writer in (second, first):  # so `second` is idle longest
            writer.write(b"GET /a HTTP/1.1\r\nhost: h\r\n\r\n")
            await asyncio.wait_for(reader.readuntil(b"b''"), 60)
        assert b"200 OK" in await exchange(port, b"GET /b HTTP/1.1\r\nhost: h\r\n\r\n", until=b"b''")
        assert await asyncio.wait_for(second[0].read(), 60) == b""
        first[1].write(b"GET /c HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
        assert b"GET /c" in await asyncio.wait_for(first[0].read(), 60)
        for _, writer in (first, second):
            writer.close()


async def test_when_all_connections_are_busy_a_new_one_is_told_to_come_back():
    arrived, release = asyncio.Event(), asyncio.Event()

    async def slow(request):
        arrived.set()
        await release.wait()
        return Response(200, {}, b"ok")

    async with listening(slow, max_connections=1) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /a HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
        await asyncio.wait_for(arrived.wait(), 60)
        refused = await exchange(port, b"GET /b HTTP/1.1\r\nhost: h\r\n\r\n")
        assert b"429 Too Many Requests" in refused and b"retry-after: 1" in refused
        release.set()
        assert b"200 OK" in await asyncio.wait_for(reader.read(), 60)
        writer.close()
        assert b"200 OK" in await exchange(port, b"GET /c HTTP/1.1\r\nhost: h\r\n\r\n", until=b"ok")


async def test_a_peer_that_reads_nothing_is_cut_off(monkeypatch):
    monkeypatch.setattr("sampan.apiserver.connection.STALL_S", 0.05)
    ended = asyncio.Event()

    async def endless(request):
        async def chunks():
            try:
                while True:
                    yield b"x" * 65536
            finally:
                ended.set()

        return Response(200, {}, stream=chunks())

    async with listening(endless) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
        await asyncio.wait_for(ended.wait(), 60)
        writer.close()


async def test_the_client_certificate_reaches_the_request(tmp_path):
    authority = CertificateAuthority.create("test")
    (tmp_path / "ca.crt").write_bytes(authority.certificate_pem)
    proxies = CertificateAuthority.create("proxies")
    (tmp_path / "proxies.crt").write_bytes(proxies.certificate_pem)
    pairs = {
        "server": authority.issue(server("s", (), ("127.0.0.1",))), "client": authority.issue(client("alice")),
        "proxy": proxies.issue(client("front-proxy-client")),
    }
    for name, credential in pairs.items():
        KeyPair.named(tmp_path, name).save(credential)
    seen = []

    async def handle(request):
        seen.append(request.peer_certificate)
        return Response(200, {}, b"ok")

    tls = TLSFiles(*(str(tmp_path / name) for name in ("server.crt", "server.key", "ca.crt", "proxies.crt")))
    async with listening(handle, tls) as port:
        for shown in ("", "client", "proxy"):
            context = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
            context.set_alpn_protocols(["h2", "http/1.1"])
            if shown:
                context.load_cert_chain(tmp_path / f"{shown}.crt", tmp_path / f"{shown}.key")
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
            writer.write(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
            async with asyncio.timeout(60):
                await reader.read()
            writer.close()
    ders = [ssl.PEM_cert_to_DER_cert(pairs[name].certificate_pem.decode()) for name in ("client", "proxy")]
    assert seen == [None, *ders]


@given(st.text("ab=&%+2fé ", max_size=20))
def test_parameters_are_read_as_the_standard_library_reads_them(query):
    assert _parameters(query) == parse_qs(query, keep_blank_values=True)
