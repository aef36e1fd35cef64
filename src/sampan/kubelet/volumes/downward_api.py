"""downwardAPI: the pod's own fields and its containers' resources as files, kept current while the pod runs."""

from __future__ import annotations

from sampan.apimachinery.object import Object
from sampan.kubelet.downward import field_value, resource_value
from sampan.kubelet.errors import ConfigError, VolumeError
from sampan.kubelet.volumes import atomic_writer, keys
from sampan.kubelet.volumes.atomic_writer import File
from sampan.kubelet.volumes.context import MountedVolume, VolumeContext

PLUGIN = "downward-api"


async def mount(context: VolumeContext) -> MountedVolume:
    source = context.volume["downwardAPI"]
    mode = source.get("defaultMode")
    path = context.path(PLUGIN)
    atomic_writer.write(path, files(context, source, keys.DEFAULT_MODE if mode is None else mode), context.fs_group)
    return MountedVolume(path, readonly=True, is_live=True)


def files(context: VolumeContext, source: Object, default_mode: int) -> dict[str, File]:
    """The files of one source. Raises VolumeError for a field that is not supported."""
    result: dict[str, File] = {}
    for item in source.get("items") or []:
        try:
            if item.get("fieldRef"):
                value = field_value(context.pod, item["fieldRef"]["fieldPath"], context.node, context.pod_ips)
            else:
                value = resource_value(context.pod, {}, item["resourceFieldRef"], context.node)
        except ConfigError as error:
            raise VolumeError(f'MountVolume.SetUp failed for volume "{context.name}" : {error}') from error
        mode = item.get("mode")
        result[item["path"]] = File(value.encode(), default_mode if mode is None else mode)
    return result
