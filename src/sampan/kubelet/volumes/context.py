"""What setting up a volume may use, and the shape that every volume type's `mount` has."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from sampan.apimachinery.object import Object, dig
from sampan.kubelet.downward import NodeFacts
from sampan.kubelet.environment import Lookup

TokenRequest: TypeAlias = Callable[[Object, str, int], Awaitable[str]]
"""(pod, audience, lifetime in seconds) -> a ServiceAccount token, fresh enough."""

Fetch: TypeAlias = Callable[[str, str, str], Awaitable[Object | None]]
"""(kind, namespace, name) -> a PersistentVolumeClaim, PersistentVolume or ClusterTrustBundle."""


@dataclass(frozen=True, slots=True)
class VolumeContext:
    """One volume of one pod. `directory` is the pod's own."""

    pod: Object
    volume: Object
    directory: Path
    node: NodeFacts
    pod_ips: tuple[str, ...]
    lookup: Lookup
    token: TokenRequest
    fetch: Fetch

    @property
    def name(self) -> str:
        return str(self.volume["name"])

    @property
    def fs_group(self) -> int | None:
        group = dig(self.pod, "spec", "securityContext", "fsGroup")
        return None if group is None else int(group)

    def path(self, plugin: str) -> Path:
        """Where the volume lives: `volumes/kubernetes.io~PLUGIN/NAME`."""
        return self.directory / "volumes" / f"kubernetes.io~{plugin}" / self.name


@dataclass(frozen=True, slots=True)
class MountedVolume:
    """A volume that is ready. `is_live` ones are refreshed while the pod runs.

    What the kubelet writes while containers look on must be read-only for them: one who could plant links there would
    have the kubelet write and delete outside of the volume (CVE-2017-1002102).
    """

    path: Path
    readonly: bool = False
    is_live: bool = False


Mount: TypeAlias = Callable[[VolumeContext], Awaitable[MountedVolume]]
