"""How fast the simulator is: fifty nodes under churn, all invariants checked after every write.

Speed is virtual seconds per second of processor time; the boot, the first deployment of everything and the rest at the
end are part of it. With light faults every part of the control plane has its own connection, and everything is on a
simulated network.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from bench.calibration import Calibration, measure
from sampan.sim.play import Outcome, Trial, play
from sampan.sim.scenarios.table import SCENARIOS

MINUTES = 20.0


@dataclass(frozen=True, slots=True)
class Speed:
    """One trial and what it took."""

    outcome: Outcome
    cpu_s: float

    def line(self, calibration: Calibration) -> str:
        outcome = self.outcome
        speed = outcome.virtual_s / self.cpu_s
        per_write = self.cpu_s / outcome.writes
        return (
            f"{outcome.trial.level:<6} {outcome.virtual_s:6.0f} s of 50 nodes in {self.cpu_s:5.1f} s CPU: "
            f"{speed:4.0f} × real time, {outcome.writes} writes, {outcome.checks} checks; "
            f"a write costs {per_write * 1e3:.2f} ms, {per_write / calibration.python_s:.4f} of the calibration"
        )


def main() -> None:
    logging.getLogger("sampan").setLevel(logging.CRITICAL)
    calibration = measure()
    print(calibration)
    play(Trial(SCENARIOS["jobs"], 1, "none", minutes=0.2))  # what is loaded and compiled at first is not measured
    for level in ("none", "light"):
        began = time.process_time()
        outcome = play(Trial(SCENARIOS["churn"], 1, level, minutes=MINUTES))
        assert outcome.violation is None, outcome.violation
        print(Speed(outcome, time.process_time() - began).line(calibration), flush=True)


if __name__ == "__main__":
    main()
