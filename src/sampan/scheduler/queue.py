"""The scheduling queue: pods that wait to be placed, in three places.

    active          to be tried now, in the order of the QueueSort plugin
    back-off        failed lately; each failure doubles the wait, 1 s to 10 s
    unschedulable   refused by some plugins; waits for an event that concerns one of them, five minutes at most

A pod that is being decided or bound is in flight: events that arrive meanwhile are remembered, so that one that
would have helped it sends it to back-off, not to wait for the next. Gated pods wait apart until they are ungated. When
nothing is active, pods that back off after a refusal (not after an error) are tried before their time (KEP-5142).

Pods that wait are filed by the plugins that refused them, so an event that concerns none of these costs nothing,
however many wait; of the others the plugins are asked with what happened (KEP-4247). Pods of one signature that were
refused by the same plugins are a *family*: what is true of one is true of all. So one of them is asked about, and one
is tried; only when it finds a place, the next is. A pod for which room is being made is asked about its own node, too.

Time comes from `effects`, waiting from asyncio; nothing runs while nothing is due.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
from collections import Counter, deque
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from sampan import effects
from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.status import Status
from sampan.scheduler.pod_info import PodInfo

UNSCHEDULABLE_LIMIT_S = 300.0

Group: TypeAlias = tuple[str, frozenset[str]]
"""The scheduler's name and the plugins that refused."""
Family: TypeAlias = tuple[Group, Any]
"""A group, and what its pods have in common: their signature, or nothing but the key of a single one."""


class QueueRules(Protocol):
    """What the profiles' plugins say about queueing."""

    def sort_key(self, pod: PodInfo, queued_at: float) -> tuple[Any, ...]:
        """Pods are taken in ascending order of this."""

    def pre_enqueue(self, pod: PodInfo) -> Status | None:
        """Why the pod may not be queued yet."""

    def concerns(self, scheduler_name: str, plugin: str, event: ClusterEvent) -> bool:
        """Whether a plugin has registered for the event."""

    def treats_alike(self, scheduler_name: str, plugin: str) -> bool:
        """Whether the plugin judges pods of one signature alike."""

    def nominated_node(self, pod: PodInfo) -> str:
        """Where room is being made for the pod, empty if nowhere."""

    def hint(self, pod: PodInfo, plugin: str, event: ClusterEvent, old: Any, new: Any) -> bool:
        """Whether what happened may change the plugin's mind about the pod."""


@dataclass(slots=True, eq=False)
class QueuedPod:
    """A pod with its history in the queue. `plugins` are those that refused it last."""

    pod: PodInfo
    queued_at: float
    attempts: int = 0
    tried_at: float = 0.0
    """When the last attempt began."""
    failures: int = 0
    plugins: frozenset[str] = frozenset()
    since: float = 0.0
    erred: bool = False
    is_gated: bool = False
    ticket: int = 0
    """Changes whenever the pod moves, so that a heap's old entry can be told from its present one."""
    seen: int = 0
    """In flight: how many events there had been when it was taken."""
    changed: bool = False
    """In flight: its own document changed in a way that matters."""
    family: Family | None = None
    """Where it is filed, or the family for which it tries whether there is a place."""
    nominated_node: str = ""
    """Where it is filed as one for which room is being made."""


@dataclass(frozen=True, slots=True)
class _Happened:
    event: ClusterEvent
    old: Any
    new: Any


