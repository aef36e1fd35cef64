"""persistentVolumeClaim: the claim's volume, where that is a path of this node (hostPath, local)."""

from __future__ import annotations

from pathlib import Path

from sampan.apimachinery.object import Object, dig, name_of, namespace_of
from sampan.kubelet.errors import VolumeError
from sampan.kubelet.volumes import host_path
from sampan.kubelet.volumes.context import MountedVolume, VolumeContext


async def mount(context: VolumeContext) -> MountedVolume:
    """Raises VolumeError while the claim is not bound, or when its volume is of a type without a driver here."""
    source = context.volume["persistentVolumeClaim"]
    return await mount_claim(context, source["claimName"], readonly=bool(source.get("readOnly")))


async def mount_ephemeral(context: VolumeContext) -> MountedVolume:
    """A generic ephemeral volume: the claim that the controller made for this pod."""
    return await mount_claim(context, f"{name_of(context.pod)}-{context.name}", readonly=False)


async def mount_claim(context: VolumeContext, claim_name: str, *, readonly: bool) -> MountedVolume:
    namespace = namespace_of(context.pod)
    claim = await context.fetch("persistentvolumeclaim", namespace, claim_name)
    if claim is None:
        why = f'persistentvolumeclaim "{claim_name}" not found'
        raise VolumeError(f"error processing PVC {namespace}/{claim_name}: {why}")
    volume_name = dig(claim, "spec", "volumeName", default="")
    if not volume_name or dig(claim, "status", "phase") != "Bound":
        raise VolumeError(f"error processing PVC {namespace}/{claim_name}: PVC is not bound")
    volume = await context.fetch("persistentvolume", "", volume_name)
    if volume is None:
        raise VolumeError(f'error processing PVC {namespace}/{claim_name}: persistentvolume "{volume_name}" not found')
    return MountedVolume(_path(context, volume), readonly)


def _path(context: VolumeContext, volume: Object) -> Path:
    if dig(volume, "spec", "hostPath"):
        source = volume["spec"]["hostPath"]
        return host_path.check(Path(source["path"]), source.get("type") or "DirectoryOrCreate")
    if dig(volume, "spec", "local"):
        path = Path(volume["spec"]["local"]["path"])
        if not path.exists():
            raise VolumeError(
                f'MountVolume.NewMounter initialization failed for volume "{name_of(volume)}" : '
                f'path "{path}" does not exist'
            )
        return path
    raise VolumeError(
        f'MountVolume.SetUp failed for volume "{context.name}" : no volume plugin matched name of '
        f"{name_of(volume)}"
    )
