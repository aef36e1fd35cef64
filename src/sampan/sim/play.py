"""Plays a trial: a scenario, a seed, a fault plan; a violation or none comes out, and always the same one."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from sampan import effects
from sampan.effects.seeded import generator
from sampan.sim import convergence, loop
from sampan.sim.campaign import Campaign
from sampan.sim.cluster import SimCluster, SimConfig
from sampan.sim.faults.plan import FaultPlan, Field, draw
from sampan.sim.invariants import table
from sampan.sim.invariants.autoscaling import Autoscalers
from sampan.sim.observer import Observer, Violation
from sampan.sim.reads import Reads
from sampan.sim.scenario import Scenario, Stage
from sampan.sim.world import Change, World

RECOVERY_S: Final = 30.0
"""After trouble a component knows everything again within this time: watches come back with back-off."""
SLACK_S: Final = 3.0
"""Between what a component has seen and the write that it decides lies up to this much, without any fault."""
SETTLE_S: Final = 300.0
COLLECTED_EVERY: Final = (1_000_000, 5, 1000)
"""Most of what is made stays until the end of a trial, and of a hundred thousand objects a thousand are in cycles that
nobody needs: looking for them all the time is a tenth of the work."""
REST_S: Final = 5.0
"""At rest is what stays so for as long."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What to play. `plan` None draws one at `level`; `minutes` 0 is the scenario's own time."""

    scenario: Scenario
    seed: int
    level: str = "light"
    plan: FaultPlan | None = None
    minutes: float = 0.0

    def with_plan(self, plan: FaultPlan) -> Trial:
        return replace(self, plan=plan)

    def duration_s(self) -> float:
        return (self.minutes or self.scenario.minutes) * 60


@dataclass(slots=True)
class Outcome:
    """What came of a trial."""

    trial: Trial
    plan: FaultPlan
    violation: Violation | None = None
    virtual_s: float = 0.0
    writes: int = 0
    requests: int = 0
    faults: int = 0
    checks: int = 0
    fingerprint: str = ""
    diary: list[tuple[float, str]] = field(default_factory=list)
    recent: list[Change] = field(default_factory=list)


class _Stopped(Exception):
    """The trial is over: something was violated."""


def play(trial: Trial) -> Outcome:
    """One trial, from the beginning to its end or to the first violation."""
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTED_EVERY)
    try:
        return loop.run(_play(trial))
    finally:
        gc.set_threshold(*thresholds)


async def _play(trial: Trial) -> Outcome:
    scenario = trial.scenario
    nodes = scenario.node_specs()
    quiet = trial.plan.network is False if trial.plan is not None else trial.level == "none"
    apart = () if quiet else scenario.apart
    config = SimConfig(
        nodes, apart=apart, managers=scenario.managers, schedulers=scenario.schedulers, servers=scenario.servers,
        quiet=quiet,
    )
    cluster = SimCluster(trial.seed, config=config)
    world = World(lambda component, now: _informed_until(cluster, component, now))
    stop: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    running = asyncio.get_running_loop()
    assert isinstance(running, loop.VirtualLoop)
    invariants = table.make()
    observer = Observer(world, invariants, lambda violation: None if stop.done() else stop.set_result(None))
    cluster.store.listeners.append(observer.committed)
    running.when_stuck = lambda: observer.report(Violation(
        "liveness", f"{loop.STUCK_TURNS} turns of the loop, and nobody waits for anything", effects.monotonic()
    ))
    for one in invariants:
        if isinstance(one, Autoscalers):
            cluster.metrics.listeners.append(functools.partial(one.told, world))
    if scenario.servers > 1:
        cluster.network.reads = Reads(
            lambda message: observer.report(Violation("reads", message, effects.monotonic()))
        )
    async with _booted(cluster, observer):
        plan = trial.plan or _drawn(trial, cluster)
        campaign = Campaign(plan.faults)
        outcome = Outcome(trial, plan)
        body = asyncio.ensure_future(_course(trial, cluster, observer, campaign))
        with _errors_violate(observer):
            await asyncio.wait((body, stop), return_when=asyncio.FIRST_COMPLETED)
        if not body.done():
            body.cancel()
        [result] = await asyncio.gather(body, return_exceptions=True)
        if isinstance(result, Exception) and observer.violation is None:
            raise result
        outcome.violation = observer.violation
        outcome.virtual_s = effects.monotonic()
        outcome.writes, outcome.requests = cluster.store.writes, cluster.network.requests
        outcome.faults, outcome.checks, outcome.diary = campaign.struck, observer.checks, campaign.diary
        outcome.fingerprint = cluster.store.fingerprint()
        outcome.recent = list(world.recent)
    return outcome


