"""`sampan scheduler` as a process of its own, against a server over HTTPS with RBAC."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
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

from sampan.api.resources import LEASES, NODES, PODS
from sampan.apimachinery.object import Object, dig
from sampan.client import kubeconfig
from sampan.cmd.last_attempt import NoAnswer, SchedulerPort
from sampan.cmd.why import why

QUICK_LEASE = ("--leader-elect-lease-duration=8s", "--leader-elect-renew-deadline=6s", "--leader-elect-retry-period=1s")


class Cluster(Served):
    """With pods to be placed."""

    async def node_of(self, name: str) -> str:
        pod = await self.client.get(PODS, name, "default")
        return str(pod["spec"].get("nodeName") or "")

    async def create_pod(self, name: str, **spec: str) -> None:
        await self.client.create(PODS, {
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"containers": [{"name": "main", "image": "app:1"}], **spec},
        })

    async def is_bound(self, name: str) -> None:
        async def bound() -> bool:
            return bool(await self.node_of(name))

        await until(bound, f"{name} is bound")


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with served(tmp_path, "scheduler", disable_admission=("ServiceAccount",)) as found:
        await found.client.create(NODES, node("n1"))
        await found.client.patch(NODES, "n1", {"spec": {"taints": None}})
        yield Cluster(found.client, found.pki, found.files, found.kubeconfig)


def node(name: str) -> Object:
    offered = {"cpu": "4", "memory": "8Gi", "pods": "110"}
    return {"metadata": {"name": name}, "status": {"allocatable": offered, "capacity": offered}}


def scheduler(cluster: Cluster, *flags: str) -> AbstractAsyncContextManager[Process]:
    return running("scheduler", cluster, *flags)


async def test_it_schedules_and_says_how_it_is(cluster: Cluster, tmp_path: Path) -> None:
    port = free_port()
    ca = str(cluster.pki.ca_path)
    async with scheduler(cluster, f"--secure-port={port}", f"--client-ca-file={ca}") as process:
        await cluster.create_pod("a")
        await cluster.is_bound("a")
        lease = await cluster.client.get(LEASES, "kube-scheduler", "kube-system")
        assert lease["spec"]["holderIdentity"].startswith(socket.gethostname())
        tls = ssl.create_default_context()
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        async with aiohttp.ClientSession(f"https://127.0.0.1:{port}") as session:
            for path in ("/healthz", "/livez", "/readyz"):
                async with session.get(path, ssl=tls) as answer:
                    assert (answer.status, await answer.text()) == (200, "ok")
            async with session.get("/metrics", ssl=tls) as answer:
                assert answer.status == 401
        files = tmp_path / "pki"
        tls.load_cert_chain(files / "admin.crt", files / "admin.key")
        text = ""

        async def is_counted() -> bool:  # a pod shows that it is bound before its scheduler has heard of it
            nonlocal text
            async with aiohttp.ClientSession(f"https://127.0.0.1:{port}") as session, session.get(
                "/metrics", ssl=tls
            ) as answer:
                text = await answer.text()
            return 'attempts_total{profile="default-scheduler",result="scheduled"} 1.0' in text

        await until(is_counted, "the attempt is counted")
        assert 'scheduler_schedule_attempts_total{profile="default-scheduler",result="scheduled"} 1.0' in text
        assert 'scheduler_pending_pods{queue="active"} 0.0' in text
        assert 'scheduler_queue_incoming_pods_total{event="PodAdd",queue="active"} 1.0' in text
        assert 'leader_election_master_status{name="kube-scheduler"} 1.0' in text
        process.terminate()
        assert await process.wait() == 0
    lease = await cluster.client.get(LEASES, "kube-scheduler", "kube-system")
    assert not lease["spec"]["holderIdentity"], "the Lease is given up at the end"


async def test_another_takes_over_when_the_leader_is_killed(cluster: Cluster) -> None:
    async with scheduler(cluster, "--secure-port=0", *QUICK_LEASE) as first:
        await cluster.create_pod("a")
        await cluster.is_bound("a")
        async with scheduler(cluster, "--secure-port=0", *QUICK_LEASE):
            os.kill(first.pid, signal.SIGKILL)
            await first.wait()
            await cluster.create_pod("b")
            await cluster.is_bound("b")
            lease = await cluster.client.get(LEASES, "kube-scheduler", "kube-system")
            assert lease["spec"]["leaseTransitions"] == 1


async def test_profiles_of_a_configuration_file_work_side_by_side(cluster: Cluster, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("""
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
leaderElection: {leaderElect: false}
profiles:
- schedulerName: default-scheduler
- schedulerName: careless
  plugins: {filter: {disabled: [{name: NodeUnschedulable}]}}
