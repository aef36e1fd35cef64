"""Limits on what pods write to the node's disk: emptyDirs' sizeLimit and `ephemeral-storage` of containers.

Nothing in the kernel enforces them, so what pods with such limits use is measured now and then, and who exceeds one is
evicted. `excess` decides, purely, in upstream's words; `measure` looks at the disk.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sampan.apimachinery.object import Object, dig, uid_of
from sampan.apimachinery.quantity import Quantity
from sampan.cri.runtime import ContainerStats
from sampan.kubelet import resources, sandbox_config, spec
from sampan.kubelet.config import KubeletConfig
from sampan.kubelet.volumes import empty_dir

RESOURCE = "ephemeral-storage"


@dataclass(frozen=True, slots=True)
class StorageUsage:
    """Bytes that each container (writable layer and logs) and each emptyDir of a pod takes."""

    containers: Mapping[str, int]
    volumes: Mapping[str, int]


def is_limited(pod: Object) -> bool:
    """Whether anything of it is to be measured."""
    if _size_limits(pod):
        return True
    return any(dig(item, "resources", "limits", RESOURCE) for item in spec.all_containers(pod))


def excess(pod: Object, usage: StorageUsage) -> str:
    """What the pod exceeds; empty if nothing."""
    for name, limit in _size_limits(pod).items():
        if usage.volumes.get(name, 0) > Quantity.parse(limit).value:
            return f'Usage of EmptyDir volume "{name}" exceeds the limit "{limit}". '
    total = resources.pod_limit(pod, RESOURCE)
    on_disk = [name for name, source in _empty_dirs(pod).items() if source.get("medium") != "Memory"]
    used = sum(usage.containers.values()) + sum(usage.volumes.get(name, 0) for name in on_disk)
    if total is not None and used > total.value:
        return f"Pod ephemeral local storage usage exceeds the total limit of containers {total}. "
    for container in spec.containers(pod):
        own = dig(container, "resources", "limits", RESOURCE)
        if own is not None and usage.containers.get(container["name"], 0) > Quantity.parse(own).value:
            return f'Container {container["name"]} exceeded its local ephemeral storage limit "{own}". '
    return ""


def measure(pod: Object, config: KubeletConfig, stats: Iterable[ContainerStats]) -> StorageUsage:
    """Look at the disk; `stats` are of the pod's containers. Takes as long as there are files."""
    logs = sandbox_config.log_directory(config.pod_logs_dir, pod)
    containers = {item.name: item.filesystem_used_bytes + used_bytes(logs / item.name) for item in stats}
    directory = config.pod_dir(uid_of(pod)) / "volumes" / f"kubernetes.io~{empty_dir.PLUGIN}"
    return StorageUsage(containers, {name: used_bytes(directory / name) for name in _empty_dirs(pod)})


def used_bytes(directory: Path) -> int:
    """What the files below take on disk, as du counts; links are not followed, and what vanishes is not there."""
    total = 0
    for place, _, files in os.walk(directory):
        for name in files:
            try:
                total += os.lstat(os.path.join(place, name)).st_blocks * 512
            except FileNotFoundError:
                continue
    return total


def _empty_dirs(pod: Object) -> dict[str, Object]:
    return {
        volume["name"]: volume["emptyDir"] or {} for volume in pod["spec"].get("volumes") or [] if "emptyDir" in volume
    }


def _size_limits(pod: Object) -> dict[str, str]:
    limits = {name: source.get("sizeLimit") for name, source in _empty_dirs(pod).items()}
    return {name: limit for name, limit in limits.items() if limit and Quantity.parse(limit)}
