"""`sampan controller-manager` as a process of its own, against a server over HTTPS with RBAC."""

from __future__ import annotations

import asyncio
import socket
import ssl
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import aiohttp
import pytest
from tests.cmd.alone import SAMPAN, Served, running, served, until
from tests.ports import free_port

from sampan.api.resources import DEPLOYMENTS, LEASES, NODES, PODS
from sampan.apimachinery.object import Object, dig

FLAGS = (
    "--use-service-account-credentials", "--controllers=*,-job", "--allocate-node-cidrs", "--cluster-cidr=10.9.0.0/16",
    "--node-monitor-period=500ms", "--node-startup-grace-period=2s", "--concurrent-deployment-syncs=3",
)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path, "admin") as found:
        yield found


def manager(cluster: Served, *flags: str) -> AbstractAsyncContextManager[Process]:
    return running("controller-manager", cluster, *flags)


async def ask(cluster: Served, port: int, path: str) -> str:
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


async def test_it_controls_as_its_flags_say_and_says_so(cluster: Served) -> None:
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
