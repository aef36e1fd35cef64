"""What a pod asks for: the sum of its containers and sidecars, or what its largest init step needs, plus overhead."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

UNITS = {"m": Fraction(1, 1000), "k": 1000, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
SMALL = {"cpu": Fraction(1, 10), "memory": Fraction(200 * 2**20)}
"""What scoring takes a container for that says nothing of a resource: 100m, 200Mi."""

Amounts = dict[str, Fraction]


def amount(text: str) -> Fraction:
    for unit, factor in sorted(UNITS.items(), key=lambda item: -len(item[0])):
        if text.endswith(unit):
            return Fraction(text.removesuffix(unit)) * factor
    return Fraction(text)


def amounts(listed: dict[str, str] | None) -> Amounts:
    return {resource: amount(text) for resource, text in (listed or {}).items()}


def add(*all_amounts: Amounts) -> Amounts:
    return {r: sum((one.get(r, Fraction(0)) for one in all_amounts), Fraction(0)) for one in all_amounts for r in one}


def largest(*all_amounts: Amounts) -> Amounts:
    return {r: max(one.get(r, Fraction(0)) for one in all_amounts) for one in all_amounts for r in one}


def requested(pod: dict[str, Any], missing: Amounts | None = None) -> Amounts:
    """`missing` stands for what a container does not say."""
    spec = pod["spec"]

    def of(container: dict[str, Any]) -> Amounts:
        return {**(missing or {}), **amounts((container.get("resources") or {}).get("requests"))}

    init = spec.get("initContainers") or []
    sidecars = [container for container in init if container.get("restartPolicy") == "Always"]
    running = add(*map(of, [*spec["containers"], *sidecars]))
    steps = []
    for position, container in enumerate(init):
        earlier = [of(one) for one in init[:position] if one.get("restartPolicy") == "Always"]
        steps.append(add(of(container), *earlier))
    return add(largest(running, *steps), amounts(spec.get("overhead")))
