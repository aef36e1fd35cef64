"""`sampan controller-manager` as a process of its own, against a server over HTTPS with RBAC."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import orjson
import pytest
from tests.ports import free_port

from sampan.api.resources import DEPLOYMENTS, LEASES, NODES, PODS
from sampan.apimachinery.object import Object, dig
from sampan.apiserver.config import APIServerConfig
from sampan.apiserver.listener import TLSFiles, serve
from sampan.apiserver.server import ITSELF, APIServer
from sampan.client.client import Client
from sampan.pki.cluster import ClusterPKI
from sampan.storage.memory import MemoryStore

SAMPAN = Path(sys.executable).with_name("sampan")
FLAGS = (
    "--use-service-account-credentials", "--controllers=*,-job", "--allocate-node-cidrs", "--cluster-cidr=10.9.0.0/16",
    "--node-monitor-period=500ms", "--node-startup-grace-period=2s", "--concurrent-deployment-syncs=3",
)


@dataclass
class Cluster:
    """A server, an administrator's client, and the file with which an administrator reaches it."""

    client: Client
    files: Path
    kubeconfig: Path


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    try:
        async with asyncio.timeout(60):
            while not await condition():
                await asyncio.sleep(0.05)
    except TimeoutError:
        pytest.fail(f"it never came about that {what}")


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    files = tmp_path / "pki"
    pki = ClusterPKI.ensure(files)
    server = APIServer(MemoryStore(), APIServerConfig(
        client_ca_file=str(files / "ca.crt"), service_account_key_files=(str(files / "sa.pub"),),
        service_account_signing_key_file=str(files / "sa.key"),
    ))
    await server.start()
    listener = socket.create_server(("127.0.0.1", 0))
    tls = TLSFiles(str(files / "apiserver.crt"), str(files / "apiserver.key"), str(files / "ca.crt"))
    listeners = await serve(server, [listener], tls)
    config = tmp_path / "admin.conf"
    url = f"https://127.0.0.1:{listener.getsockname()[1]}"
    config.write_bytes(orjson.dumps(pki.kubeconfig("admin", url, "test")))
    try:
        yield Cluster(Client(server.transport(ITSELF)), files, config)
    finally:
        await listeners.close()
        await server.stop()


@contextlib.asynccontextmanager
async def manager(cluster: Cluster, *flags: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        SAMPAN, "controller-manager", f"--kubeconfig={cluster.kubeconfig}", "--bind-address=127.0.0.1", *flags,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def ask(cluster: Cluster, port: int, path: str) -> str:
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    tls.load_cert_chain(cluster.files / "admin.crt", cluster.files / "admin.key")
    async with aiohttp.ClientSession(f"https://127.0.0.1:{port}") as session, session.get(path, ssl=tls) as answer:
        assert answer.status == 200, path
        return await answer.text()


def deployment() -> Object:
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "app:1"}]}}
    return {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": template},
    }


async def test_it_controls_as_its_flags_say_and_says_so(cluster: Cluster) -> None:
    port, client = free_port(), cluster.client
    await client.create(NODES, {"metadata": {"name": "silent"}})
    async with manager(cluster, f"--secure-port={port}", f"--client-ca-file={cluster.files / 'ca.crt'}", *FLAGS) as one:
        await client.create(DEPLOYMENTS, deployment())

        async def has_pods() -> bool:
            return len((await client.list(PODS, "default"))["items"]) == 2

        async def is_unknown() -> bool:
            node = await client.get(NODES, "silent")
            ready = [c for c in dig(node, "status", "conditions", default=()) if c["type"] == "Ready"]
            return bool(ready) and ready[0]["status"] == "Unknown" and dig(node, "spec", "podCIDR") == "10.9.0.0/24"

        await until(has_pods, "the Deployment has its pods")
        await until(is_unknown, "a node that never spoke is unknown after two seconds, and has its range")
        lease = await client.get(LEASES, "kube-controller-manager", "kube-system")
        assert lease["spec"]["holderIdentity"].startswith(f"{socket.gethostname()}_")
        assert await ask(cluster, port, "/healthz") == "ok"
        figures = await ask(cluster, port, "/metrics")
        assert 'leader_election_master_status{name="kube-controller-manager"} 1.0' in figures
        assert 'workqueue_adds_total{name="deployment"}' in figures
        assert 'workqueue_adds_total{name="job"}' not in figures
        told = await ask(cluster, port, "/flagz")
        for line in ("controllers=*,-job", "node-startup-grace-period=2s", "concurrent-deployment-syncs=3"):
            assert line in told.splitlines()
        one.terminate()
        assert await one.wait() == 0
    lease = await client.get(LEASES, "kube-controller-manager", "kube-system")
    assert not lease["spec"]["holderIdentity"], "the Lease is given up at the end"


@pytest.mark.parametrize(("flags", "complaint"), [
    (("--controllers=*,-nonsense",), "'nonsense' is not in the list of known controllers"),
    (("--concurrent-job-syncs=0",), "argument --concurrent-job-syncs: '0' must be at least 1"),
    (("--kubeconfig=/nonexistent",), "No such file or directory"),
])
async def test_what_makes_no_sense_is_one_line(flags: tuple[str, ...], complaint: str) -> None:
    process = await asyncio.create_subprocess_exec(SAMPAN, "controller-manager", *flags, stderr=PIPE)
    _, told = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode in (1, 2)
    assert complaint in told.decode().splitlines()[-1] and "Traceback" not in told.decode()
