"""What a plugin answers when it does not simply agree. Agreement is None."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace


class Code(enum.Enum):
    """As upstream's framework.Code."""

    UNSCHEDULABLE = "Unschedulable"
    """Not here, but evicting other pods might change that."""
    UNRESOLVABLE = "UnschedulableAndUnresolvable"
    """Not here, and no eviction can change that."""
    PENDING = "Pending"
    """The pod waits for something outside, as a scheduling gate."""
    SKIP = "Skip"
    """The plugin has nothing to say about this pod in this cycle."""
    WAIT = "Wait"
    """Permit: hold the pod until somebody allows or rejects it."""
    ERROR = "Error"
    """Something broke; the attempt is repeated after a back-off."""


@dataclass(frozen=True, slots=True)
class Status:
    """`reasons` are for people; the runner fills in the plugin's name."""

    code: Code
    reasons: tuple[str, ...] = ()
    plugin: str = ""

    @property
    def message(self) -> str:
        return ", ".join(self.reasons)

    @property
    def rejected(self) -> bool:
        """A verdict on the pod, as opposed to an error."""
        return self.code in (Code.UNSCHEDULABLE, Code.UNRESOLVABLE, Code.PENDING)

    def of(self, plugin: str) -> Status:
        return self if self.plugin else replace(self, plugin=plugin)


SKIP = Status(Code.SKIP)


def unschedulable(*reasons: str) -> Status:
    return Status(Code.UNSCHEDULABLE, reasons)


def unresolvable(*reasons: str) -> Status:
    return Status(Code.UNRESOLVABLE, reasons)
