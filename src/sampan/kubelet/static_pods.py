"""Static pods: manifests in a directory of the node, run without the API server's say.

Each file holds one Pod as YAML or JSON. Its uid is a hash of node, file and content, so a changed file is a new pod.
The node's name is appended to the pod's, as upstream does.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

import yaml

from sampan import effects
from sampan.apimachinery.object import Object
from sampan.kubelet import spec

log = logging.getLogger(__name__)

POLL_S = 2.0
SUFFIXES = (".yaml", ".yml", ".json", "")


def load(path: Path, node_name: str) -> Object | None:
    """The pod in a file, None if it holds none."""
    try:
        content = path.read_bytes()
        document = yaml.load(content, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, yaml.YAMLError) as error:
        log.warning("static pod %s: %s", path, error)
        return None
    if not isinstance(document, dict) or document.get("kind") != "Pod" or not isinstance(document.get("spec"), dict):
        log.warning("static pod %s: it holds no Pod", path)
        return None
    return prepare(document, hashlib.md5(node_name.encode() + str(path).encode() + content).hexdigest(), node_name)


def prepare(document: Object, uid: str, node_name: str) -> Object:
    """As a pod of this node: name, namespace, uid, annotations, tolerations and the defaults that it needs."""
    metadata = document.setdefault("metadata", {})
    metadata["name"] = f"{metadata.get('name', 'static')}-{node_name}"
    metadata.setdefault("namespace", "default")
    metadata["uid"] = uid
    annotations = metadata.setdefault("annotations", {})
    annotations |= {spec.CONFIG_HASH: uid, spec.CONFIG_SOURCE: "file", spec.CONFIG_SEEN: effects.timestamp()}
    chosen = document["spec"]
    chosen["nodeName"] = node_name
    chosen.setdefault("restartPolicy", "Always")
    chosen.setdefault("terminationGracePeriodSeconds", spec.DEFAULT_GRACE_PERIOD_S)
    tolerations = chosen.setdefault("tolerations", [])
    if not any(item.get("effect") == "NoExecute" and item.get("operator") == "Exists" for item in tolerations):
        tolerations.append({"effect": "NoExecute", "operator": "Exists"})
    document.setdefault("apiVersion", "v1")
    document["status"] = {"phase": "Pending"}
    return document


class StaticPods:
    """Watches the directory; `on_change(pods)` gets all of them whenever one changed."""

    def __init__(self, directory: Path, node_name: str, on_change: Callable[[list[Object]], None]) -> None:
        self._directory = directory
        self._node_name = node_name
        self._on_change = on_change
        self._seen: object = None

    def scan(self) -> None:
        """Look once; only a changed directory is read."""
        try:
            files = sorted(
                item for item in self._directory.iterdir()
                if item.is_file() and not item.name.startswith(".") and item.suffix in SUFFIXES
            )
        except FileNotFoundError:
            files = []
        seen = [(item.name, item.stat().st_mtime_ns, item.stat().st_size) for item in files]
        if seen == self._seen:
            return
        self._seen = seen
        pods = [load(item, self._node_name) for item in files]
        self._on_change([pod for pod in pods if pod is not None])

    async def run(self) -> None:
        while True:
            try:
                self.scan()
            except OSError as error:
                log.warning("static pods: %s", error)
            await asyncio.sleep(POLL_S)
