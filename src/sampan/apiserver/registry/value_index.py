"""Which objects of a kind have a label, or a field, with a value, so that a list which demands one reads nothing else.

A label is indexed from the first time that someone asks for it, and then kept up with every change; most are never
asked for. Those asked for most recently are kept, MAX_INDEXED of them, so that nobody can make the index grow without
end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias

from sampan.apiserver.registry.entry import Entry

MAX_INDEXED: Final = 16
Values: TypeAlias = Callable[[Entry], Mapping[str, str]]


class ValueIndex:
    """Keys of entries by label (or field: what `of` gives of an entry) and value."""

    def __init__(self, of: Values) -> None:
        self._of = of
        self._by_label: dict[str, dict[str, set[str]]] = {}

    def keys(self, label: str, values: Iterable[str] | None, entries: Mapping[str, Entry]) -> list[str]:
        """The keys, in order, of the entries that carry the label with one of the values; None: with any."""
        indexed = self._by_label.pop(label, None)
        if indexed is None:
            indexed = self._indexed(label, entries)
            if len(self._by_label) >= MAX_INDEXED:
                del self._by_label[next(iter(self._by_label))]
        self._by_label[label] = indexed  # the last to be forgotten
        found: list[str] = []
        for value in indexed if values is None else set(values):
            found.extend(indexed.get(value, ()))
        found.sort()
        return found

    def _indexed(self, label: str, entries: Mapping[str, Entry]) -> dict[str, set[str]]:
        values: dict[str, set[str]] = {}
        of = self._of
        for key, entry in entries.items():
            value = of(entry).get(label)
            if value is not None:
                holders = values.get(value)
                if holders is None:
                    values[value] = {key}
                else:
                    holders.add(key)
        return values

    def changed(self, old: Entry | None, new: Entry | None) -> None:
        """One entry took another's place, came or went."""
        for label, values in self._by_label.items():
            before = self._of(old).get(label) if old is not None else None
            after = self._of(new).get(label) if new is not None else None
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
