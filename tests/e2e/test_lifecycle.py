"""The whole life of a cluster: killed piece by piece, rebooted, brought back, removed without trace.

These tests destroy, so they have a cluster of their own with a process for every component.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.kubectl import MANIFESTS, Kubectl, eventually, kill, sampan, up

from sampan.machines import namespace, traces
from sampan.machines.layout import Layout

NAME = "heal"
REQUESTS_PER_S = 20
COMPONENTS = ("apiserver", "controller-manager", "scheduler", "kubelet-1", "proxy-1", "dns-1", "containerd-1")


class Prober(threading.Thread):
    """Calls the Service 20 times a second from the node until told to stop; counts what came back."""

    def __init__(self, address: str) -> None:
        super().__init__(name="prober")
        self.good = 0
        self.bad: list[str] = []
        self._address = address
        self._over = threading.Event()

    def run(self) -> None:
        namespace.enter(f"sampan-{NAME}-{NAME}-1")
        while not self._over.wait(1 / REQUESTS_PER_S):
            try:
                with urllib.request.urlopen(f"http://{self._address}/", timeout=10) as answer:
                    assert b"Welcome" in answer.read()
                self.good += 1
            except OSError as error:
                self.bad.append(f"{time.strftime('%X')} {error}")

    def stop(self) -> None:
        self._over.set()
        self.join()


@pytest.fixture(scope="module")
def separate() -> Iterator[str]:
    sampan("down", "--name", NAME)
    up(NAME, "--separate")
    sampan("image", "build", "--name", NAME, str(MANIFESTS / "nginx-1.7.9.yaml"))
    yield NAME
    sampan("down", "--name", NAME)


@pytest.fixture
def healing(separate: str, binary: str) -> Kubectl:
    kubectl = Kubectl(binary, Path(sampan("kubeconfig", "path", "--name", separate).strip()))
    kubectl("apply", "-f", str(MANIFESTS / "primer-deployment.yaml"))
    kubectl("rollout", "status", "deployment/nginx-deployment", "--timeout=140s")
    return kubectl


def _pids(name: str) -> dict[str, int]:
    processes = json.loads(_status(name))["processes"]
    return {process["name"]: process["pid"] for process in processes}


def _status(name: str) -> str:
    try:
        return sampan("status", "--name", name, "-o", "json")
    except AssertionError as error:
        return getattr(error, "out", "")


def _restarts(kubectl: Kubectl) -> dict[str, int]:
    return {
        pod["metadata"]["name"]: sum(status["restartCount"] for status in pod["status"]["containerStatuses"])
        for pod in kubectl.json("get", "pods", "-l", "app=nginx")["items"]
    }


def test_the_cluster_heals_after_kill_9_of_each_process_and_nothing_acknowledged_is_lost(healing: Kubectl) -> None:
    kubectl = healing
    with contextlib.suppress(AssertionError):
        kubectl("expose", "deployment", "nginx-deployment", "--port=80")
    address = kubectl.json("get", "service", "nginx-deployment")["spec"]["clusterIP"]
    pods = _restarts(kubectl)
    eventually(lambda: _answers(address), what="the Service answers")
    prober = Prober(address)
    prober.start()
    acknowledged: list[str] = []
    try:
        for component in COMPONENTS:
            before = _pids(NAME)
            kill(before[component])
            name = f"after-{component}"
            eventually(lambda n=name: kubectl("create", "configmap", n), what=f"a write without {component}")
            acknowledged.append(name)
            eventually(
                lambda c=component, b=before: _pids(NAME)[c] not in (0, b[c]) and json.loads(_status(NAME))["ready"],
                what=f"ready again after {component} was killed",
            )
        # Everything still works: a new pod is scheduled, started, and becomes an endpoint.
        kubectl("scale", "deployment", "nginx-deployment", "--replicas=3")
        kubectl("rollout", "status", "deployment/nginx-deployment", "--timeout=140s")
    finally:
        prober.stop()
    assert prober.good > REQUESTS_PER_S * len(COMPONENTS) / 2
    assert not prober.bad, f"{len(prober.bad)} of {prober.good + len(prober.bad)} requests failed: {prober.bad[:5]}"
    found = kubectl("get", "configmaps", "-o", "name")
    assert all(f"configmap/{name}" in found for name in acknowledged)
    now = _restarts(kubectl)
    assert {name: now.get(name) for name in pods} == pods, "no container may restart"
    kubectl("scale", "deployment", "nginx-deployment", "--replicas=2")


def _answers(address: str) -> bool:
    def ask() -> bool:
        with urllib.request.urlopen(f"http://{address}/", timeout=2) as answer:
            return bool(answer.status == 200)

    return namespace.call_in(f"sampan-{NAME}-{NAME}-1", ask)


def test_the_supervisor_may_be_killed_too(healing: Kubectl) -> None:
    before = _pids(NAME)
    kill(before["supervisor"])
    eventually(lambda: _pids(NAME)["supervisor"] == 0)
    healing("get", "pods")
    up(NAME, "--separate")
    after = _pids(NAME)
    assert after["supervisor"] not in (0, before["supervisor"])
    assert {name: after[name] for name in COMPONENTS} == {name: before[name] for name in COMPONENTS}


def test_after_a_reboot_up_brings_the_same_cluster_back(healing: Kubectl) -> None:
    """A reboot takes processes, namespaces, mounts, cgroups and /run; the state directory stays."""
    kubectl = healing
    with contextlib.suppress(AssertionError):
        kubectl("expose", "deployment", "nginx-deployment", "--port=80")
    service = kubectl.json("get", "service", "nginx-deployment")
    kubernetes = kubectl.json("get", "service", "kubernetes")
    kubectl("create", "configmap", "kept", "--from-literal=a=b")
    _reboot()
    assert not traces.leftovers(NAME).processes
    up(NAME, "--separate")
    back = kubectl.json("get", "service", "nginx-deployment")
    assert back["metadata"]["uid"] == service["metadata"]["uid"]
    assert back["spec"]["clusterIP"] == service["spec"]["clusterIP"]
    assert kubectl.json("get", "service", "kubernetes")["metadata"]["uid"] == kubernetes["metadata"]["uid"]
    assert kubectl.json("get", "configmap", "kept")["data"] == {"a": "b"}
    kubectl("wait", "deployment/nginx-deployment", "--for=condition=Available", "--timeout=140s")
    eventually(lambda: _answers(service["spec"]["clusterIP"]), what="the Service answers after the reboot")


def _reboot() -> None:
    import asyncio

    from sampan.machines.sweep import sweep

    pid = _pids(NAME)["supervisor"]
    kill(pid)
    asyncio.run(sweep(NAME, Layout(NAME), keep_state=True, grace_s=2))


def test_down_removes_every_trace_also_after_a_crash(separate: str) -> None:
    up(NAME, "--separate")
    for pid in filter(None, _pids(NAME).values()):
        kill(pid)
    sampan("down", "--name", NAME)
    found = traces.leftovers(NAME)
    assert not found, str(found)
    assert not [line for line in Path("/proc/mounts").read_text().splitlines() if f"sampan/{NAME}" in line]
    assert not [name for name in os.listdir("/run/netns") if f"sampan-{NAME}" in name]
    assert "nothing to remove" in sampan("down", "--name", NAME)
