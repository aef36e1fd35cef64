"""Verdicts: which plugin refused each node first, and why, kept as numbers and put into words when somebody asks.

It is a mapping from node name to status, of the nodes that were refused. `by[row]` is the place of the refusing plugin
in the profile's order of filters plus one, 0 for a node that fits; `code[row]` is that plugin's code for the reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from sampan.scheduler.framework.status import Code, Status
from sampan.scheduler.node_table import Bools, Indexes, Ints

UInt16s: TypeAlias = npt.NDArray[np.uint16]
_FEW = 32

Explain: TypeAlias = Callable[[int, int], Status]
"""From `by` and `code` to the status."""


class Verdicts(Mapping[str, Status]):
    """What one attempt found. Immutable."""

    def __init__(self, names: tuple[str, ...], by: Ints, code: Ints, explain: Explain) -> None:
        self.names = names
        self.by = by
        self.code = code
        self._explain = explain
        self._found: dict[tuple[int, int], int] | None = None
        self._known: dict[tuple[int, int], Status] = {}

    @classmethod
    def unanimous(cls, names: tuple[str, ...], status: Status) -> Verdicts:
        """One and the same for all nodes."""
        by = np.fromiter((1 if name else 0 for name in names), np.int64, len(names))
        return cls(names, by, by, lambda by, code: status)

    def __getitem__(self, node_name: str) -> Status:
        row = self.names.index(node_name) if node_name in self.names else -1
        if row < 0 or not self.by[row]:
            raise KeyError(node_name)
        return self._status(int(self.by[row]), int(self.code[row]))

    def __iter__(self) -> Iterator[str]:
        return (self.names[row] for row in np.flatnonzero(self.by).tolist())

    def __len__(self) -> int:
        return int(np.count_nonzero(self.by))

    def at(self, row: int) -> Status | None:
        """The verdict on a row, None if its node fits."""
        return self._status(int(self.by[row]), int(self.code[row])) if self.by[row] else None

    def tally(self) -> Counter[Status]:
        """How many nodes have each status."""
        found: Counter[Status] = Counter()
        for (by, code), count in self._groups().items():
            found[self._status(by, code)] += count
        return found

    def plugins(self) -> set[str]:
        """The plugins that refused a node."""
        return {status.plugin for status in self.tally()}

    def indexed(self) -> tuple[tuple[Status, ...], UInt16s]:
        """The different statuses, and for each row the place of its own among them plus one, 0 for one that fits."""
        groups = list(self._groups())
        index: UInt16s = np.zeros(len(self.by), np.uint16)
        if len(groups) <= _FEW:
            for place, (by, code) in enumerate(groups, start=1):
                index[(self.by == by) & (self.code == code)] = place
        else:
            places = {group: place for place, group in enumerate(groups, start=1)}
            for row in np.flatnonzero(self.by).tolist():
                index[row] = places[int(self.by[row]), int(self.code[row])]
        return tuple(self._status(by, code) for by, code in groups), index

    def resolvable(self) -> Indexes:
        """Rows whose refusal an eviction might change."""
        rows: Bools = np.zeros(len(self.by), np.bool_)
        for by, code in self._groups():
            if self._status(by, code).code is Code.UNSCHEDULABLE:
                rows |= (self.by == by) & (self.code == code)
        return np.flatnonzero(rows)

    def _groups(self) -> dict[tuple[int, int], int]:
        """Rows by refusing plugin and code."""
        if self._found is not None:
            return self._found
        groups = self._found = {}
        for by in np.flatnonzero(np.bincount(self.by)).tolist():
            if by:
                codes, counts = np.unique(self.code[self.by == by], return_counts=True)
                groups.update(((by, code), n) for code, n in zip(codes.tolist(), counts.tolist(), strict=True))
        return groups

    def _status(self, by: int, code: int) -> Status:
        status = self._known.get((by, code))
        if status is None:
            status = self._known[by, code] = self._explain(by, code)
        return status


NO_VERDICTS = Verdicts((), np.zeros(0, np.int64), np.zeros(0, np.int64), lambda by, code: Status(Code.ERROR))
