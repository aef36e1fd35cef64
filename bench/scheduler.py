"""How fast pods are placed: `python -m bench scheduler [SCENARIO…] [--scale 0.1] [--backlog]`.

API server (sqlite, TLS, RBAC, audit) and scheduler are processes as users have them, the scheduler reaching the server
over HTTPS by its kubeconfig; nodes are only objects. As in upstream's scheduler_perf all pods are created at once and
what counts is the time until the last is bound, so the server's work for creating them competes for the two cores. With
`--backlog` they all wait before the scheduler starts, and the time runs from the first binding to the last.

A line gives pods/s and what they are to exceed; the pods/s that the CPU of the busier process alone would allow; CPU µs
a pod of scheduler and server, each also as a multiple of one round of the calibration (mean of before and after); the
50th and 99th percentile from creation to binding, as a watcher sees it; and what was written meanwhile, a pod, as the
server counts it. Reference: kube-scheduler 1.20 placed 89 pods/s of (a) at 8,700 µs.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ssl
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import uvloop
import yaml
from prometheus_client.parser import text_string_to_metric_families

from bench import api, calibration, load, machine, workloads
from bench.workloads import Document, Scenario
from sampan.api.resources import NAMESPACES, PODS, PRIORITY_CLASSES, SERVICE_ACCOUNTS
from sampan.apimachinery.object import key_of
from sampan.client import kubeconfig
from sampan.client.client import Client
from sampan.client.transport import HTTPTransport
from sampan.pki.cluster import ClusterPKI
from sampan.storage.sqlite import SqliteStore

SAMPAN = Path(sys.executable).with_name("sampan")
CONNECTIONS = 8
COPIED_AT_ONCE = 2000
DEADLINE_S = 900.0
READS = ("GET", "LIST", "WATCH", "other")


@dataclass
class Bench:
    """A cluster for one scenario: its server, its scheduler once started, and what a watcher has seen bound."""

    directory: Path
    pki: ClusterPKI
    server_pid: int
    port: int
    client: Client
    scheduler_pid: int = 0
    bound_at: dict[str, float] = field(default_factory=dict)
    watching: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    async def writes(self) -> Counter[str]:
        """Requests that wrote so far, by verb and resource, as the server's /metrics tell."""
        text = (await self.client.raw("GET", "/metrics")).body.decode()
        found: Counter[str] = Counter()
        for family in text_string_to_metric_families(text):
            for sample in family.samples if family.name == "apiserver_request" else ():
                labels = sample.labels
                if labels["verb"] not in READS:
                    what = "/".join(filter(None, (labels["resource"], labels["subresource"])))
                    found[f"{labels['verb'].lower()} {what}"] += int(sample.value)
        return found

    def cpu_s(self) -> tuple[float, float]:
        """Of scheduler and server."""
        return machine.cpu_s(self.scheduler_pid) if self.scheduler_pid else 0.0, machine.cpu_s(self.server_pid)

    async def create(self, pods: list[Document]) -> dict[str, float]:
        """Create everything as fast as the server takes it; when each was sent."""
        requests = [load.request("POST", _path(document), document) for document in pods]
        sent = await self.send(requests, 201)
        return dict(zip(map(key_of, pods), sent.sent_at, strict=True)) if sent else {}

    async def send(self, requests: list[bytes], status: int) -> load.Measured | None:
        """Everything, expecting one answer."""
        if not requests:
            return None
        tls = ssl.create_default_context(cafile=str(self.pki.ca_path))
        tls.load_cert_chain(self.pki.directory / "admin.crt", self.pki.directory / "admin.key")
        sent = await load.send(self.port, tls, requests, lambda: 0.0, CONNECTIONS)
        assert sent.statuses == {status}, f"the answers were {sent.statuses}, not {status}"
        return sent

    async def watch(self) -> None:
        """Notes when each pod is bound."""
        version = (await self.client.list(PODS, limit=1))["metadata"]["resourceVersion"]
        async for event in self.client.watch(PODS, resource_version=version, field_selector="spec.nodeName!="):
            if event.type != "BOOKMARK":
                self.bound_at.setdefault(key_of(event.object), time.perf_counter())

    async def all_bound(self, pods: list[Document]) -> None:
        keys = [key_of(document) for document in pods]
        async with asyncio.timeout(DEADLINE_S):
            while not all(key in self.bound_at for key in keys):
                if self.watching is not None and self.watching.done():
                    self.watching.result()  # it failed
                await asyncio.sleep(0.02)

    @contextlib.contextmanager
    def scheduler(self) -> Iterator[None]:
        """The scheduler as its own process."""
        config = self.directory / "scheduler.conf"
        config.write_text(yaml.safe_dump(self.pki.kubeconfig("scheduler", self.url, "bench")))
        process = subprocess.Popen([
            SAMPAN, "scheduler", f"--kubeconfig={config}", "--secure-port=0", "--leader-elect=false", "-v=0",
        ])
        self.scheduler_pid = process.pid
        try:
            yield
        finally:
            process.terminate()
            process.wait()
            self.scheduler_pid = 0


