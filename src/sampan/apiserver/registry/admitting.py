"""The admission chain as the write path calls it: mutating plugins in order; on the final object, validating ones."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.apiserver.admission.plugin import Plugin
from sampan.apiserver.seams import Admission, AdmissionAttributes


class AdmissionChain:
    """The plugins in order."""

    def __init__(self, plugins: Sequence[Admission]) -> None:
        self.plugins = tuple(plugins)
        self._mutating = [plugin for plugin in plugins if _has_own(plugin, "admit")]
        self._validating = [plugin for plugin in plugins if _has_own(plugin, "validate")]

    async def admit(self, attributes: AdmissionAttributes) -> None:
        """Let plugins change the object. Raises what the first refusal raises."""
        await self._round(attributes)
        again = attributes.reinvocation
        if again is not None and again.wanted:
            again.round = 1
            await self._round(attributes)

    async def _round(self, attributes: AdmissionAttributes) -> None:
        for plugin in self._mutating:
            if plugin.interested(attributes):
                await plugin.admit(attributes)

    async def validate(self, attributes: AdmissionAttributes) -> None:
        for plugin in self._validating:
            if plugin.interested(attributes):
                await plugin.validate(attributes)

    async def close(self) -> None:
        """Close what plugins hold open."""
        for plugin in self.plugins:
            close = getattr(plugin, "close", None)
            if close is not None:
                await close()


def _has_own(plugin: Admission, method: str) -> bool:
    """Whether the method does anything: those that only look, or only change, are asked once a write."""
    return getattr(type(plugin), method) is not getattr(Plugin, method)
