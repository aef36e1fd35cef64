"""The admission chain as the write path calls it: mutating plugins in order; on the final object, validating ones.

Most plugins look at few kinds only. Which of them a kind of write concerns at all is found out once (`Concerned`);
those that want to see the write itself are asked each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sampan.apiserver.admission.plugin import Plugin
from sampan.apiserver.seams import Admission, AdmissionAttributes

_KINDS_OF_WRITES: Final = 2048


class AdmissionChain:
    """The plugins in order."""

    def __init__(self, plugins: Sequence[Admission]) -> None:
        self.plugins = tuple(plugins)
        self._mutating = Concerned([plugin for plugin in plugins if _has_own(plugin, "admit")])
        self._validating = Concerned([plugin for plugin in plugins if _has_own(plugin, "validate")])

    async def admit(self, attributes: AdmissionAttributes) -> None:
        """Let plugins change the object. Raises what the first refusal raises."""
        await self._round(attributes)
        again = attributes.reinvocation
        if again is not None and again.wanted:
            again.round = 1
            await self._round(attributes)

    async def _round(self, attributes: AdmissionAttributes) -> None:
        for plugin in self._mutating.by(attributes):
            if plugin.interested(attributes):
                await plugin.admit(attributes)

    async def validate(self, attributes: AdmissionAttributes) -> None:
        for plugin in self._validating.by(attributes):
            if plugin.interested(attributes):
                await plugin.validate(attributes)

    async def close(self) -> None:
        """Close what plugins hold open."""
        for plugin in self.plugins:
            close = getattr(plugin, "close", None)
            if close is not None:
                await close()


class Concerned:
    """The plugins that a write may concern, by what it is done to and how."""

    def __init__(self, plugins: Sequence[Admission]) -> None:
        self._plugins = plugins
        self._found: dict[tuple[str, str, str, str], tuple[Admission, ...]] = {}

    def by(self, attributes: AdmissionAttributes) -> tuple[Admission, ...]:
        resource = attributes.kind.resource
        key = (resource.group, resource.plural, attributes.operation, attributes.subresource)
        found = self._found.get(key)
        if found is None:
            found = tuple(
                plugin for plugin in self._plugins if _has_own(plugin, "interested") or plugin.interested(attributes)
            )
            if len(self._found) >= _KINDS_OF_WRITES:
                self._found.clear()
            self._found[key] = found
        return found


def _has_own(plugin: Admission, method: str) -> bool:
    """Whether the plugin has one of its own: those that only look, or only change, are asked once a write."""
    return getattr(type(plugin), method) is not getattr(Plugin, method)
