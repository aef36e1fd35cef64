"""Which pods wait for a node, and which did a while ago: those that may be what a scheduler's decision was about."""

from __future__ import annotations

from dataclasses import dataclass

from sampan.apimachinery.object import Object, uid_of
from sampan.sim.world import Change, is_active, node_of

LONG_S = 600.0


@dataclass(slots=True)
class Wait:
    """`until_s` None: it still waits. `bound_to` is empty if it stopped waiting in another way."""

    pod: Object
    since_s: float
    until_s: float | None = None
    bound_to: str = ""


class Waiting:
    """Fed with every change of a pod."""

    def __init__(self) -> None:
        self.now: dict[str, Wait] = {}
        """By uid."""
        self._before: list[Wait] = []

    def follow(self, change: Change) -> Wait | None:
        """Take a change; the wait that it ended."""
        new, uid = change.new, uid_of(change.obj)
        if new is not None and is_active(new) and not node_of(new):
            wait = self.now.setdefault(uid, Wait(new, change.at_s))
            wait.pod = new
            return None
        ended = self.now.pop(uid, None)
        if ended is not None:
            ended.until_s, ended.bound_to = change.at_s, node_of(new) if new is not None else ""
            self._before = [one for one in self._before if (one.until_s or 0.0) > change.at_s - LONG_S]
            self._before.append(ended)
        return ended

    def since(self, t: float) -> list[Wait]:
        """Those that wait now, or did at some time since `t`."""
        return [*self.now.values(), *(one for one in self._before if (one.until_s or 0.0) >= t)]
