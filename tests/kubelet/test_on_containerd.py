"""The kubelet on a real containerd of its own, in a network namespace of its own. Needs root and Debian's packages."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.kubelet.fake_api import FakeAPI
from tests.kubelet.world import NO_EVICTION
from tests.meanwhile import meanwhile

from sampan.cri import containerd, images
from sampan.cri.client import CRIClient
from sampan.cri.image_archive import ImageFile, ImageSpec, build
from sampan.cri.runtime import CRIError
from sampan.kubelet.config import KubeletConfig
from sampan.kubelet.kubelet import run
from sampan.kubelet.volumes import mounting

BUSYBOX = next((path for path in ("/usr/bin/busybox", "/bin/busybox") if os.path.exists(path)), "")
NAME = f"t-kubelet-{os.getpid()}"
IMAGE = "docker.io/library/box:1"

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not BUSYBOX or not shutil.which("containerd") or not shutil.which("runc"),
    reason="needs root, containerd, runc and a static busybox",
)


def command(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


def cni(directory: Path) -> str:
    plugins = [
        {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipam": {
            "type": "host-local", "dataDir": str(directory / "leases"), "ranges": [[{"subnet": "10.245.9.0/24"}]]}},
        {"type": "loopback"},
    ]
    return json.dumps({"cniVersion": "1.0.0", "name": "test", "plugins": plugins})


def image() -> bytes:
    files = {"/bin/busybox": ImageFile(Path(BUSYBOX).read_bytes(), 0o755), "/tmp/.keep": ImageFile(b"", 0o644)}
    for name in ("sh", "cat", "touch", "echo", "sleep", "id", "true", "test", "grep", "mount"):
        files[f"/bin/{name}"] = ImageFile(link_to="busybox")
    return build(ImageSpec(IMAGE, files=files, env=("PATH=/bin",), command=("sh",)))


@pytest.fixture(scope="module")
def socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A running containerd's socket; everything of it is gone afterwards."""
    root = tmp_path_factory.mktemp("c")
    config = containerd.ContainerdConfig(root / "root", root / "state", root / "cni", root / "registry")
    containerd.prepare(config)
    (config.cni_conf_dir / "10.conflist").write_text(cni(root))
    command("ip", "netns", "add", NAME)
    process = subprocess.Popen(
        ["nsenter", f"--net=/run/netns/{NAME}", *containerd.argv(config)], stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        asyncio.run(started(config))
        yield config.socket
        asyncio.run(emptied(config.socket))
    finally:
        process.terminate()
        process.wait(60)
        command("ip", "netns", "del", NAME)
        remove_cgroups()
        for point in mounting.mounts_below(root):
            mounting.unmount(point)


async def started(config: containerd.ContainerdConfig) -> None:
    async with asyncio.timeout(60):
        while not containerd.answers(config):
            await asyncio.sleep(0.05)
        await images.ensure_pause(config.socket)
        await images.load(config.socket, image())


async def emptied(socket: Path) -> None:
    runtime = CRIClient(str(socket))
    for sandbox in await runtime.list_sandboxes():
        with contextlib.suppress(CRIError):
            await runtime.stop_sandbox(sandbox.id)
            await runtime.remove_sandbox(sandbox.id)
    await runtime.close()


def memory_cgroup(uid: str) -> Path:
    """The pod's cgroup, on v1 that of the memory controller."""
    mount = Path("/sys/fs/cgroup/memory")
    return Path(f"{mount if mount.is_dir() else mount.parent}/{NAME}/kubepods/burstable/pod{uid}")


def remove_cgroups() -> None:
    """What the kubelet leaves for its successor, and the runtime."""
    for directory in [*Path("/sys/fs/cgroup").glob(NAME), *Path("/sys/fs/cgroup").glob(f"*/{NAME}")]:
        for child, _, _ in os.walk(directory, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(child)


async def until(condition: Callable[[], object], deadline_s: float = 120.0) -> None:
    async with asyncio.timeout(deadline_s):
        while not condition():
            await asyncio.sleep(0.02)


POD: dict[str, Any] = {
    "metadata": {"name": "web", "labels": {"app": "web"}},
    "spec": {
        "nodeName": "n1", "terminationGracePeriodSeconds": 1, "serviceAccountName": "default",
        "restartPolicy": "Always",
        "securityContext": {"fsGroup": 1234},
        "volumes": [
            {"name": "work", "emptyDir": {}}, {"name": "fast", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
            {"name": "config", "configMap": {"name": "cm"}}, {"name": "secret", "secret": {"secretName": "s"}},
            {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
        ],
        "initContainers": [{
            "name": "init", "image": "box:1", "command": ["sh", "-c", "echo from-init > /work/f"],
            "volumeMounts": [{"name": "work", "mountPath": "/work"}],
        }],
        "containers": [{
            "name": "main", "image": "box:1",
            "command": ["sh", "-c",
                        "cat /work/f /etc/config/key /etc/key; cat /etc/secret/p; echo; cat /token/token; echo; "
                        "id -G; grep fast /proc/mounts; touch /etc/config/x /etc/key /token/x && echo writable; "
                        "echo $(GREETING) $WHO; "
                        "trap 'echo why > /dev/termination-log; exit 3' TERM; sleep 1000 & wait"],
            "env": [{"name": "GREETING", "value": "hello"},
                    {"name": "WHO", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
            "resources": {"limits": {"memory": "32Mi", "cpu": "500m"}},
            "readinessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 1},
            "volumeMounts": [
                {"name": "work", "mountPath": "/work"}, {"name": "fast", "mountPath": "/fast"},
                {"name": "config", "mountPath": "/etc/config"},
                {"name": "config", "mountPath": "/etc/key", "subPath": "key"},
                {"name": "secret", "mountPath": "/etc/secret", "readOnly": True},
                {"name": "token", "mountPath": "/token"},
            ],
        }],
    },
}


class Node:
    """One node over the fake API; `restart` replaces the kubelet."""

    def __init__(self, socket: Path, root: Path) -> None:
        self.api = FakeAPI()
        self.config = KubeletConfig(
            "n1", "192.168.0.1", str(socket), root, cgroup_root=f"/{NAME}/kubepods", eviction=NO_EVICTION
        )

    async def __aenter__(self) -> Node:
        self._running = meanwhile(run(self.api.client(), self.config))
        await self._running.__aenter__()
        return self

    async def __aexit__(self, *exc: Any) -> None:
        await self._running.__aexit__(*exc)

    async def restart(self) -> None:
        await self.__aexit__(None, None, None)
        await self.__aenter__()

    def status(self) -> dict[str, Any]:
        return (self.api.get("pods", "web") or {}).get("status") or {}

    def main(self) -> dict[str, Any]:
        found: list[dict[str, Any]] = self.status().get("containerStatuses") or [{}]
        return found[0]

    def is_ready(self) -> bool:
        conditions = {item["type"]: item["status"] for item in self.status().get("conditions") or []}
        return conditions.get("Ready") == "True"


def story_of(socket: Path, root: Path, story: Callable[[Node], Awaitable[None]]) -> None:
    async def main() -> None:
        async with Node(socket, root) as node:
            await story(node)

    try:
        asyncio.run(main())
    finally:
        for point in mounting.mounts_below(root):  # of a test that failed
            mounting.unmount(point)


def test_a_pod_from_its_first_container_to_its_last_trace(socket: Path, tmp_path: Path) -> None:
    async def story(node: Node) -> None:
        node.api.put("configmaps", {"metadata": {"name": "cm"}, "data": {"key": "configured\n"}})
        node.api.put("secrets", {"metadata": {"name": "s"}, "data": {"p": "aGlkZGVu"}})
        node.api.put("pods", json.loads(json.dumps(POD)))
        await until(node.is_ready)
        uid = node.api.get("pods", "web")["metadata"]["uid"]  # type: ignore[index]
        log = tmp_path / f"logs/pods/default_web_{uid}/main/0.log"
        await until(lambda: "hello web" in log.read_text())
        text = [line.split(" ", 3)[3] for line in log.read_text().splitlines() if " stdout " in line]
        assert text[:5] == ["from-init", "configured", "configured", "hidden", "token-1"]
        assert "1234" in text[5].split() and text[6].startswith("tmpfs /fast")
        assert node.status()["qosClass"] == "Burstable" and node.status()["podIP"].startswith("10.245.9.")
        assert "writable" not in text, "what follows the API is read-only for containers"
        cgroup = memory_cgroup(uid)
        assert any(cgroup.glob("*/*procs")), "the container runs below the pod's cgroup"

        before = node.main()
        await node.restart()
        await until(lambda: node.api.get("leases", "n1", "kube-node-lease"))
        await until(node.is_ready)
        assert node.main() == before

        node.api.remove("pods", "web")
        await until(lambda: not node.api.objects["pods"])
        last = [body["status"] for plural, _, body in node.api.writes if plural == "pods"][-1]
        terminated = last["containerStatuses"][0]["state"]["terminated"]
        assert (terminated["exitCode"], terminated["message"]) == (3, "why\n")
        await until(lambda: not list((tmp_path / "pods").iterdir()))
        assert not mounting.mounts_below(tmp_path)
        assert not cgroup.exists()

    story_of(socket, tmp_path, story)


def test_what_a_real_runtime_says_about_failures(socket: Path, tmp_path: Path) -> None:
    async def story(node: Node) -> None:
        spec = {"nodeName": "n1", "terminationGracePeriodSeconds": 1, "restartPolicy": "Never"}
        node.api.put("pods", {"metadata": {"name": "web"}, "spec": {**spec, "containers": [
            {"name": "main", "image": "box:1", "command": ["sh", "-c", "echo bye; exit 4"],
             "terminationMessagePolicy": "FallbackToLogsOnError"},
        ]}})
        await until(lambda: node.status().get("phase") == "Failed")
        ended = node.main()["state"]["terminated"]
        assert (ended["exitCode"], ended["reason"], ended["message"]) == (4, "Error", "bye\n")
        node.api.put("pods", {"metadata": {"name": "lost"}, "spec": {**spec, "restartPolicy": "Always", "containers": [
            {"name": "main", "image": "box:1", "command": ["/not/there"]},
        ]}})

        def reason() -> str:
            found = ((node.api.get("pods", "lost") or {}).get("status") or {}).get("containerStatuses") or [{}]
            return str(((found[0].get("state") or {}).get("waiting") or {}).get("reason"))

        await until(lambda: reason() == "RunContainerError")
        for name in ("web", "lost"):
            node.api.remove("pods", name)
        await until(lambda: not node.api.objects["pods"])
        await until(lambda: not list((tmp_path / "pods").iterdir()))

    story_of(socket, tmp_path, story)
