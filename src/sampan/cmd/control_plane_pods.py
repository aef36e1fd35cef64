"""The control plane as static pods, for `sampan up --static-pods`: manifests as kubeadm has them, and their images.

The first node's kubelet runs what lies in its manifest directory, with or without an API server; so it runs the API
server too, and etcd, controller manager and scheduler beside it. They share the node's network, read the cluster's
keys, and show in kube-system as mirror pods. The sockets of the API server are the supervisor's (`cmd/handover.py`):
while its container is replaced, connections wait.

A manifest names its image by a digest of what is in it, so a newer sampan means other manifests, which the kubelet
carries out: the control plane is upgraded by running `sampan up` again.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from sampan.apimachinery.object import Object
from sampan.cmd import etcd
from sampan.cmd.component_server import CONTROLLER_MANAGER_PORT, SCHEDULER_PORT
from sampan.cmd.layout import ClusterLayout
from sampan.cri import installed_modules

ETCD_PACKAGE = "etcd-server"
PROCESSES = ("apiserver", "controller-manager", "scheduler")
"""Those of sampan, by the names under which they say how they fare."""
NAMESPACE = "kube-system"
STARTUP_TRIES = 240
"""A startup probe a second, four minutes long as kubeadm's: it ends with the first answer, and `up` waits for it."""
_REGISTRY = "sampan.local"
"""No such registry exists: an image that is missing is made here again, never asked for elsewhere."""


def sampan_image() -> str:
    """The reference of the image that holds this sampan: its tag tells versions of the code and of all libraries."""
    digest = hashlib.sha256()
    versions = {one.metadata["Name"]: one.version for one in installed_modules.required(["sampan"])}
    for name, version in sorted(versions.items()):
        digest.update(f"{name} {version}\n".encode())
    for path, file in sorted(installed_modules.files_of(["sampan"]).items()):
        digest.update(f"{path} {len(file.data)}\n".encode() + file.data)
    return f"{_REGISTRY}/sampan:{versions['sampan']}-{digest.hexdigest()[:12]}"


def etcd_image() -> str:
    """The reference of the image that holds the etcd which the machine's package index offers."""
    policy = subprocess.run(["apt-cache", "policy", ETCD_PACKAGE], capture_output=True, text=True, check=False).stdout
    version = next((line.split()[1] for line in policy.splitlines() if "Candidate:" in line), "unknown")
    return f"{_REGISTRY}/etcd:" + "".join(c if c.isalnum() or c in "._-" else "_" for c in version)


@dataclass(frozen=True, slots=True)
class Images:
    """What a cluster's pods run. Looked up once: every file of sampan is read for it."""

    sampan: str
    etcd: str = ""
    """Empty where the state is not in etcd."""

    @classmethod
    def of(cls, cluster: ClusterLayout) -> Images:
        return cls(sampan_image(), etcd_image() if cluster.store == "etcd" else "")

    def recipes(self) -> dict[str, Object]:
        """Reference to recipe (see `cri/recipe.py`)."""
        found: list[Object] = [
            {"name": self.sampan, "packages": ["python3", "libstdc++6"], "distributions": ["sampan"]}
        ]
        if self.etcd:
            found.append({"name": self.etcd, "packages": [ETCD_PACKAGE]})
        return {recipe["name"]: recipe for recipe in found}


def manifests(cluster: ClusterLayout, images: Images) -> dict[str, Object]:
    """File name to pod, in kubeadm's order."""
    image = images.sampan
    pods = [_api_server(cluster, image), _controller_manager(cluster, image), _scheduler(cluster, image)]
    if images.etcd:
        pods.insert(0, _etcd(cluster, images.etcd))
    return {f"{pod['metadata']['name']}.yaml": pod for pod in pods}


def names(cluster: ClusterLayout) -> set[str]:
    """What the API calls them: each by its component and its node."""
    components = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"]
    components += ["etcd"] if cluster.store == "etcd" else []
    return {f"{component}-{cluster.first_node.name}" for component in components}


def write(cluster: ClusterLayout, images: Images) -> None:
    """Put the manifests where the first node's kubelet looks. One that says the same already is left alone."""
    directory = cluster.first_node.manifest_dir
    directory.mkdir(parents=True, exist_ok=True)
    for name, pod in manifests(cluster, images).items():
        text = yaml.safe_dump(pod, sort_keys=False)
        target = directory / name
        if target.exists() and target.read_text() == text:
            continue
        draft = directory / f".{name}"  # the kubelet passes over names that begin with a dot
        draft.write_text(text)
        draft.chmod(0o600)
        draft.replace(target)


