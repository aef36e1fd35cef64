"""The PersistentVolumeClaims of a pod: those it names, and those that are made for its ephemeral volumes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sampan.scheduler.pod_info import PodInfo


@dataclass(frozen=True, slots=True)
class PodClaim:
    """`name` within the pod's namespace."""

    name: str
    ephemeral: bool


def claims_of(pod: PodInfo) -> Iterator[PodClaim]:
    """In the order of the pod's volumes."""
    for volume in pod.signature.volumes:
        source = volume.get("persistentVolumeClaim")
        if source is not None:
            yield PodClaim(str(source.get("claimName")), False)
        elif volume.get("ephemeral") is not None:
            yield PodClaim(f"{pod.name}-{volume['name']}", True)
