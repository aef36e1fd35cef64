"""What a request costs the API server: `python -m bench.api`.

The server runs as users have it (sqlite, TLS, RBAC, audit) and is asked by an ordinary user with a client certificate.
In the same run a bare TLS responder is asked the same way. Each line gives the server's CPU a request, how many times
the bare responder's that is and what was aimed at, all with one connection that asks one thing after the other; then
requests a second and their 99th percentile with eight.
"""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from bench import load, machine
from sampan.api.resources import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    LEASES,
    NAMESPACES,
    PODS,
    SERVICE_ACCOUNTS,
)
from sampan.client import kubeconfig
from sampan.client.client import Client
from sampan.client.transport import HTTPTransport
from sampan.pki.authority import client
from sampan.pki.certificate import KeyPair
from sampan.pki.cluster import ClusterPKI

TARGETS = {
    "GET pod": 4, "LIST 500 pods": 30, "LIST by label, 10 of 500": 7, "create ConfigMap": 8, "create Pod": 16,
    "patch pod status": 16, "apply Deployment": 20, "watch delivery": 0.4,
}
CONNECTIONS = 8
NODES = 50
PODS_LISTED, WATCHERS, WATCHED_WRITES = 500, 100, 200
CORE = "/api/v1/namespaces/bench"


def pod(name: str, labels: dict[str, str]) -> dict[str, Any]:
    """A Pod as a Deployment makes them, about 1 KB as sent."""
    probe = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10}
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": "web", **labels}},
        "spec": {"containers": [{
            "name": "web", "image": "registry.example/web:1.2.3", "args": ["--port=8080", "--verbose"],
            "env": [{"name": f"SETTING_{i}", "value": f"value {i}"} for i in range(5)],
            "ports": [{"containerPort": 8080, "name": "http"}],
            "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
            "readinessProbe": probe, "livenessProbe": probe,
        }]},
    }


def event(number: int) -> dict[str, Any]:
    """What a scheduler reports of each pod that it placed."""
    stamp = f"2026-01-01T00:{number // 60 % 60:02}:{number % 60:02}Z"
    return {
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": f"p1.{number:016x}"}, "type": "Normal", "count": 1,
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "namespace": "bench", "name": "p1", "uid": "u"},
        "reason": "Scheduled", "message": "Successfully assigned bench/p1 to node1", "firstTimestamp": stamp,
        "lastTimestamp": stamp, "source": {"component": "default-scheduler"},
    }


def deployment(replicas: int) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": {"app": "web"}},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": pod("x", {})["spec"]},
        },
    }


def status(number: int) -> dict[str, Any]:
    """What a kubelet patches."""
    stamp = f"2026-01-01T00:{number // 60 % 60:02}:{number % 60:02}Z"
    kinds = ("Initialized", "Ready", "ContainersReady", "PodScheduled")
    return {"status": {
        "phase": "Running", "podIP": "10.244.0.9", "podIPs": [{"ip": "10.244.0.9"}], "startTime": stamp,
        "conditions": [{"type": kind, "status": "True", "lastTransitionTime": stamp} for kind in kinds],
        "containerStatuses": [{
            "name": "web", "ready": True, "restartCount": number, "image": "web:1.2.3", "imageID": "sha256:0",
            "containerID": "containerd://0", "state": {"running": {"startedAt": stamp}},
        }],
    }}