@contextlib.asynccontextmanager
async def cluster(scenario: Scenario) -> AsyncIterator[Bench]:
    """A server with the scenario's nodes and the pods that run already."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        directory = Path(name)
        pki = ClusterPKI.ensure(directory / "pki")
        async with _serving(directory, pki) as bench:
            await _prepare(bench, scenario)
            if not scenario.copies:
                async with _watched(bench):
                    yield bench
                return
        await _copy(directory / "store.db", scenario)
        async with _serving(directory, pki) as bench, _watched(bench):
            yield bench


@contextlib.asynccontextmanager
async def _serving(directory: Path, pki: ClusterPKI) -> AsyncIterator[Bench]:
    with api.serving("api", directory) as (pid, port):
        document = pki.kubeconfig("admin", f"https://127.0.0.1:{port}", "bench")
        client = Client(HTTPTransport.from_credentials(kubeconfig.from_document(document, directory=directory)))
        try:
            yield Bench(directory, pki, pid, port, client)
        finally:
            await client.close()


@contextlib.asynccontextmanager
async def _watched(bench: Bench) -> AsyncIterator[None]:
    watching = bench.watching = asyncio.create_task(bench.watch())
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _copy(store_file: Path, scenario: Scenario) -> None:
    """Many more of the first placed pod, straight into the store: through the API they would take minutes."""
    store = await SqliteStore.open(store_file)
    try:
        first = next(one for one in (await store.list("/registry/core/pods/")).items)
        document, prefix = orjson.loads(first.value), first.key.rpartition("/")[0]
        for begin in range(0, scenario.copies, COPIED_AT_ONCE):
            await asyncio.gather(*(
                store.create(f"{prefix}/copy-{number}", orjson.dumps(_copied(document, number, scenario.nodes)))
                for number in range(begin, min(begin + COPIED_AT_ONCE, scenario.copies))
            ))
    finally:
        await store.close()


def _copied(document: Document, number: int, nodes: int) -> Document:
    meta = {**document["metadata"], "name": f"copy-{number}", "uid": f"00000000-0000-0000-0000-{number:012}"}
    return {**document, "metadata": meta, "spec": {**document["spec"], "nodeName": f"node-{number % nodes:05}"}}


async def _prepare(bench: Bench, scenario: Scenario) -> None:
    for namespace, labels in scenario.namespaces.items():
        await bench.client.create(NAMESPACES, {"metadata": {"name": namespace, "labels": dict(labels)}})
        await bench.client.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default"}}, namespace)
    for name, value in (("cheap", 1), ("important", 1000)):
        await bench.client.create(PRIORITY_CLASSES, {"metadata": {"name": name}, "value": value})
    nodes = [workloads.node(number, scenario.zones) for number in range(scenario.nodes)]
    await bench.create(nodes)
    untaint: Document = {"spec": {"taints": None}}  # a new node is tainted until a controller sees it Ready
    await bench.send([
        load.request("PATCH", f"{_path(node)}/{node['metadata']['name']}", untaint, "application/merge-patch+json")
        for node in nodes
    ], 200)
    await bench.create(scenario.placed)


def _path(document: Document) -> str:
    if document["kind"] == "Node":
        return "/api/v1/nodes"
    return f"/api/v1/namespaces/{document['metadata']['namespace']}/pods"


@dataclass(frozen=True)
class Figures:
    """What was measured of one scenario."""

    pods: int
    clock_s: float
    scheduler_us: float
    server_us: float
    latencies_s: list[float]
    resident_mib: tuple[float, float]
    """Of scheduler and server, at the end."""
    writes: Counter[str]

    @property
    def per_s(self) -> float:
        return self.pods / self.clock_s

    @property
    def allowed_per_s(self) -> float:
        """What the CPU of the busier process allows, however busy the machine is otherwise."""
        return 1e6 / max(self.scheduler_us, self.server_us)

    def percentile_ms(self, share: float) -> float:
        return sorted(self.latencies_s)[int((len(self.latencies_s) - 1) * share)] * 1e3


async def measure(scenario: Scenario, bench: Bench, *, backlog: bool) -> Figures:
    """Place the scenario's pods."""
    with contextlib.ExitStack() as stack:
        if not backlog:
            stack.enter_context(bench.scheduler())
            await _warm_up(scenario, bench)
        written, before = await bench.writes(), bench.cpu_s()
        churning = asyncio.create_task(_churn(bench, scenario.churn))
        created = await bench.create(scenario.measured)
        if backlog:
            before = bench.cpu_s()
            stack.enter_context(bench.scheduler())
        await bench.all_bound(scenario.measured)
        churning.cancel()
        used = [now - then for now, then in zip(bench.cpu_s(), before, strict=True)]
        written = await bench.writes() - written
        bound = [bench.bound_at[key] for key in created]
        began = min(bound) if backlog else min(created.values())
        count = len(created)
        latencies = [at - created[key] for key, at in zip(created, bound, strict=True)]
        resident = machine.rss_mib(bench.scheduler_pid), machine.rss_mib(bench.server_pid)
        costs = [seconds / count * 1e6 for seconds in used]
        return Figures(count, max(bound) - began, costs[0], costs[1], latencies, resident, written)


