"""Shrinks a fault plan that leads to a violation to one of which no part can be left out: delta debugging (ddmin).

The scenario and the seed stay; faults are left out, halves first, as long as the same invariant still breaks. Each try
is a whole trial, so their number is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from sampan.sim.faults.fault import Fault
from sampan.sim.faults.plan import FaultPlan
from sampan.sim.play import Outcome, Trial, play

MOST_TRIES: Final = 40


def shrink(outcome: Outcome, progress: Callable[[int, int], None] = lambda tries, left: None) -> Outcome:
    """The outcome of the smallest plan that was found to break the same invariant."""
    assert outcome.violation is not None
    best, tries, parts = outcome, 0, 2
    while best.plan.faults and tries < MOST_TRIES:
        smaller = None
        for plan in _candidates(best.plan, parts):
            tries += 1
            tried = _breaks(outcome.trial, plan, outcome.violation.invariant)
            progress(tries, len(best.plan.faults))
            if tried is not None:
                smaller = tried
                break
            if tries >= MOST_TRIES:
                break
        if smaller is not None:
            best, parts = smaller, max(2, parts - 1)
        elif parts >= len(best.plan.faults):
            break
        else:
            parts = min(len(best.plan.faults), parts * 2)
    return best


def _candidates(plan: FaultPlan, parts: int) -> list[FaultPlan]:
    """The plan without each of its parts, and first without any fault at all."""
    chunks = _split(plan.faults, min(parts, len(plan.faults)))
    nothing = [FaultPlan((), plan.network)] if parts == 2 else []
    return nothing + [plan.without(chunk) for chunk in chunks]


def _split(faults: Sequence[Fault], parts: int) -> list[Sequence[Fault]]:
    size, rest = divmod(len(faults), parts)
    chunks, begin = [], 0
    for number in range(parts):
        end = begin + size + (number < rest)
        chunks.append(faults[begin:end])
        begin = end
    return chunks


def _breaks(trial: Trial, plan: FaultPlan, invariant: str) -> Outcome | None:
    outcome = play(trial.with_plan(plan))
    return outcome if outcome.violation is not None and outcome.violation.invariant == invariant else None
