"""Requests of a claim, made flat: what each asks for, with the selectors of its class in front of its own.

A request is either exact, or a list of alternatives of which the first that can be had is taken (KEP-4816); an
alternative is called `request/alternative`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sampan.apimachinery.object import Object, dig, key_of

FindClass: TypeAlias = Callable[[str], Object | None]


MOST_ALTERNATIVES = 8
"""That a request may have."""


class MissingClass(Exception):
    """A request names a DeviceClass that does not exist."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One way to satisfy a request. `count` 0: all matching devices."""

    name: str
    count: int
    selectors: tuple[tuple[str, Sequence[Object]], ...]
    """Whose selectors they are, and the selectors."""
    tolerations: Sequence[Object]
    admin: bool
    device_class: Object
    capacity: Mapping[str, str]
    """What it asks of the device's capacities, by name."""

    @property
    def main(self) -> str:
        """The name of the request that it belongs to."""
        return self.name.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Constraint:
    """Devices of these requests (none: of all) agree on an attribute, or all differ in it."""

    attribute: str
    distinct: bool
    requests: frozenset[str]

    def concerns(self, wanted: Wanted) -> bool:
        return not self.requests or not self.requests.isdisjoint((wanted.name, wanted.main))


@dataclass(frozen=True, slots=True)
class ClaimRequests:
    """A claim's requests, each a list of alternatives, and what binds them together."""

    claim: Object
    requests: tuple[tuple[Wanted, ...], ...]
    constraints: tuple[Constraint, ...]

    @property
    def has_alternatives(self) -> bool:
        return any("/" in wanted.name for wanted, *_ in filter(None, self.requests))

    def worth(self, allocation: Object) -> int:
        """What the alternatives that were allocated are worth: the first of a request most."""
        taken = {result["request"] for result in dig(allocation, "devices", "results") or ()}
        return sum(
            MOST_ALTERNATIVES - place for alternatives in self.requests for place, wanted in enumerate(alternatives)
            if "/" in wanted.name and wanted.name in taken
        )


def requests_of(claim: Object, find_class: FindClass) -> ClaimRequests:
    """Raises MissingClass in upstream's words."""
    devices = dig(claim, "spec", "devices", default={})
    requests: list[tuple[Wanted, ...]] = []
    for request in devices.get("requests") or ():
        name = str(request["name"])
        if request.get("exactly") is not None:
            requests.append((_wanted(name, request["exactly"], claim, find_class),))
        else:
            alternatives = request.get("firstAvailable") or ()
            requests.append(tuple(_wanted(f"{name}/{one['name']}", one, claim, find_class) for one in alternatives))
    constraints = tuple(
        Constraint(
            str(one.get("matchAttribute") or one.get("distinctAttribute")), one.get("matchAttribute") is None,
            frozenset(one.get("requests") or ()),
        )
        for one in devices.get("constraints") or ()
    )
    return ClaimRequests(claim, tuple(requests), constraints)


def _wanted(name: str, request: Object, claim: Object, find_class: FindClass) -> Wanted:
    class_name = str(request.get("deviceClassName"))
    device_class = find_class(class_name)
    if device_class is None:
        raise MissingClass(f"request {name}: device class {class_name} does not exist")
    whose = f"claim {key_of(claim)}: request {name}"
    return Wanted(
        name=name,
        count=0 if request.get("allocationMode") == "All" else int(request.get("count") or 1),
        selectors=(
            (f"class {class_name}", dig(device_class, "spec", "selectors") or ()),
            (whose, request.get("selectors") or ()),
        ),
        tolerations=request.get("tolerations") or (),
        admin=bool(request.get("adminAccess")),
        device_class=device_class,
        capacity=dig(request, "capacity", "requests") or {},
    )