@contextlib.asynccontextmanager
async def _booted(cluster: SimCluster, observer: Observer) -> AsyncIterator[None]:
    await cluster.__aenter__()
    try:
        yield
    finally:
        try:
            await cluster.__aexit__(None, None, None)
        except Exception as error:
            observer.report(Violation("components", f"a component ended: {error!r}", 0.0))


def _drawn(trial: Trial, cluster: SimCluster) -> FaultPlan:
    """The seed's plan, with what the scenario adds."""
    plan = draw(trial.seed, trial.level, trial.duration_s(), _field(cluster, trial))
    return replace(plan, faults=(*plan.faults, *trial.scenario.faults)) if plan.network else plan


def _field(cluster: SimCluster, trial: Trial) -> Field:
    scenario = trial.scenario
    components = tuple(scenario.struck) or tuple(cluster.components)
    return Field(components, tuple(cluster.fleet.nodes), scenario.servers, tuple(scenario.without))


async def _course(trial: Trial, cluster: SimCluster, observer: Observer, campaign: Campaign) -> None:
    scenario = trial.scenario
    stage = Stage(cluster, observer.world, generator(trial.seed, "actions"))
    for action in scenario.begin:
        await action(stage)
    for resource, obj in scenario.objects:
        await stage.create(resource, obj)
    await _rest(cluster, observer, scenario, max(SETTLE_S, scenario.rest_within_s), "at the beginning")
    striking = asyncio.ensure_future(campaign.run(cluster))
    try:
        end = effects.monotonic() + trial.duration_s()
        weights = [weight for weight, _ in scenario.actions]
        while effects.monotonic() < end and weights:
            await asyncio.sleep(stage.rng.uniform(0, 2 * scenario.every_s))
            await stage.rng.choices(scenario.actions, weights)[0][1](stage)
        await asyncio.sleep(max(0.0, end - effects.monotonic()))
    except BaseException:
        striking.cancel()
        raise
    await striking
    for action in scenario.finale:
        await action(stage)
    await _rest(cluster, observer, scenario, scenario.rest_within_s, "after everything has healed")


async def _rest(cluster: SimCluster, observer: Observer, scenario: Scenario, within_s: float, when: str) -> None:
    """Until nothing is left to do; a violation of liveness if that does not come."""
    began = effects.monotonic()
    calm_since = None
    while True:
        world = observer.world
        problem = next(convergence.problems(world, scenario.unsettled), None)
        problem = problem or next(iter(scenario.settled(world)), None)
        now = effects.monotonic()
        if problem is None:
            calm_since = now if calm_since is None else calm_since
            if now - calm_since >= REST_S:
                return
        else:
            calm_since = None
            if now - began > within_s:
                observer.report(Violation("liveness", f"{within_s:g} s {when}: {problem}", now, keys=_named(problem)))
                raise _Stopped
        await asyncio.sleep(1.0)


def _named(problem: str) -> tuple[str, ...]:
    """The key in a sentence that begins with `Kind key`."""
    words = problem.split()
    return (words[1],) if len(words) > 1 else ()


def _informed_until(cluster: SimCluster, component: str, now_s: float) -> float:
    link = cluster.network.links.get(component)
    return (link.informed_until(now_s, RECOVERY_S) if link is not None else now_s) - SLACK_S


@contextlib.contextmanager
def _errors_violate(observer: Observer) -> Iterator[None]:
    """What a component logs as an error is a violation: it says that it met what it did not expect."""
    handler = _Errors(observer)
    logger = logging.getLogger("sampan")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _Errors(logging.Handler):
    def __init__(self, observer: Observer) -> None:
        super().__init__(logging.ERROR)
        self._observer = observer

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if record.name == "sampan.apiserver.chain" and error is None:
            return  # a store that is down is a fault, and the server may say so
        message = record.getMessage() + (f": {error!r}" if error is not None else "")
        self._observer.report(Violation("errors", message, effects.monotonic()))
