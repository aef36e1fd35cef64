"""How fast a local cluster starts and runs pods, and what it costs when idle: `python -m bench.cluster`.

Makes a cluster of its own with the installed `sampan`, measures, removes it:
- seconds from start to /readyz, to the node Ready, to the first pod Running and its Service answering;
- create → Running (as the API shows it) for one pod at a time, and for 30 at once;
- proportional memory of every process when idle, and CPU of the idle cluster in percent of one core.
"""

from __future__ import annotations

import asyncio
import compileall
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from bench import calibration, machine
from sampan.api.resources import NAMESPACES, NODES, PODS, SERVICE_ACCOUNTS, SERVICES
from sampan.apimachinery.errors import APIError
from sampan.apimachinery.object import Object, dig, name_of
from sampan.client.client import Client
from sampan.client.transport import HTTPTransport
from sampan.machines import namespace

NAME = "bench"
SAMPAN = Path(sys.executable).with_name("sampan")
RECIPE = Path(__file__).parents[1] / "examples" / "hello" / "image.yaml"
SOURCES = Path(__file__).parents[1] / "src"
SETTLE_S, IDLE_S = 15.0, 30.0
SINGLE_PODS, BURST_PODS = 10, 30
DEADLINE_S = 120.0


def sampan(*arguments: str) -> str:
    return subprocess.run([SAMPAN, *arguments], check=True, capture_output=True, text=True).stdout


def pod(name: str) -> Object:
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "web", "image": "hello:1.0", "ports": [{"containerPort": 8080}]}],
        },
    }


