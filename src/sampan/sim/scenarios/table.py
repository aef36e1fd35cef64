"""SCENARIOS: all of them, by name."""

from __future__ import annotations

from typing import Final

from sampan.sim.scenario import Scenario
from sampan.sim.scenarios import deployments

SCENARIOS: Final[dict[str, Scenario]] = {
    module.SCENARIO.name: module.SCENARIO for module in (deployments,)
}
