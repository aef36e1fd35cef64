"""Every kind of fault, as a frozen dataclass each."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sampan.effects.seeded import Generator
from sampan.sim.faults.fault import Fault, LinkFault, StoreFault, Target
from sampan.sim.server import SimServer

LATEST_CRASH_S = 20.0


@dataclass(frozen=True, slots=True)
class Crash(Fault):
    """The component is killed at its `writes`-th write from now on and starts again after `for_s`.

    `phase` says at which await: before the request is sent, inside (the server works on it, and will finish), or after
    (it was done; the component never learns). A component that does not write is killed after 20 seconds anyway.
    """

    component: str
    phase: str = "inside"
    writes: int = 1

    def begin(self, target: Target) -> None:
        component = target.components[self.component]
        life = component.life
        loop = asyncio.get_running_loop()
        left = self.writes

        def kill() -> None:
            if life.crash_point is None or component.life is not life or life.over:
                return
            life.crash_point = None
            component.kill()
            loop.call_later(self.for_s, component.revive)

        def crash_point(phase: str) -> bool:
            nonlocal left
            if phase != self.phase:
                return False
            left -= 1
            if left > 0:
                return False
            kill()
            return True

        if not life.over and life.crash_point is None:
            life.crash_point = crash_point
            loop.call_later(LATEST_CRASH_S, kill)


@dataclass(frozen=True, slots=True)
class Restart(Fault):
    """The component is asked to end (SIGTERM), and starts again after `for_s`."""

    component: str

    def begin(self, target: Target) -> None:
        target.components[self.component].kill(gently=True)

    def end(self, target: Target) -> None:
        target.components[self.component].revive()


@dataclass(frozen=True, slots=True)
class Slow(LinkFault):
    """Each request and each answer, and each chunk of a watch, takes up to `most_s` longer."""

    most_s: float = 1.0

    def latency_s(self, rng: Generator) -> float:
        return rng.random() ** 3 * self.most_s  # mostly little, sometimes much: that is what reorders


@dataclass(frozen=True, slots=True)
class Lossy(LinkFault):
    """Shares of requests that never arrive and of answers that are lost after the write happened."""

    requests: float = 0.1
    answers: float = 0.1

    def loses_request(self, rng: Generator) -> bool:
        return rng.random() < self.requests

    def loses_answer(self, rng: Generator) -> bool:
        return rng.random() < self.answers


@dataclass(frozen=True, slots=True)
class Partition(LinkFault):
    """Nothing passes in either direction. When it heals, its streams are broken or go on (`breaks`)."""

    breaks: bool = True

    def cuts(self) -> bool:
        return True

    def end(self, target: Target) -> None:
        LinkFault.end(self, target)
        if self.breaks and self.component != "*":
            target.network.link(self.component).break_streams("connection timed out")


@dataclass(frozen=True, slots=True)
class StaleWatch(LinkFault):
    """The component's copies lag: watches of paths that end with `resource` (all, if empty) deliver nothing."""

    resource: str = ""

    def holds(self, path: str) -> bool:
        return path.endswith(self.resource)


@dataclass(frozen=True, slots=True)
class RepeatedWatch(LinkFault):
    """A share of events of watches is delivered twice, one right after the other."""

    share: float = 0.3

    def repeats(self, rng: Generator) -> bool:
        return rng.random() < self.share


@dataclass(frozen=True, slots=True)
class BrokenWatch(LinkFault):
    """Watches break with what was on its way; `expired`: the server has forgotten the version they come back with."""

    resource: str = ""
    expired: bool = False

    def begin(self, target: Target) -> None:
        LinkFault.begin(self, target)
        link = target.network.link(self.component)
        if self.expired:
            paths = {carried.path for carried in link.streams.values()}
            link.expires.extend(path for path in paths if path.endswith(self.resource))
            link.expires.sort()
        link.break_streams("connection reset by peer", self.resource)


@dataclass(frozen=True, slots=True)
class ServerCrash(LinkFault):
    """The API servers, or one of them, die in the midst of everything; others start on the same store after `for_s`."""

    component: str = "*"
    server: int | None = None

    def begin(self, target: Target) -> None:
        LinkFault.begin(self, target)
        for server in self._struck(target):
            server.crash()

    def end(self, target: Target) -> None:
        for server in self._struck(target):
            server.revive()
        LinkFault.end(self, target)

    def _struck(self, target: Target) -> Sequence[SimServer]:
        return target.servers if self.server is None else [target.servers[self.server]]


