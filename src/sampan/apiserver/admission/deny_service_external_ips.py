"""DenyServiceExternalIPs: nobody claims addresses for a Service that the cluster does not own (CVE-2020-8554).

What is there already may stay. Off unless enabled, as upstream.
"""

from __future__ import annotations

from typing import ClassVar

from sampan.apimachinery.object import dig
from sampan.apiserver.admission.plugin import Plugin, refuse
from sampan.apiserver.seams import AdmissionAttributes, Operation, ServerParts


class DenyServiceExternalIPs(Plugin):
    name = "DenyServiceExternalIPs"
    resources = frozenset({("", "services")})
    operations: ClassVar[frozenset[Operation]] = frozenset({"CREATE", "UPDATE"})

    async def validate(self, attributes: AdmissionAttributes) -> None:
        wanted = set(dig(attributes.object, "spec", "externalIPs", default=()))
        if wanted - set(dig(attributes.old_object or {}, "spec", "externalIPs", default=())):
            raise refuse(attributes, "Use of external IPs is denied by admission control.")


def build(parts: ServerParts) -> DenyServiceExternalIPs:
    return DenyServiceExternalIPs()
