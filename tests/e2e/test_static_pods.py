"""A control plane of static pods: the kubelet runs it before there is an API, and keeps it whatever dies."""

from __future__ import annotations

import asyncio
import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.kubectl import MANIFESTS, Failed, Kubectl, eventually, kill, sampan, up

from sampan.machines import traces
from sampan.machines.layout import Layout
from sampan.machines.sweep import sweep

NAME = "pods"
STATE = Path("/var/lib/sampan") / NAME
MANIFEST_DIR = STATE / "nodes" / f"{NAME}-1" / "manifests"
COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")


@pytest.fixture(scope="module")
def system(binary: str) -> Iterator[Kubectl]:
    """kubectl in kube-system."""
    sampan("down", "--name", NAME)
    up(NAME, "--static-pods")
    sampan("image", "build", "--name", NAME, str(MANIFESTS / "nginx-1.7.9.yaml"))
    yield Kubectl(binary, Path(sampan("kubeconfig", "path", "--name", NAME).strip()), "kube-system")
    sampan("down", "--name", NAME)


def _pids() -> dict[str, int]:
    processes = json.loads(sampan("status", "--name", NAME, "-o", "json"))["processes"]
    return {process["name"]: process["pid"] for process in processes}


def _containers(system: Kubectl) -> dict[str, tuple[str, int, bool]]:
    """Component to container, its restarts and whether it is ready."""
    found = {}
    for pod in system.json("get", "pods", "-l", "tier=control-plane")["items"]:
        status = pod["status"]["containerStatuses"][0]
        found[pod["metadata"]["labels"]["component"]] = (
            status["containerID"], status["restartCount"], status["ready"]
        )
    return found


def _all_ready(system: Kubectl) -> bool:
    found = _containers(system)
    return set(found) == set(COMPONENTS) and all(ready for _, _, ready in found.values())


def test_the_api_shows_them_as_mirrors_of_the_first_node(system: Kubectl) -> None:
    assert _all_ready(system), "`up` waits for all four"
    for pod in system.json("get", "pods", "-l", "tier=control-plane")["items"]:
        assert pod["metadata"]["name"] == f"{pod['metadata']['labels']['component']}-{NAME}-1"
        assert pod["metadata"]["annotations"]["kubernetes.io/config.source"] == "file"
        assert pod["metadata"]["ownerReferences"][0]["kind"] == "Node"
        assert pod["spec"]["priority"] == 2000001000 and pod["status"]["podIP"] == "172.30.0.11"
    assert "elected leader" in system("logs", f"etcd-{NAME}-1")
    assert "serving the API" in system("logs", f"kube-apiserver-{NAME}-1")


def test_while_the_api_server_is_replaced_requests_wait_and_none_is_lost(system: Kubectl) -> None:
    eventually(lambda: _all_ready(system))
    written: list[str] = []
    failed: list[str] = []
    over = threading.Event()

    def write() -> None:
        while not over.wait(0.2):
            name = f"written-{len(written) + len(failed)}"
            try:
                system("create", "configmap", name)
                written.append(name)
            except Failed as error:
                failed.append(error.err)
            except subprocess.TimeoutExpired as error:
                failed.append(str(error))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        before = _pids()["apiserver"]
        kill(before)
        eventually(lambda: _pids()["apiserver"] not in (0, before) and _all_ready(system), what="another is ready")
        count = len(written)
        eventually(lambda: len(written) > count + 2, what="writes go on")
    finally:
        over.set()
        writer.join()
    # A write that was under way when the server died may end without an answer; none may be refused a connection.
    assert len(failed) <= 1 and "refused" not in "".join(failed), failed
    found = system("get", "configmaps", "-o", "name")
    assert all(f"configmap/{name}\n" in found for name in written)
    eventually(lambda: _containers(system)["kube-apiserver"][1] >= 1, what="the restart is counted")


def test_a_manifest_taken_away_ends_its_pod_and_brought_back_starts_it(system: Kubectl) -> None:
    eventually(lambda: _all_ready(system))
    manifest = MANIFEST_DIR / "kube-scheduler.yaml"
    aside = STATE / "kube-scheduler.yaml"
    manifest.rename(aside)
    try:
        eventually(lambda: "kube-scheduler" not in _containers(system), what="the scheduler is gone")
        system("apply", "-f", str(MANIFESTS / "primer-deployment.yaml"))
        eventually(lambda: len(system.json("get", "pods", "-l", "app=nginx")["items"]) == 2)
        assert {pod["status"]["phase"] for pod in system.json("get", "pods", "-l", "app=nginx")["items"]} == {"Pending"}
    finally:
        aside.rename(manifest)
    system("rollout", "status", "deployment/nginx-deployment", "--timeout=140s")
    eventually(lambda: _all_ready(system))


def test_a_deleted_mirror_comes_back_and_the_container_never_noticed(system: Kubectl) -> None:
    eventually(lambda: _all_ready(system))
    before = _containers(system)
    system("delete", "pod", f"etcd-{NAME}-1", "--grace-period=0", "--force")
    eventually(lambda: _all_ready(system), what="its mirror is back")
    assert _containers(system)["etcd"] == before["etcd"]


def test_supervisor_and_kubelet_may_die_without_the_control_plane(system: Kubectl) -> None:
    eventually(lambda: _all_ready(system))
    before = _containers(system)
    pids = _pids()
    kill(pids["supervisor"])
    kill(pids["node-1"])
    assert _all_ready(system), "nobody there to tell otherwise, and the API answers"
    up(NAME)
    eventually(lambda: _pids()["node-1"] not in (0, pids["node-1"]), what="another kubelet")

    def as_before() -> bool:
        assert _containers(system) == before
        return True

    eventually(as_before, what="the same containers, as ready as before")
    kill(_pids()["apiserver"])  # the sockets that its successor gets come from the one before
    eventually(lambda: _containers(system)["kube-apiserver"][1] > before["kube-apiserver"][1] and _all_ready(system))


def test_after_a_reboot_up_brings_the_same_cluster_back(system: Kubectl) -> None:
    eventually(lambda: _all_ready(system))
    uid = system.json("get", "namespace", "kube-system")["metadata"]["uid"]
    kill(_pids()["supervisor"])
    asyncio.run(sweep(NAME, Layout(NAME), keep_state=True, grace_s=2))
    up(NAME)
    eventually(lambda: _all_ready(system))
    assert system.json("get", "namespace", "kube-system")["metadata"]["uid"] == uid


def test_down_leaves_nothing(system: Kubectl) -> None:
    sampan("down", "--name", NAME)
    found = traces.leftovers(NAME)
    assert not found, str(found)
