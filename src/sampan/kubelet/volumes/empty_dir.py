"""emptyDir: a directory that lives as long as its pod, on disk or (medium Memory) in a tmpfs with its size limit."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from sampan.apimachinery.quantity import Quantity
from sampan.kubelet.volumes import mounting
from sampan.kubelet.volumes.context import MountedVolume, VolumeContext

PLUGIN = "empty-dir"


async def mount(context: VolumeContext) -> MountedVolume:
    """Create it, world-writable as upstream does, owned by the pod's fsGroup if it has one."""
    source = context.volume["emptyDir"] or {}
    path = context.path(PLUGIN)
    is_new = not path.is_dir()
    path.mkdir(parents=True, exist_ok=True)
    if source.get("medium") == "Memory" and not mounting.is_own_filesystem(path):
        limit = source.get("sizeLimit")
        mounting.mount_tmpfs(path, Quantity.parse(limit).value if limit else 0)
        is_new = True
    if is_new:
        path.chmod(0o777)
        if context.fs_group is not None:
            give_to_group(path, context.fs_group)
    return MountedVolume(path)


def give_to_group(path: Path, group: int) -> None:
    """fsGroup's rule for a directory: owned by the group, writable for it, and inherited (setgid)."""
    os.chown(path, -1, group)
    path.chmod(stat.S_IMODE(path.stat().st_mode) | 0o2070)
