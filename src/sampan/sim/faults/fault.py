"""Fault: one thing that goes wrong, from a moment on and for a while. Frozen values, so plans print, replay and shrink.

`begin` and `end` act on a `Target`, which is the simulated cluster. Faults that lie on a component's link or on the
store are looked at there for each request while they are active; their methods are neutral by default.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sampan.effects.seeded import Generator
from sampan.sim.component import Component
from sampan.sim.network import Link, Network
from sampan.sim.node import Fleet
from sampan.sim.server import SimServer
from sampan.sim.source import SeededSource
from sampan.sim.store import SimStore
from sampan.sim.webhooks import SimWebhooks


class Target(Protocol):
    """What faults act on."""

    network: Network
    store: SimStore
    fleet: Fleet
    source: SeededSource
    webhooks: SimWebhooks
    components: dict[str, Component]
    servers: list[SimServer]


@dataclass(frozen=True, slots=True)
class Fault:
    """At `at_s` of the trial's turmoil, for `for_s` seconds."""

    at_s: float
    for_s: float

    def begin(self, target: Target) -> None:
        """It strikes."""

    def end(self, target: Target) -> None:
        """It is over."""


@dataclass(frozen=True, slots=True)
class LinkFault(Fault):
    """Lies on the link of `component`; `*` is every link."""

    component: str

    def begin(self, target: Target) -> None:
        now = target.source.monotonic()
        for link in _links(target, self.component):
            link.troubles.append(self)
            link.note(now)

    def end(self, target: Target) -> None:
        now = target.source.monotonic()
        for link in _links(target, self.component):
            if self in link.troubles:
                link.troubles.remove(self)
            link.note(now)

    def latency_s(self, rng: Generator) -> float:
        return 0.0

    def loses_request(self, rng: Generator) -> bool:
        return False

    def loses_answer(self, rng: Generator) -> bool:
        return False

    def cuts(self) -> bool:
        return False

    def holds(self, path: str) -> bool:
        return False

    def repeats(self, rng: Generator) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class StoreFault(Fault):
    """Lies on the store. What waits for the store, waits: every link counts as troubled meanwhile."""

    def begin(self, target: Target) -> None:
        target.store.troubles.append(self)
        LinkFault.begin(self._on_every_link(), target)

    def end(self, target: Target) -> None:
        target.store.troubles.remove(self)
        LinkFault.end(self._on_every_link(), target)

    def _on_every_link(self) -> LinkFault:
        return LinkFault(self.at_s, self.for_s, "*")

    def store_latency_s(self, rng: Generator) -> float:
        return 0.0

    def finds_conflict(self, rng: Generator) -> bool:
        return False

    def is_down(self) -> bool:
        return False


def _links(target: Target, name: str) -> Sequence[Link]:
    return list(target.network.links.values()) if name == "*" else [target.network.link(name)]
