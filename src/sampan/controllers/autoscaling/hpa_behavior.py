"""How fast an autoscaler may go: stabilisation windows and scaling policies.

Scaling up takes the lowest recommendation of its window (none by default), scaling down the highest of its own (five
minutes), so that a short dip or peak changes nothing. Policies then limit how many pods may be added or taken within a
period, counted from the changes that were really made. What a `behavior` leaves out is: up by four pods or to the
double within 15 seconds, whichever is more; down without limit. Without any `behavior` the older rules hold: up to the
double at once, at least to four; never below the highest recommendation of the last five minutes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sampan.apimachinery.object import Object, dig
from sampan.apimachinery.quantity import Quantity
from sampan.controllers.autoscaling.hpa_replicas import Tolerance
from sampan.controllers.autoscaling.hpa_settings import DEFAULTS, AutoscalingSettings
from sampan.controllers.conditions import Condition

_UP: Object = {
    "stabilizationWindowSeconds": 0, "selectPolicy": "Max",
    "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15},
                 {"type": "Percent", "value": 100, "periodSeconds": 15}],
}
_DOWN: Object = {
    "selectPolicy": "Max",
    "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
}


@dataclass(slots=True)
class Memory:
    """What one autoscaler recommended and did lately, beginning with the size that it found; lost with the process.

    `calm_s` is the window of `scaleDown` if the autoscaler states none.
    """

    recommendations: list[tuple[datetime, int]] = field(default_factory=list)
    changes: list[tuple[datetime, int]] = field(default_factory=list)
    calm_s: float = DEFAULTS.downscale_stabilization_s

    def forget_before(self, moment: datetime) -> None:
        self.recommendations = [one for one in self.recommendations if one[0] >= moment]
        self.changes = [one for one in self.changes if one[0] >= moment]


@dataclass(frozen=True, slots=True)
class Limited:
    """The number of replicas that may be set now, and why it is that."""

    replicas: int
    conditions: tuple[Condition, ...]


def rules(hpa: Object, direction: str) -> Object:
    """`scaleUp` or `scaleDown` with what is not stated filled in."""
    given = dig(hpa, "spec", "behavior", direction, default={})
    return {**(_UP if direction == "scaleUp" else _DOWN), **{key: one for key, one in given.items() if one is not None}}


def tolerance_of(hpa: Object, settings: AutoscalingSettings = DEFAULTS) -> Tolerance:
    up, down = (dig(hpa, "spec", "behavior", one, "tolerance") for one in ("scaleUp", "scaleDown"))
    return Tolerance(*(
        settings.tolerance if stated is None else float(Quantity.parse(stated)) for stated in (up, down)
    ))


def limit(hpa: Object, current: int, wanted: int, memory: Memory, now: datetime) -> Limited:
    """What may be done of `wanted`. Notes it as a recommendation."""
    up, down = rules(hpa, "scaleUp"), {"stabilizationWindowSeconds": memory.calm_s, **rules(hpa, "scaleDown")}
    if dig(hpa, "spec", "behavior") is None:
        stable = max([*_recent(down, memory, now), wanted])
    else:
        stable = _stabilised(current, wanted, (up, down), memory, now)
    memory.recommendations.append((now, wanted))
    memory.forget_before(now - timedelta(hours=1))
    able = Condition("AbleToScale", True, "ReadyForNewScale", "recommended size matches current size")
    if stable < wanted:
        text = "recent recommendations were lower than current one, applying the lowest recent recommendation"
        able = Condition("AbleToScale", True, "ScaleUpStabilized", text)
    elif stable > wanted:
        text = "recent recommendations were higher than current one, applying the highest recent recommendation"
        able = Condition("AbleToScale", True, "ScaleDownStabilized", text)
    replicas, limited = _paced(hpa, current, stable, memory, now)
    return Limited(replicas, (able, limited))


def _stabilised(
    current: int, wanted: int, directions: tuple[Object, Object], memory: Memory, now: datetime
) -> int:
    up, down = ([*_recent(one, memory, now), wanted] for one in directions)
    return min(max(current, min(up)), max(down))


def _recent(rule: Object, memory: Memory, now: datetime) -> list[int]:
    """What was recommended within a direction's window."""
    since = now - timedelta(seconds=float(rule["stabilizationWindowSeconds"]))
    return [number for at, number in memory.recommendations if at > since]


def _paced(hpa: Object, current: int, wanted: int, memory: Memory, now: datetime) -> tuple[int, Condition]:
    most, least = int(hpa["spec"]["maxReplicas"]), int(dig(hpa, "spec", "minReplicas", default=1))
    if wanted > current:
        pace = _fastest(hpa, current, memory, now)
        if wanted > min(most, pace):
            text = "the desired replica count is increasing faster than the maximum scale rate"
            reason = "ScaleUpLimit"
            if most <= pace:
                reason, text = "TooManyReplicas", "the desired replica count is more than the maximum replica count"
            return min(most, pace), Condition("ScalingLimited", True, reason, text)
    elif wanted < current:
        pace = min(_pace(rules(hpa, "scaleDown"), current, memory, now, sign=-1), current)
        if wanted < max(least, pace):
            text = "the desired replica count is decreasing faster than the maximum scale rate"
            reason = "ScaleDownLimit"
            if least >= pace:
                reason, text = "TooFewReplicas", "the desired replica count is less than the minimum replica count"
            return max(least, pace), Condition("ScalingLimited", True, reason, text)
    text = "the desired count is within the acceptable range"
    return wanted, Condition("ScalingLimited", False, "DesiredWithinRange", text)


def _fastest(hpa: Object, current: int, memory: Memory, now: datetime) -> int:
    """How many there may be at most after a step up."""
    if dig(hpa, "spec", "behavior") is None:
        return max(2 * current, 4)
    return max(_pace(rules(hpa, "scaleUp"), current, memory, now, sign=1), current)


def _pace(rule: Object, current: int, memory: Memory, now: datetime, *, sign: int) -> int:
    """How far the policies let it go from where their periods began."""
    if rule.get("selectPolicy") == "Disabled":
        return current
    proposals = [_proposal(policy, current, memory.changes, now, sign) for policy in rule["policies"]]
    furthest = rule.get("selectPolicy", "Max") == "Max"
    return max(proposals) if furthest == (sign > 0) else min(proposals)


def _proposal(policy: Object, current: int, changes: Sequence[tuple[datetime, int]], now: datetime, sign: int) -> int:
    since = now - timedelta(seconds=int(policy["periodSeconds"]))
    start = current - sum(change for at, change in changes if at > since)
    value = int(policy["value"])
    if policy["type"] == "Pods":
        return start + sign * value
    return math.ceil(start * (100 + value) / 100) if sign > 0 else start * (100 - value) // 100
