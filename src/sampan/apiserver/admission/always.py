"""AlwaysAdmit and AlwaysDeny: deprecated upstream, off unless enabled, good for tests of what a refusal does."""

from __future__ import annotations

import logging

from sampan.apiserver.admission.plugin import Plugin, refuse
from sampan.apiserver.seams import AdmissionAttributes, ServerParts

log = logging.getLogger(__name__)
_WHY = "admission control is denying all modifications"


class AlwaysAdmit(Plugin):
    name = "AlwaysAdmit"

    def interested(self, attributes: AdmissionAttributes) -> bool:
        return False


class AlwaysDeny(Plugin):
    name = "AlwaysDeny"

    def interested(self, attributes: AdmissionAttributes) -> bool:
        return True

    async def admit(self, attributes: AdmissionAttributes) -> None:
        raise refuse(attributes, _WHY)

    async def validate(self, attributes: AdmissionAttributes) -> None:
        raise refuse(attributes, _WHY)


def admit(parts: ServerParts) -> AlwaysAdmit:
    _warn(AlwaysAdmit.name, parts)
    return AlwaysAdmit()


def deny(parts: ServerParts) -> AlwaysDeny:
    _warn(AlwaysDeny.name, parts)
    return AlwaysDeny()


def _warn(name: str, parts: ServerParts) -> None:
    if name in parts.config.enable_admission:
        log.warning("%s admission controller is deprecated; remove it from the configuration", name)
