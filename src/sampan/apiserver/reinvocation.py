"""Mutating admission may need a second round: what one webhook or policy changed can concern those before it.

When a webhook or mutating policy changed the object, all mutating plugins run once more. In that round a webhook is
called only if it asked for it (`reinvocationPolicy: IfNeeded`) and something changed since its last turn. There is no
third round. Source: upstream's admission/reinvocation.go and plugin/webhook/mutating/reinvocationcontext.go.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import orjson


@dataclass(slots=True)
class Turns:
    """Of one plugin: who was called and would like to be called again, and who is due in the second round."""

    invoked: set[Hashable] = field(default_factory=set)
    due: set[Hashable] = field(default_factory=set)
    output: Any = None

    def changed(self) -> None:
        """Somebody changed the object: all who had their turn before are due."""
        self.due |= self.invoked
        self.invoked.clear()

    def begin(self, obj: Any) -> None:
        """A second round: if other plugins changed the object since, everybody is due."""
        if self.invoked and self.output != obj:
            self.changed()

    def end(self, obj: Any) -> None:
        """Remember the object, if anybody will have to compare."""
        self.output = orjson.loads(orjson.dumps(obj)) if self.invoked else None


@dataclass(slots=True)
class Reinvocation:
    """Of one write. `wanted` asks for the second round (`round` 1)."""

    round: int = 0
    wanted: bool = False
    _turns: dict[str, Turns] = field(default_factory=dict)

    def turns(self, plugin: str) -> Turns:
        found = self._turns.get(plugin)
        if found is None:
            found = self._turns[plugin] = Turns()
        return found