def operations() -> dict[str, tuple[list[bytes], list[bytes]]]:
    """By name: requests that warm up, and those that are measured."""
    def many(count: int, make: Any) -> tuple[list[bytes], list[bytes]]:
        made = [make(number) for number in range(count)]
        return made[: count // 10], made[count // 10 :]

    def post(plural: str, document: dict[str, Any]) -> bytes:
        return load.request("POST", f"{CORE}/{plural}", document)

    def by_label(number: int) -> bytes:
        return load.request("GET", f"{CORE}/pods?labelSelector=tenth%3Dt{number % 50}")

    compressed = load.request("GET", f"{CORE}/pods").replace(b"accept:", b"accept-encoding: gzip\r\naccept:")

    def patch(number: int) -> bytes:
        path = f"{CORE}/pods/p{number % PODS_LISTED}/status"
        return load.request("PATCH", path, status(number), "application/strategic-merge-patch+json")

    def config_map(number: int) -> bytes:
        document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"c{number}"}}
        return post("configmaps", {**document, "data": {"k": "v" * 900}})

    def apply(number: int) -> bytes:
        path = "/apis/apps/v1/namespaces/bench/deployments/web?fieldManager=bench"
        return load.request("PATCH", path, deployment(number), "application/apply-patch+yaml")

    def bind(number: int) -> bytes:
        target = {"kind": "Node", "name": f"node{number % NODES}"}
        document = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": f"p{number}"}, "target": target}
        return post(f"pods/p{number}/binding", document)

    def renew(number: int) -> bytes:
        renewal = {"spec": {"renewTime": f"2026-01-01T00:{number // 60 % 60:02}:{number % 60:02}.000000Z"}}
        path = f"/apis/coordination.k8s.io/v1/namespaces/bench/leases/node{number % NODES}"
        return load.request("PATCH", path, renewal, "application/merge-patch+json")

    return {
        "GET pod": many(4000, lambda n: load.request("GET", f"{CORE}/pods/p{n % PODS_LISTED}")),
        "LIST 500 pods": many(200, lambda n: load.request("GET", f"{CORE}/pods")),
        "the same, as Go asks": many(200, lambda n: compressed),
        "LIST by label, 10 of 500": many(1500, by_label),
        "create ConfigMap": many(1500, config_map),
        "create Pod": many(1000, lambda n: post("pods", pod(f"new{n}", {"new": "yes"}))),
        "patch pod status": many(1000, patch),
        "apply Deployment": many(600, apply),
        "bind Pod": many(PODS_LISTED, bind),
        "create Event": many(1000, lambda n: post("events", event(n))),
        "renew Lease": many(1000, renew),
    }


