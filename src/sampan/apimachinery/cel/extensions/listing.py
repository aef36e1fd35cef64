"""Lists: sum, min, max, isSorted, indexOf, lastIndexOf."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from sampan.apimachinery.cel.function import method

_LIST = "list(dyn)"


def _sum(items: list[Any]) -> Any:
    if not items:
        return 0
    total = items[0]
    for item in items[1:]:
        total = total + item
    return total


def _extreme(name: str, choose: Any) -> Any:
    def run(items: list[Any]) -> Any:
        if not items:
            raise ValueError(f"{name} called on empty list")
        return choose(items)

    return run


def _is_sorted(items: list[Any]) -> bool:
    return all(left <= right for left, right in pairwise(items))


def _index_of(items: list[Any], wanted: Any) -> int:
    return next((position for position, item in enumerate(items) if item == wanted), -1)


def _last_index_of(items: list[Any], wanted: Any) -> int:
    return next((position for position in range(len(items) - 1, -1, -1) if items[position] == wanted), -1)


FUNCTIONS = (
    method("sum", (_LIST,), "dyn", _sum),
    method("min", (_LIST,), "dyn", _extreme("min", min)),
    method("max", (_LIST,), "dyn", _extreme("max", max)),
    method("isSorted", (_LIST,), "bool", _is_sorted),
    method("indexOf", (_LIST, "dyn"), "int", _index_of),
    method("lastIndexOf", (_LIST, "dyn"), "int", _last_index_of),
)

