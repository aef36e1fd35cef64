"""`sampan sim`: plays trials, prints what came of them, and of a violation the smallest timeline that leads to it.

A few trials are told one by one; of many, how far they are, how long the rest will take, and those that failed.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeAlias

from sampan import effects
from sampan.effects.stopwatch import cpu_s
from sampan.sim.faults.plan import LEVELS, MIXED
from sampan.sim.play import Outcome, Trial, play
from sampan.sim.regression import save
from sampan.sim.report import summary, timeline
from sampan.sim.scenarios.table import SCENARIOS
from sampan.sim.shrink import shrink

EVERY: Final = "all"
MANY: Final = 40
Result: TypeAlias = tuple[Trial, bool, str]
"""A trial, whether something was violated, and its summary."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Which trials: seeds × scenarios. Plain values, so that they travel to other processes."""

    scenarios: tuple[str, ...]
    seeds: range
    level: str
    minutes: float

    def __len__(self) -> int:
        return len(self.scenarios) * len(self.seeds)

    def trial(self, number: int) -> Trial:
        seed, scenario = divmod(number, len(self.scenarios))
        return Trial(SCENARIOS[self.scenarios[scenario]], self.seeds[seed], self.level, minutes=self.minutes)


def run(batch: Batch, jobs: int, *, save_test: bool = False, keep_going: bool = False) -> bool:
    """Play a batch; whether nothing was violated."""
    began = effects.monotonic()
    failed: list[Trial] = []
    for done, (trial, violated, line) in enumerate(_results(batch, jobs or os.cpu_count() or 1), 1):
        if violated or len(batch) < MANY:
            print(line, flush=True)
        elif done % (len(batch) // MANY) == 0:
            _progress(done, len(batch), len(failed), effects.monotonic() - began)
        if violated:
            failed.append(trial)
            if not keep_going:
                break
    if failed:
        _explain(failed[0], save_test)
    return not failed


def list_scenarios() -> None:
    for name, found in SCENARIOS.items():
        print(f"{name:<16} {found.about}")


def batch_of(scenario: str, seeds: str, level: str, minutes: float) -> Batch:
    """From what a person typed. Raises ValueError."""
    return Batch(_scenarios(scenario), _seeds(seeds), _level(level), _minutes(minutes))


def _results(batch: Batch, jobs: int) -> Iterator[Result]:
    if jobs == 1 or len(batch) == 1:
        for number in range(len(batch)):
            yield (batch.trial(number), *_played((batch, number)))
        return
    with ProcessPoolExecutor(jobs) as pool:
        try:
            played = pool.map(_played, [(batch, number) for number in range(len(batch))])
            for number, (violated, line) in enumerate(played):
                yield batch.trial(number), violated, line
        finally:
            pool.shutdown(cancel_futures=True)


def _played(what: tuple[Batch, int]) -> tuple[bool, str]:
    """Perhaps in a process of the pool: outcomes hold what does not travel."""
    batch, number = what
    began = cpu_s()
    outcome = play(batch.trial(number))
    return outcome.violation is not None, summary(outcome, cpu_s() - began)


def _progress(done: int, of: int, failed: int, elapsed_s: float) -> None:
    left_s = elapsed_s / done * (of - done)
    print(f"{done} of {of} trials, {failed} violations, {left_s / 60:.0f} min to go", flush=True)


def _explain(trial: Trial, save_test: bool) -> None:
    outcome: Outcome = play(trial)
    struck = len(outcome.plan.faults)
    if struck:
        print(f"\nleaving out faults, of {struck} …", flush=True)
        outcome = shrink(outcome)
    print(f"\nseed {trial.seed} of {trial.scenario.name}, with {len(outcome.plan.faults)} of {struck} faults:\n")
    print(f"{outcome.plan}\n\n{timeline(outcome)}\n")
    hours = f" --hours {_hours(trial.minutes)}" if trial.minutes else ""
    print(f"again:  sampan sim --scenario {trial.scenario.name} --seed {trial.seed} --faults {trial.level}{hours}")
    if save_test:
        print(f"saved:  {save(outcome)}")
    else:
        print("add --save-test to keep it as a test")


def _hours(minutes: float) -> str:
    """The shortest text that is exactly this time again: faults are drawn over it, and would be others over another."""
    texts = (f"{minutes / 60:.{digits}g}" for digits in range(1, 18))
    return next((text for text in texts if float(text) * 60 == minutes), repr(minutes / 60))


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


def _minutes(minutes: float) -> float:
    """Of virtual time. A time that is none would pass without a fault, and look like a proof."""
    if not math.isfinite(minutes) or minutes < 0:
        raise ValueError(f"hours {minutes / 60:g} are no length of time")
    return minutes


def _level(text: str) -> str:
    known = ("none", *LEVELS, MIXED)
    if text not in known:
        raise ValueError(f'faults "{text}" are none; there are {", ".join(known)}')
    return text