def _api_server(cluster: ClusterLayout, image: str) -> Object:
    mounts = [
        *_common(cluster), _Mount("handover", cluster.handover_socket.parent, "Directory", read_only=False),
        _Mount("logs", cluster.log_dir, "Directory", read_only=False),
    ]
    if cluster.store == "sqlite":
        mounts.append(_Mount("store", cluster.store_file.parent, "Directory", read_only=False))
    return _pod(cluster, "kube-apiserver", _container(
        image, _python("apiserver", cluster), "250m", mounts,
        startup=_https(cluster, cluster.node_port, "/livez", failures=STARTUP_TRIES, period_s=1),
        liveness=_https(cluster, cluster.node_port, "/livez", failures=8),
        readiness=_https(cluster, cluster.node_port, "/readyz", failures=3, period_s=1),
    ), mounts)


def _controller_manager(cluster: ClusterLayout, image: str) -> Object:
    mounts = _common(cluster)
    return _pod(cluster, "kube-controller-manager", _container(
        image, _python("controller_manager", cluster), "200m", mounts,
        startup=_https(cluster, CONTROLLER_MANAGER_PORT, "/healthz", failures=STARTUP_TRIES, period_s=1),
        liveness=_https(cluster, CONTROLLER_MANAGER_PORT, "/healthz", failures=8),
    ), mounts)


def _scheduler(cluster: ClusterLayout, image: str) -> Object:
    mounts = _common(cluster)
    return _pod(cluster, "kube-scheduler", _container(
        image, _python("scheduler", cluster), "100m", mounts,
        startup=_https(cluster, SCHEDULER_PORT, "/livez", failures=STARTUP_TRIES, period_s=1),
        liveness=_https(cluster, SCHEDULER_PORT, "/livez", failures=8),
        readiness=_https(cluster, SCHEDULER_PORT, "/readyz", failures=3, period_s=1),
    ), mounts)


def _etcd(cluster: ClusterLayout, image: str) -> Object:
    mounts = [
        _Mount("pki", cluster.pki_dir / "etcd", "Directory"),
        _Mount("data", cluster.etcd_dir, "DirectoryOrCreate", read_only=False),
    ]
    argv = [*etcd.argv(cluster), "--listen-metrics-urls", f"http://{etcd.METRICS_ADDRESS}"]
    host, _, port = etcd.METRICS_ADDRESS.partition(":")
    health = {"host": host, "port": int(port), "path": "/health", "scheme": "HTTP"}
    return _pod(cluster, "etcd", _container(
        image, argv, "100m", mounts, startup=_probe(health, STARTUP_TRIES, 1), liveness=_probe(health, 8),
    ), mounts)


class _Mount:
    """A file or directory of the node, at the same path in the container."""

    def __init__(self, name: str, path: Path, kind: str, *, read_only: bool = True) -> None:
        self.volume: Object = {"name": name, "hostPath": {"path": str(path), "type": kind}}
        self.mount: Object = {"name": name, "mountPath": str(path), **({"readOnly": True} if read_only else {})}


def _common(cluster: ClusterLayout) -> list[_Mount]:
    """What every process of sampan reads (its cluster, its keys), and where it says how it fares."""
    return [
        _Mount("cluster", cluster.state_dir / "cluster.json", "File"),
        _Mount("pki", cluster.pki_dir, "Directory"),
        _Mount("health", cluster.health_socket("any").parent, "DirectoryOrCreate", read_only=False),
    ]


def _python(part: str, cluster: ClusterLayout) -> list[str]:
    return ["python3", "-m", f"sampan.cmd.{part}", "--cluster", cluster.name]


def _container(
    image: str, command: Sequence[str], cpu: str, mounts: Sequence[_Mount], **probes: Object
) -> Object:
    return {
        "image": image, "imagePullPolicy": "IfNotPresent", "command": list(command),
        "resources": {"requests": {"cpu": cpu, **({"memory": "100Mi"} if command[0] == "etcd" else {})}},
        "volumeMounts": [one.mount for one in mounts],
        **{f"{name}Probe": probe for name, probe in probes.items()},
    }


def _pod(cluster: ClusterLayout, name: str, container: Object, mounts: Sequence[_Mount]) -> Object:
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": NAMESPACE, "labels": {"component": name, "tier": "control-plane"},
            "annotations": dict(_annotations(cluster, name)),
        },
        "spec": {
            "hostNetwork": True, "priority": 2000001000, "priorityClassName": "system-node-critical",
            "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": name, **container}], "volumes": [one.volume for one in mounts],
        },
    }


def _annotations(cluster: ClusterLayout, name: str) -> Iterator[tuple[str, str]]:
    """Where the endpoint is, as kubeadm notes it for its own later use."""
    if name == "kube-apiserver":
        yield "kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint", cluster.node_url.partition("//")[2]
    if name == "etcd":
        yield "kubeadm.kubernetes.io/etcd.advertise-client-urls", cluster.etcd_url


def _https(cluster: ClusterLayout, port: int, path: str, *, failures: int, period_s: int = 10) -> Object:
    get = {"host": cluster.first_node.address, "port": port, "path": path, "scheme": "HTTPS"}
    return _probe(get, failures, period_s)


def _probe(get: Object, failures: int, period_s: int = 10) -> Object:
    return {"httpGet": get, "periodSeconds": period_s, "timeoutSeconds": 15, "failureThreshold": failures}
