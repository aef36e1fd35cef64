"""The nodes that an extension point is asked about: as rows of the node table, and one by one for who wants that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np

from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.node_table import Indexes, NodeTable, Rows


class Candidates(Sequence[NodeInfo]):
    """Some of the table's nodes, in the order of their rows. Making one costs nothing per node."""

    def __init__(self, table: NodeTable, rows: Rows) -> None:
        self._table = table
        self.rows = rows

    @property
    def indexes(self) -> Indexes:
        """The rows as numbers."""
        return np.arange(self.rows.stop) if isinstance(self.rows, slice) else self.rows

    def __len__(self) -> int:
        return int(self.rows.stop) if isinstance(self.rows, slice) else len(self.rows)

    @overload
    def __getitem__(self, position: int) -> NodeInfo: ...
    @overload
    def __getitem__(self, position: slice) -> Sequence[NodeInfo]: ...
    def __getitem__(self, position: int | slice) -> NodeInfo | Sequence[NodeInfo]:
        if isinstance(position, slice):
            return [self._table.info(row) for row in self.indexes[position].tolist()]
        return self._table.info(position if isinstance(self.rows, slice) else int(self.rows[position]))

    def __iter__(self) -> Iterator[NodeInfo]:
        for row in self.indexes.tolist():
            yield self._table.info(row)
