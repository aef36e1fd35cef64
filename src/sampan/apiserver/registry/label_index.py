"""Which objects carry a label with a value: what makes a list by label cost what it returns, not what there is.

A label is indexed when a selector first asks for it by equality, and kept up to date from then on. At most MAX_LABELS
labels are, so that nobody can make the server remember arbitrarily much; selectors on others look at every object.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sampan.apiserver.registry.entry import Entry

MAX_LABELS: Final = 16
_NONE: Final[frozenset[str]] = frozenset()


class LabelIndex:
    """Keys of entries by label and value."""

    def __init__(self) -> None:
        self._by_label: dict[str, dict[str, set[str]]] = {}

    def keys(self, label: str, value: str, entries: Mapping[str, Entry]) -> set[str] | frozenset[str] | None:
        """The keys of the entries that carry the label with this value; None if the label is not indexed."""
        values = self._by_label.get(label)
        if values is None:
            if len(self._by_label) >= MAX_LABELS:
                return None
            values = self._by_label[label] = {}
            for entry in entries.values():
                found = entry.labels.get(label)
                if found is not None:
                    values.setdefault(found, set()).add(entry.key)
        return values.get(value, _NONE)

    def changed(self, old: Entry | None, new: Entry | None) -> None:
        """One entry took another's place, came or went."""
        for label, values in self._by_label.items():
            before = old.labels.get(label) if old is not None else None
            after = new.labels.get(label) if new is not None else None
            if before == after:
                continue
            if old is not None and before is not None:
                holders = values[before]
                holders.discard(old.key)
                if not holders:
                    del values[before]
            if new is not None and after is not None:
                values.setdefault(after, set()).add(new.key)

    def clear(self) -> None:
        """Forget everything; what is asked for is indexed anew."""
        self._by_label.clear()
