"""The controller of docs/concepts/controllers.md: built, applied with kubectl, at work, killed, replaced."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.kubectl import Kubectl, eventually, sampan

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "greeter"


@pytest.fixture
def greeter(cluster: str, kubectl: Kubectl) -> Iterator[Kubectl]:
    """kubectl in the namespace of the running controller."""
    sampan("image", "build", "--name", cluster, str(EXAMPLE / "image.yaml"))
    manifest = str(EXAMPLE / "greeter.yaml")
    own = Kubectl(kubectl.binary, kubectl.kubeconfig, "greeter")
    own("apply", "-f", manifest)
    own("rollout", "status", "deployment/greeter", "--timeout=140s")
    yield own
    own("delete", "-f", manifest, "--wait=false")


def test_the_documented_controller_runs_in_the_cluster_dies_and_recovers(kubectl: Kubectl, greeter: Kubectl) -> None:
    namespace = str(kubectl.namespace)

    def greets(name: str) -> None:
        kubectl("label", "namespace", namespace, f"greet={name}", "--overwrite")
        shown = ("get", "configmap", "hello", "-o", "jsonpath={.data.name}")
        eventually(lambda: kubectl(*shown) == name, what=f"a greeting of {name}")

    greets("anna")
    kubectl("delete", "configmap", "hello")
    greets("anna")

    leader = _leader(greeter)
    before = _restarts(greeter, leader)
    os.kill(_process(leader), signal.SIGKILL)
    eventually(lambda: _restarts(greeter, leader) > before, what="the killed one starts again")
    greets("berta")

    gone = _leader(greeter)
    greeter("delete", "pod", gone)
    eventually(lambda: _leader(greeter) not in ("", gone), what="the other one takes over")
    greets("carla")
    greeter("rollout", "status", "deployment/greeter", "--timeout=140s")
    assert gone not in [pod["metadata"]["name"] for pod in _pods(greeter)]

    kubectl("label", "namespace", namespace, "greet-")
    eventually(lambda: "hello" not in kubectl("get", "configmaps", "-o", "name"))


def _leader(greeter: Kubectl) -> str:
    return greeter("get", "lease", "greeter", "-o", "jsonpath={.spec.holderIdentity}")


def _pods(greeter: Kubectl) -> list[dict[str, Any]]:
    return list(greeter.json("get", "pods")["items"])


def _restarts(greeter: Kubectl, pod: str) -> int:
    return int(greeter("get", "pod", pod, "-o", "jsonpath={.status.containerStatuses[0].restartCount}"))


def _process(pod: str) -> int:
    """The host's number of the controller's process in `pod`."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            command = _content(folder / "cmdline").split(b"\0")
            environment = _content(folder / "environ").split(b"\0")
            if b"/greeter.py" in command and f"HOSTNAME={pod}".encode() in environment:
                return int(folder.name)
    raise AssertionError(f"no process of {pod}")


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended meanwhile
        return b""
