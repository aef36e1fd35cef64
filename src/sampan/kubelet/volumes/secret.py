"""secret: a Secret's keys as files in memory, kept current while the pod runs."""

from __future__ import annotations

from sampan.kubelet.volumes import atomic_writer, keys, mounting
from sampan.kubelet.volumes.context import MountedVolume, VolumeContext

PLUGIN = "secret"


async def mount(context: VolumeContext) -> MountedVolume:
    source = context.volume["secret"]
    mode = source.get("defaultMode")
    files = await keys.files(context, "secret", source, keys.DEFAULT_MODE if mode is None else mode)
    path = context.path(PLUGIN)
    path.mkdir(parents=True, exist_ok=True)
    if not mounting.is_own_filesystem(path):  # so that a secret never reaches a disk
        mounting.mount_tmpfs(path, 0)
        path.chmod(0o755)
    atomic_writer.write(path, files, context.fs_group)
    return MountedVolume(path, readonly=True, is_live=True)