class SchedulingQueue:
    """One for all profiles. Everything but `pop` is synchronous."""

    def __init__(
        self, rules: QueueRules, *, initial_backoff_s: float = 1.0, max_backoff_s: float = 10.0,
        pops_from_backoff: bool = True, incoming: Counter[tuple[str, str]] | None = None,
    ) -> None:
        """`incoming` counts pods by the queue that they come to and why."""
        self._rules = rules
        self._incoming: Counter[tuple[str, str]] = Counter() if incoming is None else incoming
        self._initial_backoff_s = initial_backoff_s
        self._max_backoff_s = max_backoff_s
        self._pops_from_backoff = pops_from_backoff
        self._active: list[tuple[tuple[Any, ...], int, QueuedPod]] = []
        self._backoff: list[tuple[float, int, QueuedPod]] = []
        self._error_backoff: list[tuple[float, int, QueuedPod]] = []
        self._unschedulable: dict[str, QueuedPod] = {}
        """In the order of their `since`."""
        self._gated: dict[str, QueuedPod] = {}
        self._groups: dict[Group, dict[Any, dict[str, QueuedPod]]] = {}
        """Unschedulable and gated pods, by family."""
        self._nominated: dict[str, dict[str, QueuedPod]] = {}
        """Those among them for which room is being made, by node."""
        self._known: dict[str, QueuedPod] = {}
        self._in_flight: dict[str, QueuedPod] = {}
        self._happened: deque[_Happened] = deque()
        self._first_happened = 0
        self._tickets = itertools.count(1)
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def get(self, key: str) -> QueuedPod | None:
        return self._known.get(key)

    def pending(self) -> dict[str, int]:
        """How many pods wait where: active, backoff, unschedulable, gated."""
        unschedulable, gated, in_flight = len(self._unschedulable), len(self._gated), len(self._in_flight)
        heaps = self._backoff + self._error_backoff
        backoff = sum(queued.ticket == ticket for _, ticket, queued in heaps)
        active = len(self._known) - unschedulable - gated - in_flight - backoff
        return {"active": active, "backoff": backoff, "unschedulable": unschedulable, "gated": gated}

    def refused_by(self) -> Counter[tuple[str, str]]:
        """How many unschedulable pods each plugin of each profile refused."""
        counts: Counter[tuple[str, str]] = Counter()
        for (profile, plugins), families in self._groups.items():
            pods = sum(map(len, families.values()))
            counts.update({(plugin, profile): pods for plugin in plugins})
        return counts

    @property
    def is_idle(self) -> bool:
        """Whether nothing is to be tried now."""
        return not self._active

    def is_in_flight(self, queued: QueuedPod) -> bool:
        """Whether it was popped and is still to be placed."""
        return self._in_flight.get(queued.pod.key) is queued

    def add(self, pod: PodInfo) -> None:
        """A pod that is to be placed, new to the queue."""
        queued = QueuedPod(pod, effects.monotonic())
        self._known[pod.key] = queued
        self._enqueue(queued, "PodAdd")

    def update(self, pod: PodInfo) -> None:
        """The pod's document changed. If that can matter, it is tried again."""
        queued = self._known.get(pod.key)
        if queued is None or queued.pod.uid != pod.uid:
            self.delete(pod.key)
            self.add(pod)
            return
        old, queued.pod = queued.pod, pod
        if old.signature is pod.signature and old.terminating == pod.terminating:
            return
        if pod.key in self._in_flight:
            queued.changed = True
        elif self._unfile(queued):
            queued.family = None
            self._after_backoff(queued, "PodUpdate")
        self._pass_on(queued)

    def delete(self, key: str) -> None:
        """The pod is gone, or on a node."""
        queued = self._known.pop(key, None)
        if queued is not None:
            queued.ticket = 0
            self._landed(queued)
            if self._unfile(queued):
                queued.family = None
            self._pass_on(queued)

    def succeeded(self, queued: QueuedPod) -> None:
        """A place was found for the pod, though it is not bound yet: there may be one for others of its family."""
        self._pass_on(queued)

    def failed(self, queued: QueuedPod, plugins: frozenset[str], *, error: bool = False) -> None:
        """An attempt ended without a placement: by a verdict of these plugins, or by an error."""
        key = queued.pod.key
        if self._in_flight.get(key) is not queued or self._known.get(key) is not queued:
            return
        queued.failures += 1
        queued.plugins = plugins
        queued.since = effects.monotonic()
        queued.erred = error
        skipped = queued.seen - self._first_happened
        missed = queued.changed or any(
            self._helps(queued, one) for one in itertools.islice(self._happened, skipped, None)
        )
        self._landed(queued)
        if error or missed:
            self._after_backoff(queued, "ScheduleAttemptFailure")
        else:
            self._incoming["unschedulable", "ScheduleAttemptFailure"] += 1
            self._unschedulable[key] = queued
            self._file(queued, self._family_of(queued))
            self._changed.set()

    def move(self, event: ClusterEvent, old: Any = None, new: Any = None) -> None:
        """Something happened in the cluster: what it concerns is tried again."""
        happened = _Happened(event, old, new)
        if self._in_flight:
            self._happened.append(happened)
        if event is ClusterEvent.POD_FREED and old is not None:
            for queued in list(self._nominated.get(old.node_name, {}).values()):
                self._wake_if_it_helps(queued, happened)
        for group, families in list(self._groups.items()):
            if self._concerns(group, event):
                for pods in list(families.values()):
                    self._wake_if_it_helps(next(iter(pods.values())), happened)

    def activate(self, key: str) -> None:
        """Try a waiting pod now, without further back-off."""
        queued = self._known.get(key)
        if queued is None or key in self._in_flight:
            return
        if self._unfile(queued) or any(queued.ticket == entry[1] for entry in self._backoff):
            self._enqueue(queued, "ForceActivate")

    async def pop(self) -> QueuedPod:
        """The next pod to decide on; waits for one. It is in flight until `failed` or `delete`."""
        while True:
            queued = self.pop_nowait()
            if queued is not None:
                return queued
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._next_due(effects.monotonic())):
                    await self._changed.wait()

    def pop_nowait(self) -> QueuedPod | None:
        """As `pop`, but None instead of waiting."""
        if self._backoff or self._error_backoff or self._unschedulable:
            self._release_due(effects.monotonic())
        queued = _first_valid(self._active)
        if queued is None and self._pops_from_backoff:
            queued = _first_valid(self._backoff)
        return None if queued is None else self._to_flight(queued)

    def take(self, key: str) -> QueuedPod | None:
        """A pod that waits, whatever for; None if there is none or a gate holds it. As after `pop`, it is in flight."""
        queued = self._known.get(key)
        if queued is None or key in self._in_flight or self._rules.pre_enqueue(queued.pod) is not None:
            return None
        self._unfile(queued)
        return self._to_flight(queued)

    def _to_flight(self, queued: QueuedPod) -> QueuedPod:
        queued.ticket = 0
        queued.attempts += 1
        queued.tried_at = effects.monotonic()
        queued.seen = self._first_happened + len(self._happened)
        queued.changed = False
        self._in_flight[queued.pod.key] = queued
        return queued

    def _enqueue(self, queued: QueuedPod, why: str) -> None:
        """To the active queue, unless the pod is gated."""
        family = queued.family
        if self._is_held(queued, why):
            self._try_next_of(family)
            return
        self._incoming["active", why] += 1
        queued.ticket = next(self._tickets)
        heapq.heappush(self._active, (self._rules.sort_key(queued.pod, queued.queued_at), queued.ticket, queued))
        self._changed.set()

    def _is_held(self, queued: QueuedPod, why: str) -> bool:
        """Whether a plugin keeps the pod out of the queue; then it waits apart."""
        status = self._rules.pre_enqueue(queued.pod)
        if status is None:
            return False
        queued.ticket = 0
        queued.plugins = frozenset((status.plugin,))
        queued.is_gated = True
        self._incoming["gated", why] += 1
        self._gated[queued.pod.key] = queued
        self._file(queued, self._family_of(queued))
        return True

    def _after_backoff(self, queued: QueuedPod, why: str) -> None:
        """To the active queue once the back-off for its failures is over."""
        due = queued.since + self._backoff_s(queued) if queued.failures else 0.0
        if due <= effects.monotonic():
            self._enqueue(queued, why)
            return
        family = queued.family
        if self._is_held(queued, why):
            self._try_next_of(family)
            return
        self._incoming["backoff", why] += 1
        queued.ticket = next(self._tickets)
        heapq.heappush(self._error_backoff if queued.erred else self._backoff, (due, queued.ticket, queued))
        self._changed.set()

    def _backoff_s(self, queued: QueuedPod) -> float:
        doublings = min(queued.failures - 1, 30)
        return float(min(self._initial_backoff_s * 2**doublings, self._max_backoff_s))

    def _concerns(self, group: Group, event: ClusterEvent) -> bool:
        scheduler_name, plugins = group
        return not plugins or any(self._rules.concerns(scheduler_name, plugin, event) for plugin in plugins)

    def _helps(self, queued: QueuedPod, happened: _Happened) -> bool:
        if not queued.plugins:
            return True
        pod, event, rules = queued.pod, happened.event, self._rules
        return any(
            rules.concerns(pod.signature.scheduler_name, plugin, event)
            and rules.hint(pod, plugin, event, happened.old, happened.new)
            for plugin in queued.plugins
        )

    def _wake_if_it_helps(self, queued: QueuedPod, happened: _Happened) -> None:
        if self._helps(queued, happened):
            self._wake(queued, happened.event.value)

    def _wake(self, queued: QueuedPod, why: str) -> None:
        """Try a pod that waits, for itself and its family."""
        self._unfile(queued)
        self._after_backoff(queued, why)

    def _pass_on(self, queued: QueuedPod) -> None:
        """The pod does not try for its family any longer, and it has not failed: let the next one try."""
        family, queued.family = queued.family, None
        self._try_next_of(family)

    def _try_next_of(self, family: Family | None) -> None:
        """The first that is not held tries. Those for which room is being made have each its own room to wait for.

        A pod that is its own family has nobody to pass on to, least of all itself.
        """
        if family is None or family[1][1:] == (True,) or isinstance(family[1][0], str):
            return
        group, alike = family
        while pods := self._groups.get(group, {}).get(alike):
            queued = next(iter(pods.values()))
            self._unfile(queued)
            queued.family = None
            self._after_backoff(queued, "PlacedAlike")
            if not queued.is_gated:
                queued.family = family
                return

    def _family_of(self, queued: QueuedPod) -> Family:
        """Pods for which room is being made are alike, too: each is asked about its own node besides."""
        name, plugins = group = queued.pod.signature.scheduler_name, queued.plugins
        queued.nominated_node = self._rules.nominated_node(queued.pod)
        judged_alike = not queued.is_gated and all(self._rules.treats_alike(name, plugin) for plugin in plugins)
        if plugins and (judged_alike or queued.nominated_node):
            return group, (queued.pod.signature, bool(queued.nominated_node))
        return group, (queued.pod.key, False)

    def _file(self, queued: QueuedPod, family: Family) -> None:
        group, alike = queued.family = family
        self._groups.setdefault(group, {}).setdefault(alike, {})[queued.pod.key] = queued
        if queued.nominated_node:
            self._nominated.setdefault(queued.nominated_node, {})[queued.pod.key] = queued

    def _unfile(self, queued: QueuedPod) -> bool:
        """Take a pod out of where it waits; whether it waited there. It still knows its family."""
        key = queued.pod.key
        if self._unschedulable.pop(key, None) is None and self._gated.pop(key, None) is None:
            return False
        queued.is_gated = False
        assert queued.family is not None, f"{key} waits but is not filed"
        group, alike = queued.family
        families = self._groups[group]
        del families[alike][key]
        if not families[alike]:
            del families[alike]
            if not families:
                del self._groups[group]
        if queued.nominated_node:
            on_node = self._nominated[queued.nominated_node]
            del on_node[key]
            if not on_node:
                del self._nominated[queued.nominated_node]
            queued.nominated_node = ""
        return True

    def _landed(self, queued: QueuedPod) -> None:
        """The pod is no longer in flight; forget what happened before any that still is was taken."""
        if self._in_flight.get(queued.pod.key) is queued:
            del self._in_flight[queued.pod.key]
        if not self._happened:
            return
        oldest = next(iter(self._in_flight.values()), None)
        if oldest is None:
            self._first_happened += len(self._happened)
            self._happened.clear()
            return
        while self._happened and self._first_happened < oldest.seen:
            self._happened.popleft()
            self._first_happened += 1

    def _release_due(self, now: float) -> None:
        for heap in (self._backoff, self._error_backoff):
            while heap and heap[0][0] <= now:
                _, ticket, queued = heapq.heappop(heap)
                if queued.ticket == ticket:
                    self._enqueue(queued, "BackoffComplete")
        while (oldest := self._longest_unschedulable()) is not None and oldest.since + UNSCHEDULABLE_LIMIT_S <= now:
            self._unfile(oldest)
            oldest.family = None
            self._enqueue(oldest, "UnschedulableTimeout")

    def _next_due(self, now: float) -> float | None:
        """Seconds until something has to be released, None if nothing will."""
        oldest = self._longest_unschedulable()
        times = [oldest.since + UNSCHEDULABLE_LIMIT_S] if oldest else []
        times += [heap[0][0] for heap in (self._backoff, self._error_backoff) if heap]
        return max(0.0, min(times) - now) if times else None

    def _longest_unschedulable(self) -> QueuedPod | None:
        return next(iter(self._unschedulable.values()), None)


def _first_valid(heap: list[tuple[Any, int, QueuedPod]]) -> QueuedPod | None:
    """Take the first entry that is not out of date."""
    while heap:
        _, ticket, queued = heapq.heappop(heap)
        if queued.ticket == ticket:
            return queued
    return None
