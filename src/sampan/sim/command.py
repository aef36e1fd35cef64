"""`sampan sim`: plays trials, prints what came of them, and of a violation the smallest timeline that leads to it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from sampan.effects.stopwatch import cpu_s
from sampan.sim.faults.plan import LEVELS
from sampan.sim.play import Outcome, Trial, play
from sampan.sim.regression import save
from sampan.sim.report import summary, timeline
from sampan.sim.scenarios.table import SCENARIOS
from sampan.sim.shrink import shrink

EVERY = "all"


@dataclass(frozen=True, slots=True)
class Batch:
    """Which trials: scenarios × seeds."""

    scenarios: tuple[str, ...]
    seeds: range
    level: str
    minutes: float

    def __iter__(self) -> Iterator[Trial]:
        for seed in self.seeds:
            for name in self.scenarios:
                yield Trial(SCENARIOS[name], seed, self.level, minutes=self.minutes)

    def __len__(self) -> int:
        return len(self.scenarios) * len(self.seeds)


def run(batch: Batch, jobs: int, *, save_test: bool) -> bool:
    """Play a batch; whether nothing was violated."""
    for outcome, cpu in _outcomes(batch, jobs or os.cpu_count() or 1):
        print(summary(outcome, cpu), flush=True)
        if outcome.violation is not None:
            _explain(outcome, save_test)
            return False
    return True


def list_scenarios() -> None:
    for name, found in SCENARIOS.items():
        print(f"{name:<16} {found.about}")


def batch_of(scenario: str, seeds: str, level: str, minutes: float) -> Batch:
    """From what a person typed. Raises ValueError."""
    return Batch(_scenarios(scenario), _seeds(seeds), _level(level), minutes)


def _outcomes(batch: Batch, jobs: int) -> Iterator[tuple[Outcome, float]]:
    if jobs == 1 or len(batch) == 1:
        yield from map(_timed, batch)
        return
    with ProcessPoolExecutor(jobs) as pool:
        for name, seed, cpu, failed, line in pool.map(_played, _portable(batch)):
            if failed:
                pool.shutdown(cancel_futures=True)
                yield _timed(Trial(SCENARIOS[name], seed, batch.level, minutes=batch.minutes))
                return
            print(line, flush=True)
            del cpu


def _portable(batch: Batch) -> Iterable[tuple[str, int, str, float]]:
    return [(trial.scenario.name, trial.seed, trial.level, trial.minutes) for trial in batch]


def _played(what: tuple[str, int, str, float]) -> tuple[str, int, float, bool, str]:
    """In a process of the pool: scenarios hold functions and do not travel, nor do outcomes."""
    name, seed, level, minutes = what
    outcome, cpu = _timed(Trial(SCENARIOS[name], seed, level, minutes=minutes))
    return name, seed, cpu, outcome.violation is not None, summary(outcome, cpu)


def _timed(trial: Trial) -> tuple[Outcome, float]:
    began = cpu_s()
    outcome = play(trial)
    return outcome, cpu_s() - began


def _explain(outcome: Outcome, save_test: bool) -> None:
    struck = len(outcome.plan.faults)
    if struck:
        print(f"\nleaving out faults, of {struck} …", flush=True)
        outcome = shrink(outcome)
    trial = outcome.trial
    print(f"\nseed {trial.seed} of {trial.scenario.name}, with {len(outcome.plan.faults)} of {struck} faults:\n")
    print(f"{outcome.plan}\n\n{timeline(outcome)}\n")
    hours = f" --hours {trial.minutes / 60:g}" if trial.minutes else ""
    print(f"again:  sampan sim --scenario {trial.scenario.name} --seed {trial.seed} --faults {trial.level}{hours}")
    if save_test:
        print(f"saved:  {save(outcome)}")
    else:
        print("add --save-test to keep it as a test")


def _scenarios(name: str) -> tuple[str, ...]:
    if name == EVERY:
        return tuple(SCENARIOS)
    if name not in SCENARIOS:
        raise ValueError(f'scenario "{name}" is none; there are {", ".join(SCENARIOS)}')
    return (name,)


def _seeds(text: str) -> range:
    first, _, last = text.partition("-")
    last = last or first
    if not first.isdigit() or not last.isdigit() or int(last) < int(first):
        raise ValueError(f'seeds "{text}" are not of the form A-B')
    return range(int(first), int(last) + 1)


def _level(text: str) -> str:
    if text != "none" and text not in LEVELS:
        raise ValueError(f'faults "{text}" are none; there are none, {", ".join(LEVELS)}')
    return text
