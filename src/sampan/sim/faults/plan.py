"""FaultPlan: the faults of one trial, in order. Drawn from a seed; a printed plan is the Python that makes it again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from sampan.effects.seeded import Generator, generator
from sampan.sim.faults.fault import Fault
from sampan.sim.faults.kinds import (
    BrokenWatch,
    ClockJump,
    Crash,
    Lossy,
    Moved,
    NodeDown,
    NodeReboot,
    OlderServer,
    Partition,
    RepeatedWatch,
    Restart,
    ServerCrash,
    Slow,
    SlowStore,
    StaleServer,
    StaleWatch,
    StoreConflicts,
    StoreDown,
)

RETURNS: Final = ("broken", "expired", "restarted")
RESOURCES: Final = ("", "/pods", "/pods", "/replicasets", "/jobs", "/nodes", "/deployments", "/statefulsets")


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """`network` False: no network lies between the components, calls are answered at once."""

    faults: tuple[Fault, ...] = ()
    network: bool = True

    def without(self, faults: Sequence[Fault]) -> FaultPlan:
        dropped = {id(fault) for fault in faults}
        return FaultPlan(tuple(fault for fault in self.faults if id(fault) not in dropped), self.network)

    def __str__(self) -> str:
        lines = "".join(f"    {fault!r},\n" for fault in self.faults)
        return f"FaultPlan((\n{lines}))" if lines else repr(self)


@dataclass(frozen=True, slots=True)
class Level:
    """How bad it gets: a fault every `every_s` seconds on average, lasting up to `most_s`."""

    every_s: float
    most_s: float


MIXED: Final = "mixed"
LEVELS: Final = {"light": Level(60.0, 15.0), "heavy": Level(15.0, 60.0)}


@dataclass(frozen=True, slots=True)
class Field:
    """What there is to break."""

    components: tuple[str, ...]
    nodes: tuple[str, ...]
    servers: int = 1
    without: tuple[str, ...] = ()
    """Kinds of faults that are left out."""


Draw: TypeAlias = Callable[[Generator, float, float, Field], Fault]


def _crash(rng: Generator, at: float, most: float, field: Field) -> Fault:
    phase = rng.choice(("before", "inside", "after"))
    return Crash(at, _tenths(rng.uniform(0.5, most)), rng.choice(field.components), phase, rng.randint(1, 6))


def _restart(rng: Generator, at: float, most: float, field: Field) -> Fault:
    return Restart(at, _tenths(rng.uniform(0.5, most)), rng.choice(field.components))


def _slow(rng: Generator, at: float, most: float, field: Field) -> Fault:
    return Slow(at, _tenths(rng.uniform(1, most)), rng.choice(field.components), rng.choice((0.05, 0.5, 3.0)))


def _lossy(rng: Generator, at: float, most: float, field: Field) -> Fault:
    shares = rng.choice(((0.3, 0.0), (0.0, 0.3), (0.1, 0.1)))
    return Lossy(at, _tenths(rng.uniform(1, most)), rng.choice(field.components), *shares)


def _partition(rng: Generator, at: float, most: float, field: Field) -> Fault:
    return Partition(at, _tenths(rng.uniform(1, most)), rng.choice(field.components), rng.random() < 0.5)


def _stale(rng: Generator, at: float, most: float, field: Field) -> Fault:
    return StaleWatch(at, _tenths(rng.uniform(0.5, most)), rng.choice(field.components), rng.choice(RESOURCES))


def _broken(rng: Generator, at: float, most: float, field: Field) -> Fault:
    return BrokenWatch(at, 1.0, rng.choice(field.components), rng.choice(RESOURCES), rng.random() < 0.5)


def _repeated(rng: Generator, at: float, most: float, field: Field) -> Fault:
    return RepeatedWatch(at, _tenths(rng.uniform(1, most)), rng.choice(field.components), rng.choice((0.1, 1.0)))


def _server(rng: Generator, at: float, most: float, field: Field) -> Fault:
    return ServerCrash(at, _tenths(rng.uniform(0.5, most)))


def _slow_store(rng: Generator, at: float, most: float, field: Field) -> Fault:
    return SlowStore(at, _tenths(rng.uniform(1, most)), rng.choice((0.005, 0.05, 0.5)))


def _conflicts(rng: Generator, at: float, most: float, field: Field) -> Fault:
    return StoreConflicts(at, _tenths(rng.uniform(1, most)), rng.choice((0.1, 0.5)))


def _store_down(rng: Generator, at: float, most: float, field: Field) -> Fault:
    return StoreDown(at, _tenths(rng.uniform(0.5, most / 2)))


def _node_down(rng: Generator, at: float, most: float, field: Field) -> Fault:
    return NodeDown(at, _tenths(rng.uniform(5, most * 4)), rng.choice(field.nodes))


def _node_reboot(rng: Generator, at: float, most: float, field: Field) -> Fault:
    return NodeReboot(at, _tenths(rng.uniform(5, most * 4)), rng.choice(field.nodes))


def _clock(rng: Generator, at: float, most: float, field: Field) -> Fault:
    return ClockJump(at, _tenths(rng.uniform(1, most)), rng.choice((-3600.0, -30.0, 30.0, 3600.0)))


def _stale_server(rng: Generator, at: float, most: float, field: Field) -> Fault:
    return StaleServer(at, _tenths(rng.uniform(1, most)), server=rng.randrange(field.servers))


def _moved(rng: Generator, at: float, most: float, field: Field) -> Fault:
    component, server = rng.choice(field.components), rng.randrange(field.servers)
    return Moved(at, _tenths(rng.uniform(1, most)), component, server, rng.random() < 0.7)


def _older_server(rng: Generator, at: float, most: float, field: Field) -> Fault:
    component, server = rng.choice(field.components), rng.randrange(field.servers)
    return OlderServer(at, _tenths(rng.uniform(3, most)), component, server, rng.choice(RETURNS))


def _one_server(rng: Generator, at: float, most: float, field: Field) -> Fault:
    return ServerCrash(at, _tenths(rng.uniform(0.5, most)), server=rng.randrange(field.servers))


DRAWS: Final[tuple[tuple[int, Draw], ...]] = (
    (6, _crash), (1, _restart), (3, _slow), (2, _lossy), (2, _partition), (4, _stale), (3, _broken), (2, _server),
    (1, _slow_store), (2, _conflicts), (1, _store_down), (2, _node_down), (1, _node_reboot), (1, _clock),
)
"""How often each kind comes, relative to the others."""
SERVER_DRAWS: Final[tuple[tuple[int, Draw], ...]] = (
    (3, _stale_server), (4, _moved), (10, _older_server), (2, _one_server),
)
"""What comes to these where there are several API servers."""
REPEATED_FROM: Final = 17
"""The first seed with repeated events. Plans of those before stay as they are: mutants are known to be found by them,
as many as each states."""


def draw(seed: int, level: str, duration_s: float, field: Field) -> FaultPlan:
    """The plan of a seed; `mixed` is light for even seeds and heavy for odd ones. Raises KeyError for no level."""
    if level == "none":
        return FaultPlan(network=False)
    if level == MIXED:
        level = "heavy" if seed % 2 else "light"
    bad = LEVELS[level]
    rng = generator(seed, "faults", level)
    draws = DRAWS if field.servers == 1 else (*DRAWS, *SERVER_DRAWS)
    weights = [weight for weight, _ in draws]
    faults: list[Fault] = []
    at = rng.expovariate(1 / bad.every_s)
    while at < duration_s:
        kind = rng.choices(draws, weights)[0][1]
        fault = kind(rng, _tenths(at), bad.most_s, field)
        if type(fault).__name__ not in field.without:
            faults.append(fault)
        at += rng.expovariate(1 / bad.every_s)
    if seed >= REPEATED_FROM and RepeatedWatch.__name__ not in field.without:
        again = generator(seed, "repeated events", level)
        faults.append(_repeated(again, _tenths(again.uniform(0.0, duration_s)), bad.most_s * 2, field))
        faults.sort(key=lambda fault: fault.at_s)
    return FaultPlan(tuple(faults))


def _tenths(seconds: float) -> float:
    return round(seconds, 1)