""")
    await cluster.client.patch(NODES, "n1", {"spec": {"unschedulable": True}})
    await cluster.client.patch(NODES, "n1", {"spec": {"taints": None}})
    async with scheduler(cluster, f"--config={config}", "--secure-port=0"):
        await cluster.create_pod("a")
        await cluster.create_pod("b", schedulerName="careless")
        await cluster.is_bound("b")

        async def refused() -> bool:
            conditions = (await cluster.client.get(PODS, "a", "default"))["status"].get("conditions") or []
            return any("were unschedulable" in (dig(one, "message") or "") for one in conditions)

        await until(refused, "the default profile refuses")
        assert await cluster.node_of("a") == ""


@pytest.mark.parametrize(("config", "complaint"), [
    ("kind: KubeSchedulerConfiguration\napiVersion: kubescheduler.config.k8s.io/v1\nparallelism: -1\n",
     "sampan scheduler: parallelism: Invalid value: -1: should be an integer value greater than zero\n"),
    ("kind: KubeSchedulerConfiguration\napiVersion: kubescheduler.config.k8s.io/v1\n"
     "profiles: [{plugins: {filter: {enabled: [{name: Unheard}]}}}]\nleaderElection: {leaderElect: false}\n",
     'sampan scheduler: profile "default-scheduler": there is no plugin "Unheard"\n'),
    ("kind: KubeSchedulerConfiguration\napiVersion: kubescheduler.config.k8s.io/v1\n"
     "profiles: [{plugins: {score: {enabled: [{name: NodeName}]}}}]\nleaderElection: {leaderElect: false}\n",
     'sampan scheduler: profile "default-scheduler": plugin "NodeName" does not extend ScorePlugin plugin\n'),
])
async def test_a_mistake_is_one_line_and_exit_code_1(
    cluster: Cluster, tmp_path: Path, config: str, complaint: str
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(config)
    process = await asyncio.create_subprocess_exec(
        SAMPAN, "scheduler", f"--kubeconfig={cluster.kubeconfig}", f"--config={file}", "--secure-port=0", stderr=PIPE,
    )
    _, errors = await process.communicate()
    assert errors.decode().splitlines(keepends=True)[-1] == complaint
    assert process.returncode == 1
    assert "Traceback" not in errors.decode()


async def test_it_tells_what_its_last_attempt_saw(cluster: Cluster, tmp_path: Path) -> None:
    port, files = free_port(), cluster.pki.directory
    flags = (
        f"--secure-port={port}", f"--client-ca-file={files / 'ca.crt'}",
        f"--tls-cert-file={files / 'apiserver.crt'}", f"--tls-private-key-file={files / 'apiserver.key'}",
    )
    admin = kubeconfig.from_document(cluster.pki.kubeconfig("admin", "https://127.0.0.1:1", "test"), tmp_path)
    async with scheduler(cluster, *flags):
        await cluster.create_pod("elsewhere", nodeSelector={"disk": "ssd"})  # type: ignore[arg-type]

        async def is_told() -> bool:
            with contextlib.suppress(NoAnswer):
                return await asked(port).last_attempt(admin, "default", "elsewhere") is not None
            return False

        await until(is_told, "the attempt is told")
        seen = await asked(port).last_attempt(admin, "default", "elsewhere")
        assert seen is not None and seen["attempt"] == 1
        [verdict] = seen["verdicts"]
        assert verdict["plugin"] == "NodeAffinity" and verdict["nodes"] == ["n1"]
        report = await why(cluster.client, "default", "elsewhere", asked(port), admin)
        assert report.attempt is not None and report.attempt.message.startswith("0/1 nodes are available")
        stranger = kubeconfig.from_document(cluster.pki.kubeconfig("kube-proxy", "https://127.0.0.1:1", "t"), tmp_path)
        with pytest.raises(NoAnswer, match="cannot get path"):
            await asked(port).last_attempt(stranger, "default", "elsewhere")
        assert await asked(port).last_attempt(admin, "default", "nobody") is None
    with pytest.raises(NoAnswer):
        await asked(port).last_attempt(admin, "default", "elsewhere")


def asked(port: int) -> SchedulerPort:
    return SchedulerPort.of_url(f"https://127.0.0.1:{port}")


async def test_nothing_of_its_certificate_is_left_when_it_is_killed(cluster: Cluster, tmp_path: Path) -> None:
    port = free_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path))
        before = set(tmp_path.iterdir())
        async with scheduler(cluster, f"--secure-port={port}", "--leader-elect=false") as process:
            async def is_well() -> bool:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    return True
                return False

            await until(is_well, "it serves")
            process.kill()
            await process.wait()
        assert set(tmp_path.iterdir()) == before
