"""Controller: runs one control loop. Informers put keys into a queue; workers reconcile them one by one.

A loop is a `Reconciler`: `reconcile(key)` reads the informers' copies and returns a `Plan`, which the executor carries
out. What it watches it says once, on the `Wiring` that it is built with.

Guarantees: a key is reconciled by one worker at a time; never on copies that do not show this loop's own last writes
for it; after any failure again, later each time; and whatever a single key does, the others go on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from sampan import effects
from sampan.apimachinery import errors
from sampan.apimachinery.object import Object, controller_of, key_of, namespace_of
from sampan.apimachinery.resource import Resource
from sampan.client.client import Client
from sampan.client.events import EventRecorder
from sampan.client.informer import Handler, Informer, InformerFactory
from sampan.client.lister import Lister
from sampan.reconcile.executor import Executor, Observer
from sampan.reconcile.expectations import TIMEOUT_S, Expectations
from sampan.reconcile.measures import Measure
from sampan.reconcile.plan import Plan
from sampan.reconcile.workqueue import Workqueue

log = logging.getLogger(__name__)

Keys: TypeAlias = Callable[[Object], Iterable[str]]
"""Which keys an object's change concerns."""

Facts: TypeAlias = Callable[[Object], object]
"""What of an object matters; compared before and after a change."""


class Reconciler(Protocol):
    """One control loop's thinking."""

    async def reconcile(self, key: str) -> Plan:
        """What to do so that the cluster comes nearer to what `key` asks for."""


@dataclass(slots=True)
class ControllerCounts:
    """What a controller has done so far."""

    reconciles: int = 0
    conflicts: int = 0
    failures: int = 0
    crashes: int = 0


