"""Scenario: what a cluster is asked to do in a trial, as data: objects at the beginning, and what users do then.

A trial is: boot, create `objects`, let things settle; then for `minutes` do one of `actions` (by weight, at random)
every `every_s` or so, while faults strike; then, everything healed and `finale` done, wait until it has come to rest.
`apart` names the control loops that are processes of their own and can crash alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from sampan.apimachinery import errors
from sampan.apimachinery.object import Object
from sampan.apimachinery.resource import Resource
from sampan.client.client import Client
from sampan.effects.seeded import Generator
from sampan.sim.cluster import SimCluster
from sampan.sim.faults.fault import Fault
from sampan.sim.node import NodeSpec, node_specs
from sampan.sim.world import World

RETRY_S: Final = 1.0
TRIES: Final = 180
OTHER: Final = "Precondition failed: UID"
"""What a deletion is told whose object is gone while another has its name."""


@dataclass(slots=True)
class Stage:
    """What an action acts with: an administrator's client, the cluster, the truth, and its own randomness."""

    cluster: SimCluster
    world: World
    rng: Generator
    _counts: dict[str, int] = field(default_factory=dict)

    def count(self, what: str) -> int:
        """0, 1, 2, … for each `what`."""
        number = self._counts.get(what, 0)
        self._counts[what] = number + 1
        return number

    @property
    def client(self) -> Client:
        return self.cluster.client

    async def persist(self, attempt: Callable[[], Awaitable[Any]]) -> Any:
        """Do it even though the API server is away for a while. What exists or is gone already is fine, also if another
        has its name by now."""
        for _ in range(TRIES):
            try:
                return await attempt()
            except (errors.AlreadyExists, errors.NotFound):
                return None
            except (errors.ServiceUnavailable, errors.Conflict, errors.TooManyRequests, errors.InternalError) as error:
                if isinstance(error, errors.Conflict) and OTHER in error.message:
                    return None
                await asyncio.sleep(RETRY_S)
        raise TimeoutError(f"the API server did not answer for {TRIES * RETRY_S:.0f} s")

    async def create(self, resource: Resource, obj: Object) -> None:
        await self.persist(lambda: self.client.create(resource, obj))

    async def delete(self, resource: Resource, name: str, namespace: str | None = None) -> None:
        await self.persist(lambda: self.client.delete(resource, name, namespace))


Action: TypeAlias = Callable[[Stage], Awaitable[None]]
Weighted: TypeAlias = tuple[int, Action]


@dataclass(frozen=True, slots=True)
class Scenario:
    """See above. `settled` names what else must be true at the end; `nodes` may be a number of equal ones."""

    name: str
    about: str
    objects: Sequence[tuple[Resource, Object]] = ()
    actions: Sequence[Weighted] = ()
    begin: Sequence[Action] = ()
    """What is done before its objects are made."""
    finale: Sequence[Action] = ()
    settled: Callable[[World], Sequence[str]] = lambda world: ()
    nodes: int | Sequence[NodeSpec] = 4
    apart: Sequence[str] = ()
    managers: int = 1
    schedulers: int = 1
    servers: int = 1
    minutes: float = 6.0
    every_s: float = 8.0
    rest_within_s: float = 480.0
    without: Sequence[str] = field(default=())
    """Kinds of faults, by class name, that make no sense here."""
    faults: Sequence[Fault] = ()
    """What goes wrong besides what is drawn, unless nothing is to go wrong."""
    struck: Sequence[str] = ()
    """The components that faults strike; all, if empty."""
    unsettled: Sequence[str] = ()
    """Resources that need not come to rest here."""

    def node_specs(self) -> Sequence[NodeSpec]:
        return node_specs(self.nodes) if isinstance(self.nodes, int) else self.nodes
