"""HTTPTransport against a real HTTPS server on loopback."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
import yaml
from aiohttp import web
from tests.ports import free_port

from sampan.api.resources import PODS
from sampan.apimachinery import errors
from sampan.client import kubeconfig
from sampan.client.client import Client
from sampan.client.transport import HTTPTransport
from sampan.pki.authority import CertificateAuthority, client, server
from sampan.pki.certificate import KeyPair


class Served:
    """An API server that tells who asks, and whose streams break on request."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = CertificateAuthority.create("test-ca")
        self.client_pair = KeyPair(directory / "client.crt", directory / "client.key")
        self.client_pair.save(self.authority.issue(client("alice")))
        (directory / "ca.crt").write_bytes(self.authority.certificate_pem)
        (directory / "token").write_text("first\n")
        self.seen: list[dict[str, str]] = []
        self.connections: set[int] = set()
        self.break_stream = asyncio.Event()
        self.url = ""

    async def start(self) -> web.AppRunner:
        pair = KeyPair(self.directory / "server.crt", self.directory / "server.key")
        pair.save(self.authority.issue(server("api", ["localhost", "api.example"], ["127.0.0.1"])))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=self.authority.certificate_pem.decode())
        context.load_cert_chain(pair.certificate, pair.key)
        context.verify_mode = ssl.CERT_OPTIONAL
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self.handle)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        self.url = f"https://127.0.0.1:{runner.addresses[0][1]}"
        return runner

    async def handle(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        certificate = request.transport.get_extra_info("peercert") or {}
        names = {key: value for group in certificate.get("subject", ()) for key, value in group}
        self.connections.add(id(request.transport))
        self.seen.append({
            "path": request.path, "selector": request.query.get("labelSelector", ""),
            "user": names.get("commonName", ""), "serial": certificate.get("serialNumber", ""),
            "token": request.headers.get("Authorization", ""), "as": request.headers.get("Impersonate-User", ""),
        })
        if request.path.endswith("/missing"):
            return web.Response(status=404, body=orjson.dumps(errors.NotFound('pods "missing" not found').to_status()))
        if "watch" not in request.query:
            return web.Response(body=orjson.dumps({"kind": "PodList", "metadata": {}, "items": []}))
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(orjson.dumps({"type": "ADDED", "object": {"metadata": {"name": "a"}}}) + b"\n")
        if request.query.get("timeoutSeconds") != "1":
            await self.break_stream.wait()
            request.transport.abort()  # type: ignore[attr-defined]
        return answer

    def write_kubeconfig(self, user: dict[str, str], **cluster: str) -> Path:
        path = self.directory / "kubeconfig"
        path.write_text(yaml.safe_dump({
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "c", "user": "u", "namespace": "team"}}],
            "clusters": [{"name": "c", "cluster": {"server": self.url, "certificate-authority": "ca.crt", **cluster}}],
            "users": [{"name": "u", "user": user}],
        }))
        return path


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    found = Served(tmp_path)
    runner = await found.start()
    yield found
    found.break_stream.set()
    await runner.cleanup()


CERTIFICATES = {"client-certificate": "client.crt", "client-key": "client.key"}


async def test_certificates_of_a_kubeconfig_say_who_asks_over_one_connection(served: Served) -> None:
    api = Client(HTTPTransport.from_kubeconfig(served.write_kubeconfig(CERTIFICATES)))
    for _ in range(3):
        await api.list(PODS, "default", label_selector="a in (b, c),d=e/f")
    assert {one["user"] for one in served.seen} == {"alice"}
    assert served.seen[0]["path"] == "/api/v1/namespaces/default/pods"
    assert served.seen[0]["selector"] == "a in (b, c),d=e/f"
    assert len(served.connections) == 1
    await api.close()


async def test_a_rotated_certificate_is_used_from_the_next_request_on(served: Served) -> None:
    api = Client(HTTPTransport.from_kubeconfig(served.write_kubeconfig(CERTIFICATES)))
    await api.list(PODS)
    served.client_pair.save(served.authority.issue(client("alice")))
    await api.list(PODS)
    assert served.seen[0]["serial"] != served.seen[1]["serial"]
    await api.close()