class Wiring:
    """What a loop is built with: the cluster, and a way to say what it watches."""

    def __init__(self, client: Client, factory: InformerFactory, recorder: EventRecorder) -> None:
        self.client = client
        self.factory = factory
        self.recorder = recorder
        self.queue = Workqueue()
        self.expectations = Expectations(self.queue.add)
        self.background: list[Callable[[], Awaitable[None]]] = []
        self.measures: list[Measure] = []
        self.observers: list[Observer] = []
        self._handlers: list[tuple[Informer, Handler]] = []
        self._informers: dict[int, Informer] = {}

    def watch(self, resource: Resource, keys: Keys | None = None, facts: Facts | None = None) -> Lister:
        """Follow all objects of `resource`; each change queues `keys` of its old and new state (its own key).

        With `facts`, an update that changes none of them queues nothing: most of a node's are heartbeats.
        """
        informer = self.factory.informer(resource)
        self.follow(informer, keys or own_key, facts)
        return informer.lister

    def read(self, resource: Resource) -> Lister:
        """Follow all objects of `resource` without queueing anything for their changes."""
        return self.watch(resource, no_key)

    def follow(self, informer: Informer, keys: Keys, facts: Facts | None = None) -> None:
        """As `watch`, for any informer."""
        if id(informer) not in self._informers:
            self._informers[id(informer)] = informer
            self._handlers.append((informer, self.expectations.follow(informer)))
        if keys is not no_key:
            add = self.queue.add

            def changed(obj: Object) -> None:
                for key in keys(obj):
                    add(key)

            def updated(old: Object, new: Object) -> None:
                if facts is not None and facts(old) == facts(new):
                    return
                before, after = keys(old), keys(new)
                for key in before:
                    add(key)
                if after != before:
                    for key in after:
                        add(key)

            self._handlers.append((informer, informer.add_handler(changed, updated, changed)))

    def pass_over(self, rests: Callable[[str], float | None]) -> None:
        """Ask this of a key whose time to be looked at again has come, once the copies show what was written for it:
        for how many seconds more there is nothing to do, or None."""
        satisfied = self.expectations.satisfied
        self.queue.rests = lambda key: rests(key) if satisfied(key, effects.monotonic()) else None

    def add_background(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work` beside the workers, as long as the controller runs."""
        self.background.append(work)

    def measure(self, *measures: Measure) -> None:
        """Show these figures with the metrics of whoever runs the loop."""
        self.measures += measures

    def observe(self, observer: Observer) -> None:
        """Be told of every write that was tried, and how it ended."""
        self.observers.append(observer)

    def hear(self, resource: Resource, changed: Callable[[Object | None, Object | None], None]) -> None:
        """Call `changed` with what an object that is watched was and is: None before it is made and when it is gone."""
        informer = self.factory.informer(resource)
        self._handlers.append((informer, informer.add_handler(
            lambda new: changed(None, new), changed, lambda old: changed(old, None)
        )))

    async def wait_synced(self) -> None:
        for informer in list(self._informers.values()):
            await informer.wait_synced()

    def close(self) -> None:
        for informer, handler in self._handlers:
            informer.remove_handler(handler)
        self.queue.close()


class Controller:
    """Runs a loop that `build` makes, with `workers` keys at a time, until cancelled."""

    def __init__(
        self, name: str, build: Callable[[Wiring], Reconciler], client: Client, factory: InformerFactory, *,
        workers: int = 5, component: str = "",
    ) -> None:
        self.name = name
        self._build = build
        self._client = client
        self._factory = factory
        self.workers = workers
        self._component = component or name
        self.counts = ControllerCounts()
        self.queue: Workqueue | None = None
        """The queue of the present run; its figures are what the controller has to show."""
        self.measures: Sequence[Measure] = ()
        """What the loop of the present run measures of its own."""
        self.down_since_s: float | None = effects.monotonic()
        """Since when it does not work (it is starting, or has crashed); None while it does."""

    async def run(self) -> None:
        async with EventRecorder(self._client, self._component) as recorder:
            wiring = Wiring(self._client, self._factory, recorder)
            self.queue = wiring.queue
            try:
                reconciler = self._build(wiring)
                self.measures = wiring.measures
                await wiring.wait_synced()
                self.down_since_s = None
                async with asyncio.TaskGroup() as group:
                    for work in wiring.background:
                        group.create_task(_run(work), name=self.name)
                    for _ in range(self.workers):
                        group.create_task(self._work(wiring, reconciler), name=self.name)
            finally:
                self.down_since_s = effects.monotonic()
                wiring.close()

    async def _work(self, wiring: Wiring, reconciler: Reconciler) -> None:
        executor = Executor(self._client, wiring.recorder, wiring.expectations, wiring.observers)
        while True:
            key = await wiring.queue.get()
            try:
                await self._reconcile(wiring, reconciler, executor, key)
            finally:
                wiring.queue.done(key)

    async def _reconcile(self, wiring: Wiring, reconciler: Reconciler, executor: Executor, key: str) -> None:
        if not wiring.expectations.satisfied(key, effects.monotonic()):
            wiring.queue.add_after(key, TIMEOUT_S)
            return
        self.counts.reconciles += 1
        try:
            plan = await reconciler.reconcile(key)
            await executor.run(key, plan)
        except (errors.Conflict, errors.NotFound) as error:  # decided on an old copy; a newer one is on its way
            self.counts.conflicts += 1
            log.debug("%s: %s: %s", self.name, key, error)
            wiring.queue.add_rate_limited(key)
        except errors.APIError as error:
            self.counts.failures += 1
            log.warning("%s: %s: %s", self.name, key, error)
            wiring.queue.add_rate_limited(key)
        except Exception:
            self.counts.crashes += 1
            log.exception("%s: %s: reconciling failed", self.name, key)
            wiring.queue.add_rate_limited(key)
        else:
            wiring.queue.forget(key)
            if plan.requeue_after_s is not None:
                wiring.queue.add_after(key, plan.requeue_after_s)


async def _run(work: Callable[[], Awaitable[None]]) -> None:
    await work()


def own_key(obj: Object) -> tuple[str, ...]:
    """An object concerns itself."""
    return (key_of(obj),)


def no_key(obj: Object) -> tuple[str, ...]:
    """An object that is only read."""
    return ()


def one_key(key: str) -> Keys:
    """Every change concerns the same key."""
    return lambda obj: (key,)


def owner_key(kind: str, group: str = "") -> Keys:
    """An object concerns its controller, if that is of this kind."""

    def keys(obj: Object) -> tuple[str, ...]:
        owner = controller_of(obj)
        if owner is None or owner.get("kind") != kind or owner["apiVersion"].rpartition("/")[0] != group:
            return ()
        namespace = namespace_of(obj)
        return (f"{namespace}/{owner['name']}" if namespace else owner["name"],)

    return keys
