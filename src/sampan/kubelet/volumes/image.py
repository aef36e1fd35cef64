"""image: the files of an image, read-only (KEP-4639).

The volume is only a place until a container is about to start: then the image is pulled as the container's own is, with
the same reasons if it cannot be had, and mounted here (`containers.py`).
"""

from __future__ import annotations

from pathlib import Path

from sampan.kubelet.volumes.context import MountedVolume, VolumeContext

PLUGIN = "image"


async def mount(context: VolumeContext) -> MountedVolume:
    path = context.path(PLUGIN)
    path.mkdir(parents=True, exist_ok=True)
    return MountedVolume(path, readonly=True)


def mounted_below(pod_dir: Path) -> list[Path]:
    """The places that a pod's image volumes have, mounted or not."""
    directory = pod_dir / "volumes" / f"kubernetes.io~{PLUGIN}"
    return sorted(directory.iterdir()) if directory.is_dir() else []
