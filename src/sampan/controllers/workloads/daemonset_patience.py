"""How long a DaemonSet waits before it replaces a pod that failed: longer each time, for each node by itself.

A pod that a kubelet refuses fails at once, and so does the one that replaces it. The first replacement is immediate,
the next comes a second later, then two, up to 15 minutes; a node that has been quiet for twice that long is forgiven,
and all are when the set itself has changed. Lost with the process, and then learned anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

BASE_S, LIMIT_S = 1.0, 900.0


@dataclass(slots=True)
class _Delay:
    until: float
    next_s: float


class Patience:
    """Delays by DaemonSet and node, in monotonic seconds."""

    def __init__(self) -> None:
        self._delays: dict[str, tuple[str, dict[str, _Delay]]] = {}

    def waits(self, key: str, generation: str, nodes: Iterable[str], now: float) -> dict[str, float]:
        """Of `nodes`, which have failed pods of the set, those that must wait, and for how long.

        The others are about to get a new pod: their next wait begins now. Another `generation` of the set than the
        last begins anew.
        """
        before, known = self._delays.get(key, ("", {}))
        if before != generation:
            known = {}
        self._delays[key] = generation, known
        for node in [node for node, delay in known.items() if now > delay.until + 2 * LIMIT_S]:
            del known[node]
        waits: dict[str, float] = {}
        for node in sorted(nodes):
            delay = known.get(node)
            if delay is None:
                known[node] = _Delay(now + BASE_S, 2 * BASE_S)
            elif now < delay.until:
                waits[node] = delay.until - now
            else:
                known[node] = _Delay(now + delay.next_s, min(2 * delay.next_s, LIMIT_S))
        return waits

    def forget(self, key: str) -> None:
        """The set is gone."""
        self._delays.pop(key, None)
