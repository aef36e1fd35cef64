"""LimitPodHardAntiAffinityTopology: required anti-affinity may only be about nodes, since over larger domains one pod
can keep everybody else out. Off unless enabled, as upstream.
"""

from __future__ import annotations

from typing import ClassVar, Final

from sampan.apimachinery.object import dig
from sampan.apiserver.admission.plugin import PODS_ONLY, Plugin, refuse
from sampan.apiserver.seams import AdmissionAttributes, Operation, ServerParts

HOSTNAME: Final = "kubernetes.io/hostname"


class LimitPodHardAntiAffinityTopology(Plugin):
    name = "LimitPodHardAntiAffinityTopology"
    resources = PODS_ONLY
    operations: ClassVar[frozenset[Operation]] = frozenset({"CREATE", "UPDATE"})

    async def validate(self, attributes: AdmissionAttributes) -> None:
        required = "requiredDuringSchedulingIgnoredDuringExecution"
        for term in dig(attributes.object or {}, "spec", "affinity", "podAntiAffinity", required, default=()) or ():
            key = term.get("topologyKey", "")
            if key != HOSTNAME:
                raise refuse(attributes, "affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey "
                                         f"{key} but only key {HOSTNAME} is allowed")


def build(parts: ServerParts) -> LimitPodHardAntiAffinityTopology:
    return LimitPodHardAntiAffinityTopology()