@contextmanager
def serving(kind: str, directory: Path) -> Iterator[tuple[int, int]]:
    """The pid and port of a server."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.serving", kind, str(directory)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield process.pid, int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()


async def prepare(directory: Path, pki: ClusterPKI, port: int, pods: int = PODS_LISTED) -> None:
    """A user with ordinary rights, and the pods that are read."""
    admin = Client(HTTPTransport.from_credentials(kubeconfig.from_document(
        pki.kubeconfig("admin", f"https://127.0.0.1:{port}", "bench"), directory=directory
    )))
    rules = [
        {"apiGroups": ["", "apps", "coordination.k8s.io"], "resources": ["*"], "verbs": ["*"]},
        {"nonResourceURLs": ["/metrics"], "verbs": ["get"]},
    ]
    group = {"apiGroup": "rbac.authorization.k8s.io"}
    await admin.create(NAMESPACES, {"metadata": {"name": "bench"}})
    await admin.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default"}}, "bench")
    await admin.create(CLUSTER_ROLES, {"metadata": {"name": "bench"}, "rules": rules})
    await admin.create(CLUSTER_ROLE_BINDINGS, {
        "metadata": {"name": "bench"}, "subjects": [{"kind": "User", "name": "bench", **group}],
        "roleRef": {"kind": "ClusterRole", "name": "bench", **group},
    })
    await asyncio.gather(*(
        admin.create(PODS, pod(f"p{n}", {"tenth": f"t{n % 50}"}), "bench") for n in range(pods)
    ))
    for n in range(NODES):
        await admin.create(LEASES, {"metadata": {"name": f"node{n}"}, "spec": {"holderIdentity": "node"}}, "bench")
    await admin.close()


def credentials(directory: Path) -> tuple[ClusterPKI, ssl.SSLContext]:
    """Authorities for the servers, and what the user `bench` connects with."""
    pki = ClusterPKI.ensure(directory / "pki")
    KeyPair.named(directory / "pki", "bench").save(pki.ca.issue(client("bench")))
    tls = ssl.create_default_context(cafile=str(pki.ca_path))
    tls.load_cert_chain(directory / "pki" / "bench.crt", directory / "pki" / "bench.key")
    return pki, tls


@dataclass(frozen=True)
class Server:
    """One that runs."""

    pid: int
    port: int
    tls: ssl.SSLContext

    def cpu_s(self) -> float:
        return machine.cpu_s(self.pid)

    async def send(self, requests: list[bytes], connections: int = 1) -> load.Measured:
        return await load.send(self.port, self.tls, requests, self.cpu_s, connections)


async def compare(what: str, requests: tuple[list[bytes], list[bytes]], server: Server, bare_us: float) -> float:
    """Measure and print one operation; its CPU µs."""
    warm, measured = requests
    await server.send(warm)
    half = len(measured) // 2
    alone, crowded = await server.send(measured[:half]), await server.send(measured[half:], CONNECTIONS)
    assert alone.statuses | crowded.statuses <= {200, 201}, f"{what}: {alone.statuses | crowded.statuses}"
    rest = f"{crowded.per_s:8.0f}/s   p99 {crowded.p99_ms:6.1f} ms   {crowded.cpu_us:8.1f} µs"
    show(what, alone.cpu_us, bare_us or alone.cpu_us, rest)
    return alone.cpu_us


async def watch_delivery(server: Server) -> float:
    """CPU µs of one event to one of many watchers: what writes cost more than the same writes that none watches."""
    streams = [await asyncio.open_connection("127.0.0.1", server.port, ssl=server.tls) for _ in range(WATCHERS)]
    for _, writer in streams:
        query = "watch=true&resourceVersion=0&fieldSelector=metadata.name%3Dwatched"
        writer.write(load.request("GET", f"{CORE}/pods?{query}"))

    async def read(reader: asyncio.StreamReader, events: int) -> None:
        for _ in range(events):
            await reader.readuntil(b'{"type":')

    await server.send([load.request("POST", f"{CORE}/pods", pod("watched", {}))])
    await asyncio.wait_for(asyncio.gather(*(read(reader, 1) for reader, _ in streams)), 30)
    async def write(name: str) -> float:
        path = f"{CORE}/pods/{name}/status"
        used = server.cpu_s()
        await server.send([
            load.request("PATCH", path, status(n), "application/strategic-merge-patch+json")
            for n in range(WATCHED_WRITES)
        ])
        return used

    before = await write("p0")
    between = server.cpu_s()
    reading = asyncio.gather(*(read(reader, WATCHED_WRITES) for reader, _ in streams))
    await write("watched")
    await asyncio.wait_for(reading, 60)
    used = (server.cpu_s() - between) - (between - before)
    for _, writer in streams:
        writer.close()
    return used / (WATCHED_WRITES * WATCHERS) * 1e6


async def main(operations_asked: list[str]) -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        directory = Path(name)
        pki, tls = credentials(directory)
        with serving("bare", directory) as (bare_pid, bare_port), serving("api", directory) as (pid, port):
            await prepare(directory, pki, port)
            gets = [load.request("GET", f"{CORE}/pods/p1")] * 8000
            bare_us = await compare("bare responder", (gets[:500], gets[500:]), Server(bare_pid, bare_port, tls), 0.0)
            server, costs = Server(pid, port, tls), dict[str, float]()
            for what, requests in operations().items():
                if not operations_asked or what in operations_asked:
                    costs[what] = await compare(what, requests, server, bare_us)
            if not operations_asked or "watch delivery" in operations_asked:
                show("watch delivery", await watch_delivery(server), bare_us, "")
            print(f"memory of the API server {machine.pss_mib(pid):.0f} MiB")


def show(what: str, cpu_us: float, bare_us: float, rest: str) -> None:
    target = f"aim {TARGETS[what]:4}" if what in TARGETS else " " * 8
    print(f"{what:<26} {cpu_us:8.1f} µs   × {cpu_us / bare_us:6.2f}   {target}   {rest}", flush=True)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1:]))
