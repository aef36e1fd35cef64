"""All volumes of a pod: set up before its first container, refreshed while it runs, taken down after its last."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

from sampan.apimachinery.object import Object, namespace_of, uid_of
from sampan.kubelet import spec
from sampan.kubelet.config import KubeletConfig
from sampan.kubelet.downward import NodeFacts
from sampan.kubelet.errors import ConfigError, VolumeError
from sampan.kubelet.object_watches import Key
from sampan.kubelet.objects import NodeObjects
from sampan.kubelet.tokens import TokenManager
from sampan.kubelet.volumes import mounting
from sampan.kubelet.volumes.context import MountedVolume, VolumeContext
from sampan.kubelet.volumes.table import VOLUMES

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class VolumeSources:
    """Where volumes get their contents."""

    objects: NodeObjects
    tokens: TokenManager


class VolumeManager:
    """`mount` is idempotent and is also how live volumes are refreshed."""

    def __init__(self, config: KubeletConfig, sources: VolumeSources) -> None:
        self._config = config
        self._sources = sources

    async def mount(self, pod: Object, node: NodeFacts, pod_ips: tuple[str, ...]) -> dict[str, MountedVolume]:
        """Name -> volume, of those that a container uses. Raises VolumeError once all were tried, if one failed."""
        self._sources.objects.follow(uid_of(pod), references(pod))
        used = {mount["name"] for item in spec.all_containers(pod) for mount in item.get("volumeMounts") or []}
        result: dict[str, MountedVolume] = {}
        failed: VolumeError | None = None
        for volume in pod["spec"].get("volumes") or []:
            if volume["name"] in used:
                context = VolumeContext(
                    pod, volume, self._config.pod_dir(uid_of(pod)), node, pod_ips, self._sources.objects.lookup,
                    self._sources.tokens.get, self._sources.objects.get,
                )
                try:
                    result[volume["name"]] = await self._mount_one(context)
                except VolumeError as error:  # the others are refreshed all the same
                    failed = failed or error
        if failed is not None:
            raise failed
        return result

    async def _mount_one(self, context: VolumeContext) -> MountedVolume:
        kind = next((key for key in VOLUMES if key in context.volume), None)
        if kind is None:
            if set(context.volume) == {"name"}:
                kind, context.volume["emptyDir"] = "emptyDir", {}
            else:
                raise VolumeError(f'no volume plugin matched for volume "{context.name}"')
        try:
            return await VOLUMES[kind](context)
        except ConfigError as error:
            raise VolumeError(f'MountVolume.SetUp failed for volume "{context.name}" : {error}') from error
        except OSError as error:
            raise VolumeError(f'MountVolume.SetUp failed for volume "{context.name}" : {error}') from error

    def unmount(self, uid: str) -> None:
        """Take down every volume of the pod. Contents of emptyDirs and projections go; what is the node's stays."""
        directory = self._config.pod_dir(uid)
        unmount_below(directory)
        for part in ("volumes", "volume-subpaths"):
            shutil.rmtree(directory / part, ignore_errors=True)
        self._sources.tokens.forget(uid)
        self._sources.objects.forget(uid)

    def remove_pod_dir(self, uid: str) -> None:
        """Everything that the pod left on disk."""
        directory = self._config.pod_dir(uid)
        if directory.exists():
            unmount_below(directory)
            shutil.rmtree(directory, ignore_errors=True)

    def pod_uids(self) -> set[str]:
        """Pods that left a directory."""
        directory = self._config.pods_dir
        return {item.name for item in directory.iterdir()} if directory.is_dir() else set()

    def live_volumes(self, pod: Object) -> bool:
        """Whether the pod has volumes whose contents follow the API."""
        kinds = {"configMap", "secret", "projected", "downwardAPI"}
        return any(kinds & set(volume) for volume in pod["spec"].get("volumes") or [])


def references(pod: Object) -> set[Key]:
    """The ConfigMaps and Secrets whose contents the pod's volumes show."""
    sources = [
        source for volume in pod["spec"].get("volumes") or []
        for source in (volume, *((volume.get("projected") or {}).get("sources") or ()))
    ]
    found: set[Key] = set()
    for source in sources:
        if source.get("configMap"):
            found.add(("configmap", namespace_of(pod), source["configMap"].get("name", "")))
        if source.get("secret"):
            secret = source["secret"]
            found.add(("secret", namespace_of(pod), secret.get("secretName") or secret.get("name", "")))
    return found


def unmount_below(directory: Path) -> None:
    """Detach every mount under `directory`, so that removing it cannot reach into what was mounted."""
    for point in mounting.mounts_below(directory):
        try:
            mounting.unmount(point)
        except OSError as error:
            log.warning("%s could not be unmounted: %s", point, error)
    if mounting.mounts_below(directory):
        raise OSError(f"mounts remain below {directory}")
