"""configMap: a ConfigMap's keys as files, kept current while the pod runs."""

from __future__ import annotations

from sampan.kubelet.volumes import atomic_writer, keys
from sampan.kubelet.volumes.context import MountedVolume, VolumeContext

PLUGIN = "configmap"


async def mount(context: VolumeContext) -> MountedVolume:
    source = context.volume["configMap"]
    mode = source.get("defaultMode")
    files = await keys.files(context, "configmap", source, keys.DEFAULT_MODE if mode is None else mode)
    path = context.path(PLUGIN)
    atomic_writer.write(path, files, context.fs_group)
    return MountedVolume(path, readonly=True, is_live=True)
