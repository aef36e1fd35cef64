"""How far an autoscaler goes in one step, after what it recommended and did before: upstream's cases."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from sampan.apimachinery.object import Object
from sampan.controllers.autoscaling.hpa_behavior import Memory, limit

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
WITHIN, FEW, MANY = "DesiredWithinRange", "TooFewReplicas", "TooManyReplicas"
UP, DOWN = "ScaleUpLimit", "ScaleDownLimit"


def rule(*policies: tuple[str, int, int], window: int = 0, select: str = "Max") -> Object:
    return {"stabilizationWindowSeconds": window, "selectPolicy": select, "policies": [
        {"type": kind, "value": value, "periodSeconds": period} for kind, value, period in policies]}


def pods(value: int, period: int = 60) -> tuple[str, int, int]:
    return "Pods", value, period


def percent(value: int, period: int = 60) -> tuple[str, int, int]:
    return "Percent", value, period


def autoscaler(least: int, most: int, behavior: Object | None) -> Object:
    spec: Object = {"minReplicas": least, "maxReplicas": most}
    return {"spec": spec if behavior is None else {**spec, "behavior": behavior}}


def spread(*changes: int) -> list[tuple[datetime, int]]:
    """Changes in the middle of equal parts of the last two minutes."""
    part = 120 / len(changes)
    return [(NOW - timedelta(seconds=120 - part * (n + 0.5)), change) for n, change in enumerate(changes)]


def reason(conditions: Sequence[object], kind: str) -> str:
    return next(one.reason for one in conditions if one.type == kind)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("now", "wanted", "least", "most", "behavior", "size", "why"), [
    (5, 7, 3, 8, None, 7, WITHIN), (3, 1, 2, 8, None, 2, FEW), (1, 0, 0, 10, None, 0, WITHIN),
    (3, 1000, 1, 2000, None, 6, UP), (1, 1000, 1, 2000, None, 4, UP), (3, 1000, 1, 6, None, 6, MANY),
    (5, 7, 3, 8, {}, 7, WITHIN), (3, 1, 2, 8, {}, 2, FEW), (1, 0, 0, 10, {}, 0, WITHIN),
    (100, 1000, 100, 150, {}, 150, MANY), (10, 50, 1, 1000, {}, 20, UP),
    (3, 1000, 1, 2000, {"scaleUp": rule(percent(1))}, 4, UP),
    (1000, 3, 3, 2000, {"scaleDown": rule(pods(20))}, 980, DOWN),
    (10, 500, 1, 1000, {"scaleUp": rule(pods(100), percent(100))}, 110, UP),
    (10, 500, 1, 1000, {"scaleUp": rule(pods(2), percent(100))}, 20, UP),
    (1, 500, 1, 1000, {"scaleUp": rule(pods(2), percent(50), select="Min")}, 2, UP),
    (10, 50, 1, 1000, {"scaleUp": rule(pods(100))}, 50, WITHIN),
    (10, 50, 1, 1000, {"scaleUp": rule(pods(10000))}, 50, WITHIN),
    (10, 50, 1, 1000, {"scaleUp": rule(pods(30))}, 40, UP),
    (10, 50, 1, 1000, {"scaleUp": rule(percent(200))}, 30, UP),
    (100, 2, 1, 1000, {"scaleDown": rule(pods(20), percent(1), window=300)}, 80, DOWN),
    (100, 2, 1, 1000, {"scaleDown": rule(pods(2), percent(1), window=300)}, 98, DOWN),
    (5, 0, 1, 1000, {"scaleDown": rule(pods(2), percent(50), select="Min")}, 3, DOWN),
    (10, 0, 1, 1000, {"scaleDown": rule(pods(100), window=300)}, 1, FEW),
    (10, 2, 5, 1000, {"scaleDown": rule(percent(100), window=300)}, 5, FEW),
    (10, 2, 1, 1000, {"scaleDown": rule(pods(5), window=300)}, 5, DOWN),
    (10, 5, 1, 1000, {"scaleDown": rule(percent(50), window=300)}, 5, WITHIN),
])
def test_one_step(
    now: int, wanted: int, least: int, most: int, behavior: Object | None, size: int, why: str
) -> None:
    found = limit(autoscaler(least, most, behavior), now, wanted, Memory(), NOW)
    assert (found.replicas, reason(found.conditions, "ScalingLimited")) == (size, why)


@pytest.mark.parametrize(("changes", "now", "wanted", "least", "most", "behavior", "size", "why"), [
    ((1, 5, 9), 100, 500, 1, 200, {"scaleUp": rule(pods(300))}, 200, MANY),
    ((1, 5, 9), 100, 500, 1, 200, {"scaleUp": rule(percent(10000))}, 200, MANY),
    ((1, 5, 9), 100, 500, 1, 1000, {"scaleUp": rule(pods(5, 120))}, 100, UP),  # more was added than a new rule allows
    ((1, 5, 9), 100, 500, 1, 1000, {"scaleUp": rule(pods(150, 120))}, 235, UP),
    ((1, 5, 9), 100, 500, 1, 1000, {"scaleUp": rule(percent(200, 120))}, 255, UP),
    ((-1, -5, -9), 10, 5, 1, 1000, {}, 5, WITHIN),
    ((-1, -5, -9), 100, 0, 1, 1000, {"scaleDown": rule(pods(115, 120), window=300)}, 1, FEW),
    ((-1, -5, -9), 100, 0, 5, 1000, {"scaleDown": rule(pods(130, 120), window=300)}, 5, FEW),
    ((-1, -5, -9), 100, 2, 5, 1000, {"scaleDown": rule(percent(100, 120), window=300)}, 5, FEW),
    ((-1, -5, -9), 100, 2, 1, 1000, {"scaleDown": rule(pods(5, 120), window=300)}, 100, DOWN),
    ((-2, -4, -6), 100, 0, 1, 1000, {"scaleDown": rule(percent(50, 120), window=300)}, 56, DOWN),
    ((-10, -10, -10), 100, 0, 1, 1000, {"scaleDown": rule(percent(10, 120), window=300)}, 100, DOWN),
    ((-10, -10, -10), 10, 5, 1, 1000, {"scaleDown": rule(percent(1000, 120), window=300)}, 5, WITHIN),
    ((8, 12, 9, 11), 100, 500, 1, 1000, {"scaleUp": rule(pods(100, 60))}, 180, UP),
    ((8, 12, 9, 11), 100, 500, 1, 1000, {"scaleUp": rule(pods(100, 120))}, 160, UP),
    ((8, 12, 9, 11), 100, 500, 1, 1000, {"scaleUp": rule(pods(100, 30), percent(100, 60))}, 189, UP),
    ((-8, -12, -9, -11), 100, 0, 1, 1000, {"scaleDown": rule(pods(60, 60))}, 60, DOWN),
    ((-8, -12, -9, -11), 100, 0, 1, 1000, {"scaleDown": rule(pods(60, 30), percent(50, 60))}, 51, DOWN),
])
def test_what_was_changed_lately_counts(
    changes: tuple[int, ...], now: int, wanted: int, least: int, most: int, behavior: Object, size: int, why: str
) -> None:
    memory = Memory(changes=spread(*changes))
    found = limit(autoscaler(least, most, behavior), now, wanted, memory, NOW)
    assert (found.replicas, reason(found.conditions, "ScalingLimited")) == (size, why)


@pytest.mark.parametrize(("past", "now", "wanted", "windows", "size"), [
    ((), 5, 5, None, 5), ((), 100, 5, (0, 0), 5),
    (((4, 2), (5, 1)), 5, 3, None, 5), (((1, 2), (2, 1)), 3, 3, None, 3), (((10, 10), (9, 9)), 3, 3, None, 3),
    (((10, 10), (4, 1), (5, 2), (9, 9)), 5, 3, None, 5),
    (((4, 2), (5, 1)), 100, 3, (0, 180), 5), (((4, 2), (5, 1)), 1, 7, (300, 0), 4),
    (((1, 2), (2, 1)), 100, 3, (300, 0), 3), (((4, 2), (5, 1)), 1, 3, (0, 300), 3),
    (((10, 10), (9, 9)), 100, 3, (0, 0), 3), (((10, 10), (9, 9)), 1, 100, (0, 0), 100),
    (((10, 10), (4, 1), (5, 2), (9, 9)), 100, 3, (0, 180), 5),
    (((10, 100), (6, 1), (5, 2), (9, 3)), 1, 100, (300, 0), 5),
    (((2, 100), (3, 3)), 2, 1, (300, 300), 2),  # less is asked for now than lately: no reason to grow
    (((2, 100), (1, 3)), 2, 3, (300, 300), 2),
])
def test_what_was_recommended_lately_counts(
    past: tuple[tuple[int, int], ...], now: int, wanted: int, windows: tuple[int, int] | None, size: int
) -> None:
    """`past`: recommendations with their ages in minutes; `windows`: of scaling up and down, in seconds."""
    far = percent(100000, 15)
    behavior = None if windows is None else {
        "scaleUp": rule(far, window=windows[0]), "scaleDown": rule(percent(100, 15), window=windows[1])}
    memory = Memory([(NOW - timedelta(minutes=age), number) for number, age in past])
    found = limit(autoscaler(0, 1000, behavior), now, wanted, memory, NOW)
    assert found.replicas == size
    able = "ReadyForNewScale" if size == wanted else "ScaleDownStabilized" if size > wanted else "ScaleUpStabilized"
    assert reason(found.conditions, "AbleToScale") == able
    assert memory.recommendations[-1] == (NOW, wanted)