@dataclass(frozen=True, slots=True)
class StaleServer(LinkFault):
    """What one of several API servers knows falls behind: no change of the store reaches its caches."""

    component: str = "*"
    server: int = 0

    def begin(self, target: Target) -> None:
        LinkFault.begin(self, target)
        target.servers[self.server].view.held += 1

    def end(self, target: Target) -> None:
        target.servers[self.server].view.held -= 1
        LinkFault.end(self, target)


@dataclass(frozen=True, slots=True)
class Moved(LinkFault):
    """The component's requests go to another API server. Its watches break and follow, or stay where they are."""

    server: int = 0
    breaks: bool = True

    def begin(self, target: Target) -> None:
        LinkFault.begin(self, target)
        link = target.network.link(self.component)
        link.moves.append(self.server)
        if self.breaks:
            link.break_streams("connection reset by peer")

    def end(self, target: Target) -> None:
        link = target.network.link(self.component)
        link.moves.remove(self.server)
        if self.breaks:
            link.break_streams("connection reset by peer")
        LinkFault.end(self, target)


@dataclass(frozen=True, slots=True)
class OlderServer(LinkFault):
    """A server falls behind; half of the time later the component comes to it from another.

    `how`: its watches break and go on there (`broken`), are refused there as too old (`expired`), or the process is
    asked to end and starts there with nothing in memory (`restarted`).
    """

    server: int = 0
    how: str = "broken"

    def begin(self, target: Target) -> None:
        LinkFault.begin(self, target)
        LinkFault.begin(self._on_every_link(), target)  # whoever was at that server already is behind, too
        target.servers[self.server].view.held += 1
        asyncio.get_running_loop().call_later(self.for_s / 2, self._come, target)

    def end(self, target: Target) -> None:
        link = target.network.link(self.component)
        target.servers[self.server].view.held -= 1
        if self.server in link.moves:
            link.moves.remove(self.server)
        LinkFault.end(self._on_every_link(), target)
        LinkFault.end(self, target)

    def _on_every_link(self) -> LinkFault:
        return LinkFault(self.at_s, self.for_s, "*")

    def _come(self, target: Target) -> None:
        link = target.network.link(self.component)
        if self not in link.troubles:
            return
        link.moves.append(self.server)
        if self.how == "expired":
            link.expires = sorted({*link.expires, *(carried.path for carried in link.streams.values())})
        if self.how == "restarted":
            component = target.components[self.component]
            component.kill(gently=True)
            component.revive()
        else:
            link.break_streams("connection reset by peer")


@dataclass(frozen=True, slots=True)
class SlowStore(StoreFault):
    """Each read and write of the store takes up to `most_s`."""

    most_s: float = 0.05

    def store_latency_s(self, rng: Generator) -> float:
        return rng.random() * self.most_s


@dataclass(frozen=True, slots=True)
class StoreConflicts(StoreFault):
    """A share of writes finds that somebody else was faster, though nobody was."""

    share: float = 0.2

    def finds_conflict(self, rng: Generator) -> bool:
        return rng.random() < self.share


@dataclass(frozen=True, slots=True)
class StoreDown(StoreFault):
    """The store refuses everything."""

    def is_down(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class NodeDown(Fault):
    """The node falls silent; its containers run on. It comes back as it was."""

    node: str

    def begin(self, target: Target) -> None:
        target.fleet.stop_node(self.node)

    def end(self, target: Target) -> None:
        target.fleet.start_node(self.node)


@dataclass(frozen=True, slots=True)
class NodeReboot(NodeDown):
    """The node restarts: its containers end, and start again when it is back."""

    def end(self, target: Target) -> None:
        target.fleet.reboot_node(self.node)


@dataclass(frozen=True, slots=True)
class ClockJump(Fault):
    """The wall clock is wrong by `by_s`, then right again; monotonic clocks go on."""

    by_s: float = 60.0

    def begin(self, target: Target) -> None:
        target.source.clock_offset += timedelta(seconds=self.by_s)

    def end(self, target: Target) -> None:
        target.source.clock_offset -= timedelta(seconds=self.by_s)


@dataclass(frozen=True, slots=True)
class WebhookTrouble(Fault):
    """Admission webhooks take up to `most_s`, and a share of calls fails."""

    most_s: float = 0.0
    fails: float = 0.0

    def begin(self, target: Target) -> None:
        target.webhooks.troubles.append(self)

    def end(self, target: Target) -> None:
        target.webhooks.troubles.remove(self)

    def webhook_takes_s(self, rng: Generator) -> float:
        return rng.random() * self.most_s

    def webhook_fails(self, rng: Generator) -> bool:
        return rng.random() < self.fails
