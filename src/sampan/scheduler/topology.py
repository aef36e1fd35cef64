"""Topology: one node label as a column of small numbers, so that counts per zone or host are arrays.

Each value of the label that a node has gets a number (a *domain*); 0 stands for nodes without the label. `domain[row]`
says where a node is; `nodes[domain]` how many nodes are there. The number of a value that no node has any more is given
to a later one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_FIRST_DOMAINS = 16
NO_DOMAIN = 0


class Topology:
    """The column of the label `key`."""

    def __init__(self, key: str, capacity: int) -> None:
        self.key = key
        self.domain: NDArray[np.int64] = np.zeros(capacity, np.int64)
        self.nodes: NDArray[np.int64] = np.zeros(_FIRST_DOMAINS, np.int64)
        self._domains: dict[str, int] = {}
        self._values: list[str] = [""]
        self._free: list[int] = []

    @property
    def domains(self) -> int:
        """The numbers in use are below this."""
        return len(self._values)

    def of(self, value: str) -> int:
        """The number of a value; 0 if no node ever had it."""
        return self._domains.get(value, NO_DOMAIN)

    def set(self, row: int, value: str | None) -> bool:
        """A node's label is this now; whether that is new."""
        before, after = int(self.domain[row]), NO_DOMAIN if value is None else self._number(value)
        if before == after:
            return False
        if before:
            self._leave(before)
        if after:
            self.nodes[after] += 1
        self.domain[row] = after
        return True

    def grow(self, more: int) -> None:
        self.domain = np.concatenate((self.domain, np.zeros(more, np.int64)))

    def _leave(self, domain: int) -> None:
        self.nodes[domain] -= 1
        if not self.nodes[domain]:
            del self._domains[self._values[domain]]
            self._free.append(domain)

    def _number(self, value: str) -> int:
        found = self._domains.get(value)
        if found is not None:
            return found
        if self._free:
            found = self._free.pop()
            self._values[found] = value
        else:
            found = len(self._values)
            self._values.append(value)
            if found == len(self.nodes):
                self.nodes = np.concatenate((self.nodes, np.zeros(len(self.nodes), np.int64)))
        self._domains[value] = found
        return found
