"""All nodes as columns: one NumPy array per property, one row per node, so that a plugin judges every node at once.

A node keeps its row as long as it exists; the row of a node that is gone is given to a later one. `changes` is the
record of which rows changed, in order: whoever keeps something computed per row (`framework/shared.py`) looks only at
what came after. What a row's pods take is kept as running sums; nothing is ever recounted.

Columns have room for more rows than there are: use the first `size` of them. A row without a node has `exists` False.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sampan.apimachinery.object import Object
from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.pod_info import PodInfo
from sampan.scheduler.resources import CPU, MEMORY, Amounts
from sampan.scheduler.topology import Topology

Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]
Indexes: TypeAlias = NDArray[np.intp]
Rows: TypeAlias = slice | Indexes
"""Which rows an answer is wanted for: all of them as a slice, or these."""

_FIRST_ROWS = 64
_KEPT_CHANGES = 20_000


class NodeTable:
    """The columns. Only the snapshot writes to them."""

    def __init__(self) -> None:
        self.size = 0
        self.infos: list[NodeInfo | None] = []
        self._rows: dict[str, int] = {}
        self._free: list[int] = []
        self._capacity = _FIRST_ROWS
        self.exists: Bools = np.zeros(_FIRST_ROWS, np.bool_)
        self.unschedulable: Bools = np.zeros(_FIRST_ROWS, np.bool_)
        self.taint_set: Ints = np.zeros(_FIRST_ROWS, np.int64)
        """Which of `taint_sets` the node has."""
        self.taint_sets: list[tuple[Object, ...]] = [()]
        self._taint_ids: dict[Any, int] = {(): 0}
        self.has_soft_taints = False
        """Whether a node ever had a taint that only makes it less welcome."""
        self.pod_count: Ints = np.zeros(_FIRST_ROWS, np.int64)
        self.max_pods: Ints = np.zeros(_FIRST_ROWS, np.int64)
        self._nothing: Ints = np.zeros(_FIRST_ROWS, np.int64)
        self._allocatable: dict[str, Ints] = {}
        self._requested: dict[str, Ints] = {}
        self._scoring_requested: dict[str, Ints] = {CPU: self._nothing.copy(), MEMORY: self._nothing.copy()}
        self._topologies: dict[str, Topology] = {}
        self.first_change = 0
        self.changes: list[int] = []
        self._names: tuple[int, tuple[str, ...]] = (-1, ())
        self.version = 0
        """Changes when a node comes or goes, or its labels or taints do: what a selection of nodes depends on."""

    def __len__(self) -> int:
        """How many nodes there are."""
        return int(np.count_nonzero(self.exists[: self.size]))

    @property
    def every(self) -> slice:
        """All rows."""
        return slice(0, self.size)

    @property
    def position(self) -> int:
        """The end of the record of changes."""
        return self.first_change + len(self.changes)

    def changed_since(self, position: int) -> Sequence[int] | None:
        """Rows that changed after a position, None if the record does not reach back so far."""
        if position < self.first_change:
            return None
        return self.changes[position - self.first_change:]

    def row(self, name: str) -> int | None:
        return self._rows.get(name)

    def rows_of(self, names: frozenset[str]) -> Indexes:
        """The rows of those nodes that exist, ascending."""
        found = (self._rows.get(name) for name in names)
        return np.array(sorted(row for row in found if row is not None and self.exists[row]), np.intp)

    def names(self) -> tuple[str, ...]:
        """The node of each row, empty where there is none."""
        if self._names[0] != self.version:
            names = (i.name if i is not None and i.node is not None else "" for i in self.infos)
            self._names = (self.version, tuple(names))
        return self._names[1]

    def info(self, row: int) -> NodeInfo:
        found = self.infos[row]
        assert found is not None, f"row {row} has no node"
        return found

    def infos_of(self, rows: Rows) -> Sequence[NodeInfo | None]:
        """The nodes of some rows; None where there is none."""
        if isinstance(rows, slice):
            return self.infos[rows]
        return [self.infos[row] for row in rows.tolist()]

    def count_of(self, rows: Rows) -> int:
        return int(rows.stop) if isinstance(rows, slice) else len(rows)

    def allocatable(self, resource: str, rows: Rows) -> Ints:
        """What the nodes offer of a resource."""
        return self._allocatable.get(resource, self._nothing)[rows]

    def requested(self, resource: str, rows: Rows) -> Ints:
        """What the nodes' pods ask for."""
        return self._requested.get(resource, self._nothing)[rows]

    def scoring_requested(self, resource: str, rows: Rows) -> Ints:
        """As `requested`, but a container without a request counts as small instead of nothing."""
        return self._scoring_requested.get(resource, self._requested.get(resource, self._nothing))[rows]

    def topology(self, key: str) -> Topology:
        """The column of a node label."""
        found = self._topologies.get(key)
        if found is None:
            found = self._topologies[key] = Topology(key, self._capacity)
            for info in self.infos:
                if info is not None and info.node is not None:
                    found.set(info.row, info.labels.get(key))
        return found

    # what the snapshot does

    def enter(self, info: NodeInfo) -> None:
        """Give a node a row."""
        row = self._free.pop() if self._free else self._new_row()
        info.row = row
        self.infos[row] = info
        self._rows[info.name] = row
        self.changed(row)

    def leave(self, info: NodeInfo) -> None:
        """A node without pods is gone for good: its row is free."""
        self.infos[info.row] = None
        del self._rows[info.name]
        self._free.append(info.row)
        self.changed(info.row)

    def set_node(self, info: NodeInfo, *, relabelled: bool) -> bool:
        """The node's document has changed; whether a label did whose topology somebody counts in."""
        row = info.row
        taints = self._taint_set(info.taints)
        if relabelled or info.node is None or not self.exists[row] or self.taint_set[row] != taints:
            self.version += 1
        self.exists[row] = info.node is not None
        self.unschedulable[row] = info.unschedulable
        self.taint_set[row] = taints
        self.max_pods[row] = info.max_pods
        for name in self._allocatable.keys() | info.allocatable.keys():
            self._column(self._allocatable, name)[row] = info.allocatable.get(name, 0)
        moved = False
        for key, topology in self._topologies.items():
            moved |= topology.set(row, info.labels.get(key) if info.node is not None else None)
        self.changed(row)
        return moved

    def count(self, row: int, pod: PodInfo, sign: int) -> None:
        """A pod came to a node or left it."""
        self.pod_count[row] += sign
        self._sum(self._requested, row, pod.signature.requests, sign)
        scoring = pod.signature.scoring_requests
        for name, column in self._scoring_requested.items():
            column[row] += sign * scoring.get(name, 0)
        self.changed(row)

    def changed(self, row: int) -> None:
        self.changes.append(row)
        if len(self.changes) > _KEPT_CHANGES:
            dropped = len(self.changes) - _KEPT_CHANGES // 2
            del self.changes[:dropped]
            self.first_change += dropped

    def _sum(self, columns: dict[str, Ints], row: int, amounts: Amounts, sign: int) -> None:
        for name, amount in amounts.items():
            column = columns.get(name)
            if column is None:
                column = self._column(columns, name)
            column[row] += sign * amount

    def _column(self, columns: dict[str, Ints], name: str) -> Ints:
        if name not in columns:
            columns[name] = np.zeros(self._capacity, np.int64)
        return columns[name]

    def _taint_set(self, taints: tuple[Object, ...]) -> int:
        key = tuple((t.get("key"), t.get("value") or "", t.get("effect")) for t in taints)
        found = self._taint_ids.get(key)
        if found is None:
            found = self._taint_ids[key] = len(self.taint_sets)
            self.taint_sets.append(taints)
            self.has_soft_taints |= any(taint.get("effect") == "PreferNoSchedule" for taint in taints)
        return found

    def _new_row(self) -> int:
        row = self.size
        if row == self._capacity:
            self._grow()
        self.size += 1
        self.infos.append(None)
        return row

    def _grow(self) -> None:
        """Double the room."""
        more = self._capacity
        self._capacity += more
        for name in ("exists", "unschedulable", "taint_set", "pod_count", "max_pods", "_nothing"):
            setattr(self, name, grown(getattr(self, name), more))
        for columns in (self._allocatable, self._requested, self._scoring_requested):
            for name, column in columns.items():
                columns[name] = grown(column, more)
        for topology in self._topologies.values():
            topology.grow(more)


def grown(column: NDArray[Any], more: int) -> NDArray[Any]:
    """The column with more rows, all zero."""
    return np.concatenate((column, np.zeros(more, column.dtype)))