async def _warm_up(scenario: Scenario, bench: Bench) -> None:
    await bench.create(scenario.first)
    await bench.create(scenario.hopeless)
    await bench.all_bound(scenario.first)
    if scenario.hopeless:
        await _until(lambda: _refused(bench.client, len(scenario.hopeless)))


async def _churn(bench: Bench, pods: list[Document]) -> None:
    for document in pods:
        await bench.client.create(PODS, document)
        await asyncio.sleep(workloads.CHURN_S)


async def _refused(client: Client, count: int) -> bool:
    pods = (await client.list(PODS, field_selector="spec.nodeName="))["items"]
    return sum(any(c["type"] == "PodScheduled" for c in p["status"].get("conditions") or []) for p in pods) >= count


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not await condition():  # type: ignore[misc]
            await asyncio.sleep(0.5)


async def main(arguments: list[str]) -> None:
    """Parse, run what was asked for, print."""
    parser = argparse.ArgumentParser(prog="python -m bench scheduler")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="a to f, e-async, memory; all without any")
    parser.add_argument("--scale", type=float, default=1.0, help="of all numbers of nodes and pods")
    parser.add_argument("--backlog", action="store_true", help="all pods wait before the scheduler starts")
    asked = parser.parse_args(arguments)
    for key, make in workloads.SCENARIOS.items():
        if key in (asked.scenarios or workloads.SCENARIOS):
            scenario, before = make(asked.scale), calibration.measure()
            async with cluster(scenario) as bench:
                figures = await measure(scenario, bench, backlog=asked.backlog)
            round_s = (before.python_s + calibration.measure().python_s) / 2 / 2000
            show(key, scenario, figures, round_s * 1e6)


def show(key: str, scenario: Scenario, figures: Figures, round_us: float) -> None:
    aim = f", aim {scenario.aim_us:.0f}" if scenario.aim_us else ""
    print(
        f"{key}  {scenario.nodes:,} nodes, {figures.pods:,} pods"
        f"{f' and {scenario.copies:,} there' if scenario.copies else ''}: {scenario.what}\n"
        f"   {figures.per_s:7.0f} pods/s (to exceed {scenario.floor:.0f}; CPU allows {figures.allowed_per_s:.0f})   "
        f"scheduler {figures.scheduler_us:6.0f} µs × {figures.scheduler_us / round_us:5.2f}{aim}   "
        f"API server {figures.server_us:6.0f} µs × {figures.server_us / round_us:5.2f}   "
        f"p50 {figures.percentile_ms(0.5):7.1f} ms   p99 {figures.percentile_ms(0.99):7.1f} ms   "
        f"resident {figures.resident_mib[0]:.0f} + {figures.resident_mib[1]:.0f} MiB\n"
        f"   writes a pod: {', '.join(f'{n / figures.pods:.2f} {what}' for what, n in figures.writes.most_common(8))}",
        flush=True,
    )


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1:]))
