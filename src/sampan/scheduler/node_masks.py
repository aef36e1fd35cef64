"""NodeMasks: which rows a selector selects, as a column of truth values, kept while no node changes.

What volumes, classes and capacities say about nodes is the same for many pods, and nearly always asks whether a label
(the zone, the host name) has one of some values; that is a comparison of a topology's column. Anything else is asked of
each node, once. Of `LIMIT` selectors the answers are kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable

import numpy as np
import orjson

from sampan.apimachinery import selectors
from sampan.apimachinery.object import Object
from sampan.scheduler import node_selector
from sampan.scheduler.node_table import Bools, NodeTable
from sampan.scheduler.topology import NO_DOMAIN

LIMIT = 2048
_BY_COLUMN = frozenset(("In", "NotIn", "Exists", "DoesNotExist"))


class NodeMasks:
    """A mask has a value for each row of the table; it is the caller's no more than the table's columns are."""

    def __init__(self, table: NodeTable) -> None:
        self._table = table
        self._version = (-1, -1)
        self._known: OrderedDict[tuple[str, bytes], Bools] = OrderedDict()

    def of_node_selector(self, selector: Object) -> Bools:
        """As volumes have it: terms are alternatives."""
        return self._kept("node", selector, self._any_term)

    def of_label_selector(self, selector: Object) -> Bools:
        return self._kept("labels", selector, self._labels)

    def of_topologies(self, terms: list[Object]) -> Bools:
        """`allowedTopologies` of a StorageClass; none allow every node."""
        return self._kept("topologies", {"terms": terms}, self._topologies)

    def every(self) -> Bools:
        return self._table.exists[: self._table.size]

    def has_value(self, key: str, values: Iterable[str]) -> Bools:
        """Whether the label has one of the values."""
        topology = self._table.topology(key)
        column = topology.domain[: self._table.size]
        numbers = [number for number in map(topology.of, values) if number != NO_DOMAIN]
        found: Bools = column == numbers[0] if len(numbers) == 1 else np.isin(column, numbers)
        return found

    def has_label(self, key: str) -> Bools:
        found: Bools = self._table.topology(key).domain[: self._table.size] != NO_DOMAIN
        return found

    def _kept(self, kind: str, document: Object, make: Callable[[Object], Bools]) -> Bools:
        version = self._table.version, self._table.size
        if version != self._version:
            self._version = version
            self._known.clear()
        key = kind, orjson.dumps(document)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = make(document)
            if len(self._known) > LIMIT:
                self._known.popitem(last=False)
        return found

    def _any_term(self, selector: Object) -> Bools:
        found = np.zeros(self._table.size, np.bool_)
        for term in selector.get("nodeSelectorTerms") or ():
            found |= self._term(term)
        return found

    def _term(self, term: Object) -> Bools:
        expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
        if not expressions and not fields:
            return np.zeros(self._table.size, np.bool_)
        by_column = all(one["operator"] in _BY_COLUMN for one in expressions)
        if fields or not by_column:
            return self._asked(term)
        found = self.every().copy()
        for one in expressions:
            found &= self._expression(one)
        return found

    def _asked(self, term: Object) -> Bools:
        """Node by node."""
        compiled = node_selector.of_document({"nodeSelectorTerms": [term]})
        possible = np.flatnonzero(self.every()) if compiled.names is None else self._table.rows_of(compiled.names)
        found = np.zeros(self._table.size, np.bool_)
        for row in possible.tolist():
            info = self._table.info(row)
            found[row] = compiled.matches(info.name, info.labels)
        return found

    def _labels(self, selector: Object) -> Bools:
        expressions = selector.get("matchExpressions") or []
        if any(one["operator"] not in _BY_COLUMN for one in expressions):
            matches = selectors.from_document(selector).matches
            infos = self._table.infos[: self._table.size]
            return np.array([i is not None and i.node is not None and matches(i.labels) for i in infos], np.bool_)
        found = self.every().copy()
        for key, value in (selector.get("matchLabels") or {}).items():
            found &= self.has_value(key, (value,))
        for one in expressions:
            found &= self._expression(one)
        return found

    def _topologies(self, document: Object) -> Bools:
        terms = document["terms"]
        if not terms:
            return self.every()
        found = np.zeros(self._table.size, np.bool_)
        for term in terms:
            allowed = self.every().copy()
            for one in term.get("matchLabelExpressions") or ():
                allowed &= self.has_value(one.get("key") or "", one.get("values") or ())
            found |= allowed
        return found

    def _expression(self, expression: Object) -> Bools:
        key, operator = expression["key"], expression["operator"]
        if operator == "Exists":
            return self.has_label(key)
        if operator == "DoesNotExist":
            return ~self.has_label(key)
        has = self.has_value(key, expression.get("values") or ())
        return has if operator == "In" else ~has