async def until(condition: Callable[[], Awaitable[bool]], interval_s: float = 0.01) -> float:
    """The moment at which the condition first held."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                if await condition():
                    return time.perf_counter()
            except (APIError, OSError):
                pass  # not there yet
            await asyncio.sleep(interval_s)


async def start(report: dict[str, float]) -> Client:
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        SAMPAN, "up", "--name", NAME, "--wait=0", stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    config = Path(f"/var/lib/sampan/{NAME}/kubeconfig")
    while not config.exists():
        await asyncio.sleep(0.01)
    prepared = time.perf_counter()
    client = Client(HTTPTransport.from_kubeconfig(config))

    async def readyz() -> bool:
        return (await client.raw("GET", "/readyz")).status == 200

    async def node_ready() -> bool:
        nodes = (await client.list(NODES))["items"]
        conditions = [c for node in nodes for c in dig(node, "status", "conditions", default=[])]
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    report["keys, network (s)"] = prepared - began
    report["/readyz (s)"] = await until(readyz) - prepared
    report["node Ready (s)"] = await until(node_ready) - prepared
    await process.wait()
    return client


async def first_service(client: Client, report: dict[str, float]) -> None:
    """From creating a pod and its Service to an answer through the Service's virtual address, from the node."""
    await until(lambda: _exists(client.get(SERVICE_ACCOUNTS, "default", "default")))
    sampan("image", "build", "--name", NAME, str(RECIPE))
    began = time.perf_counter()
    await client.create(PODS, pod("first"), "default")
    service = await client.create(SERVICES, {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "first"},
        "spec": {"selector": {"app": "first"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }, "default")
    address = service["spec"]["clusterIP"]
    report["first pod Running (s)"] = await until(lambda: _running(client, "first")) - began

    async def answers() -> bool:
        return await asyncio.to_thread(namespace.call_in, f"sampan-{NAME}-{NAME}-1", lambda: _http_answers(address))

    report["its Service answers (s)"] = await until(answers) - began


def _http_answers(address: str) -> bool:
    import urllib.request

    with urllib.request.urlopen(f"http://{address}/cgi-bin/index.cgi", timeout=0.5) as answer:
        return bool(answer.status == 200)


async def _exists(getting: Awaitable[Object]) -> bool:
    return bool(await getting)


async def _running(client: Client, name: str) -> bool:
    return bool((await client.get(PODS, name, "default"))["status"].get("phase") == "Running")


async def create_to_running(client: Client, names: list[str]) -> list[float]:
    """Seconds from the create call to the watch event that shows Running, for pods created at once."""
    listed = await client.list(PODS, "default")
    created: dict[str, float] = {}
    took: dict[str, float] = {}

    async def watched() -> None:
        version = listed["metadata"]["resourceVersion"]
        async for event in client.watch(PODS, "default", resource_version=version):
            name = name_of(event.object)
            if name in created and name not in took and dig(event.object, "status", "phase") == "Running":
                took[name] = time.perf_counter() - created[name]
                if len(took) == len(names):
                    return

    async def create(name: str) -> None:
        created[name] = time.perf_counter()
        await client.create(PODS, pod(name), "default")

    watcher = asyncio.create_task(watched())
    await asyncio.gather(*(create(name) for name in names))
    await asyncio.wait_for(watcher, DEADLINE_S)
    return list(took.values())


async def pods(client: Client, report: dict[str, float]) -> None:
    single = []
    for index in range(SINGLE_PODS):
        single += await create_to_running(client, [f"single-{index}"])
        await client.delete(PODS, f"single-{index}", "default", grace_period_s=0)
    report["create→Running, one pod, p50 (s)"] = statistics.median(single)
    report["create→Running, one pod, p99 (s)"] = max(single)
    before = machine.cluster_cpu_s(NAME)
    burst = await create_to_running(client, [f"burst-{index}" for index in range(BURST_PODS)])
    for name, seconds in sorted(machine.cluster_cpu_s(NAME).items()):
        if seconds > before.get(name, 0.0):
            report[f"CPU of {name}, 30 at once (s)"] = seconds - before.get(name, 0.0)
    report["create→Running, 30 at once, p50 (s)"] = statistics.median(burst)
    report["create→Running, 30 at once, p99 (s)"] = max(burst)
    await client.delete_collection(PODS, "default")
    await until(lambda: _none_left(client))


async def _none_left(client: Client) -> bool:
    return not (await client.list(PODS, "default"))["items"]


async def idle(report: dict[str, float]) -> None:
    await asyncio.sleep(SETTLE_S)  # what the pods leave behind is still being removed
    processes = [p for p in json.loads(sampan("status", "--name", NAME, "-o", "json"))["processes"] if p["pid"]]
    before = {p["pid"]: machine.cpu_s(p["pid"]) for p in processes}
    began = time.perf_counter()
    await asyncio.sleep(IDLE_S)
    elapsed_s = time.perf_counter() - began
    python_mib = 0.0
    used = {p["pid"]: machine.cpu_s(p["pid"]) - before[p["pid"]] for p in processes}
    for process in processes:
        memory = machine.pss_mib(process["pid"])
        report[f"idle PSS of {process['name']} (MiB)"] = memory
        report[f"idle CPU of {process['name']} (% of a core)"] = used[process["pid"]] / elapsed_s * 100
        python_mib += memory if machine.is_python(process["pid"]) else 0.0
    report["idle PSS of all Python processes (MiB)"] = python_mib
    report["idle CPU of the cluster (% of a core)"] = sum(used.values()) / elapsed_s * 100


async def main() -> None:
    yardstick = calibration.measure()
    print(yardstick)
    print(f"load before: {os.getloadavg()[0]:.1f}; on a busy machine seconds of the clock mean little")
    compileall.compile_dir(SOURCES, quiet=1)  # as an installed sampan is
    report: dict[str, float] = {}
    sampan("down", "--name", NAME)
    try:
        client = await start(report)
        await first_service(client, report)
        await pods(client, report)
        await client.get(NAMESPACES, "default")
        await idle(report)
        await client.close()
    finally:
        sampan("down", "--name", NAME)
    for what, figure in report.items():
        ratio = ""
        if "(s)" in what:
            ratio = f"   {figure / yardstick.process_s:7.0f} × starting a process"
        elif "CPU" in what:
            ratio = f"   {figure / 100 / yardstick.python_s:7.2f} × the python workload a second"
        print(f"{what:<48} {figure:8.2f}{ratio}")


if __name__ == "__main__":
    asyncio.run(main())