async def test_inline_data_and_tokens_work(served: Served) -> None:
    credential = served.client_pair.load()
    assert credential is not None
    user = {
        "client-certificate-data": base64.b64encode(served.client_pair.certificate.read_bytes()).decode(),
        "client-key-data": base64.b64encode(served.client_pair.key.read_bytes()).decode(),
        "token": "secret", "as": "bob",
    }
    authority = base64.b64encode(served.authority.certificate_pem).decode()
    path = served.write_kubeconfig(user, **{"certificate-authority-data": authority})
    api = Client(HTTPTransport.from_kubeconfig(path))
    await api.list(PODS)
    assert (served.seen[0]["user"], served.seen[0]["token"], served.seen[0]["as"]) == ("alice", "Bearer secret", "bob")
    await api.close()


async def test_a_token_file_is_read_again_when_it_changes(served: Served) -> None:
    api = Client(HTTPTransport.from_kubeconfig(served.write_kubeconfig({"tokenFile": "token"})))
    await api.list(PODS)
    (served.directory / "token.new").write_text("second")
    (served.directory / "token.new").rename(served.directory / "token")
    await api.list(PODS)
    assert [one["token"] for one in served.seen] == ["Bearer first", "Bearer second"]
    await api.close()


async def test_errors_of_the_server_are_raised_as_what_they_are(served: Served) -> None:
    api = Client(HTTPTransport.from_kubeconfig(served.write_kubeconfig(CERTIFICATES)))
    with pytest.raises(errors.NotFound, match='pods "missing" not found'):
        await api.get(PODS, "missing", "default")
    await api.close()


async def test_a_watch_streams_and_ends(served: Served) -> None:
    api = Client(HTTPTransport.from_kubeconfig(served.write_kubeconfig(CERTIFICATES)))
    events = [event async for event in api.watch(PODS, timeout_s=1)]
    assert [event.type for event in events] == ["ADDED"]
    await api.close()


async def test_a_stream_that_breaks_is_service_unavailable(served: Served) -> None:
    api = Client(HTTPTransport.from_kubeconfig(served.write_kubeconfig(CERTIFICATES)))
    stream = api.watch(PODS)
    assert (await anext(stream)).type == "ADDED"
    served.break_stream.set()
    with pytest.raises(errors.ServiceUnavailable):
        await anext(stream)
    await api.close()


async def test_nobody_listening_is_service_unavailable() -> None:
    api = Client(HTTPTransport(f"http://127.0.0.1:{free_port()}"))
    with pytest.raises(errors.ServiceUnavailable):
        await api.list(PODS)
    await api.close()


async def test_an_authority_that_is_not_ours_is_refused(served: Served) -> None:
    path = served.write_kubeconfig(CERTIFICATES)
    (served.directory / "ca.crt").write_bytes(CertificateAuthority.create("other").certificate_pem)
    api = Client(HTTPTransport.from_kubeconfig(path))
    with pytest.raises(errors.ServiceUnavailable, match="certificate"):
        await api.list(PODS)
    await api.close()


async def test_the_servers_name_may_be_another_than_its_address(served: Served) -> None:
    path = served.write_kubeconfig(CERTIFICATES, **{"tls-server-name": "api.example"})
    api = Client(HTTPTransport.from_kubeconfig(path))
    await api.list(PODS)
    await api.close()
    path = served.write_kubeconfig(CERTIFICATES, **{"tls-server-name": "wrong.example"})
    api = Client(HTTPTransport.from_kubeconfig(path))
    with pytest.raises(errors.ServiceUnavailable):
        await api.list(PODS)
    await api.close()


def test_kubeconfigs_that_cannot_be_used_say_why(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    with pytest.raises(kubeconfig.KubeconfigError, match="kubeconfig"):
        kubeconfig.load(path)
    path.write_text("contexts: []\ncurrent-context: here\n")
    with pytest.raises(kubeconfig.KubeconfigError, match="contexts has no entry named 'here'"):
        kubeconfig.load(path)
    with pytest.raises(kubeconfig.KubeconfigError, match="'there'"):
        kubeconfig.load(path, "there")
