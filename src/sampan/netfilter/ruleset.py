"""The table as it should be, and the transaction that takes the kernel's from what it was to that: O(what changed).

A table has a frame (what is always there) and contributions, each by a key: chains, sets, and elements of maps and
sets. An element may be claimed by two contributions at once (two Services with the same external IP and port): the one
first in the alphabet has it, and when that goes the other takes over. Nothing here talks to the kernel.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Family: TypeAlias = Literal["ip", "ip6"]

Element: TypeAlias = tuple[str, str]
"""A map or set, and a key in it."""


@dataclass(frozen=True, slots=True)
class Contribution:
    """`chains` by name; `elements` are (map or set, key) → verdict, "" in a set; `sets` are their definitions."""

    chains: dict[str, tuple[str, ...]] = field(default_factory=dict)
    elements: dict[Element, str] = field(default_factory=dict)
    sets: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TableFrame:
    """The fixed part of a table: the commands that make it, and the names of what they make.

    With `keeps_sets`, a table that is written anew keeps what the contributed sets hold: the kernel filled them.
    """

    family: Family
    table: str
    base: tuple[str, ...]
    chains: frozenset[str]
    maps: frozenset[str] = frozenset()
    sets: frozenset[str] = frozenset()
    keeps_sets: bool = False


@dataclass(frozen=True, slots=True)
class Existing:
    """Names of what an earlier proxy left in the table."""

    chains: tuple[str, ...] = ()
    maps: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Transaction:
    """`main` changes what packets meet, all at once; `cleanup` then drops what nothing refers to any more.

    They are two because the kernel lets go of a chain only after the transaction that unlinks it.
    """

    main: tuple[str, ...] = ()
    cleanup: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.main or self.cleanup)


@dataclass(slots=True)
class _Change:
    chains_before: dict[str, tuple[str, ...]] = field(default_factory=dict)
    sets_before: dict[str, str] = field(default_factory=dict)
    elements: set[Element] = field(default_factory=set)


class Ruleset:
    """The desired table of one family."""

    def __init__(self, frame: TableFrame) -> None:
        self.frame = frame
        self._contributions: dict[str, Contribution] = {}
        self._claims: dict[Element, dict[str, str]] = {}
        self._written: dict[Element, str] = {}
        self._at = f"{frame.family} {frame.table}"

    def update(self, changes: Mapping[str, Contribution | None]) -> Transaction:
        """Take new contributions by their keys (None: gone); the transaction that makes the kernel follow."""
        change = _Change()
        for key, new in changes.items():
            self._replace(key, new, change)
        chains: dict[str, tuple[str, ...]] = {}
        sets: dict[str, str] = {}
        for key in changes:
            current = self._contributions.get(key)
            if current:
                chains.update(current.chains)
                sets.update(current.sets)
        main = self._add_sets({name: sets[name] for name in sets if name not in change.sets_before})
        main += self._write_chains(chains, change.chains_before)
        main += self._write_elements(change.elements)
        gone_chains = [name for name in change.chains_before if name not in chains]
        # Chains of one Service may jump to each other: all are emptied in the first step, so none holds another.
        main += [f"flush chain {self._at} {name}" for name in gone_chains]
        cleanup = [f"delete chain {self._at} {name}" for name in gone_chains]
        cleanup += [f"delete set {self._at} {name}" for name in change.sets_before if name not in sets]
        return Transaction(tuple(main), tuple(cleanup))

    def full(self, existing: Existing) -> Transaction:
        """The transaction that replaces whatever the table holds."""
        chains = {name: rules for c in self._contributions.values() for name, rules in c.chains.items()}
        sets = {name: definition for c in self._contributions.values() for name, definition in c.sets.items()}
        self._written = {}
        frame = self.frame
        main = [f"add table {self._at}", f"flush table {self._at}"]
        main += [f"flush map {self._at} {name}" for name in existing.maps if name in frame.maps]
        main += [
            f"flush set {self._at} {name}" for name in existing.sets
            if name in frame.sets or (name in sets and not frame.keeps_sets)
        ]
        main += frame.base
        main += self._add_sets({name: definition for name, definition in sets.items() if name not in existing.sets})
        main += self._write_chains(chains, {})
        main += self._write_elements(set(self._claims))
        stale_chains = [name for name in existing.chains if name not in chains and name not in frame.chains]
        stale_sets = [name for name in existing.sets if name not in sets and name not in frame.sets]
        cleanup = [f"delete map {self._at} {name}" for name in existing.maps if name not in frame.maps]
        cleanup += [f"delete chain {self._at} {name}" for name in stale_chains]
        cleanup += [f"delete set {self._at} {name}" for name in stale_sets]
        return Transaction(tuple(main), tuple(cleanup))

    def _replace(self, key: str, new: Contribution | None, change: _Change) -> None:
        old = self._contributions.pop(key, None)
        if old == new:
            if new is not None:
                self._contributions[key] = new
                change.chains_before.update(new.chains)
                change.sets_before.update(new.sets)
            return
        if old:
            change.chains_before.update(old.chains)
            change.sets_before.update(old.sets)
            for element in old.elements:
                self._claims[element].pop(key)
                change.elements.add(element)
        if new:
            self._contributions[key] = new
            for element, verdict in new.elements.items():
                self._claims.setdefault(element, {})[key] = verdict
                change.elements.add(element)

    def _add_sets(self, sets: Mapping[str, str]) -> list[str]:
        return [f"add set {self._at} {name} {{ {definition} }}" for name, definition in sets.items()]

    def _write_chains(self, chains: Mapping[str, tuple[str, ...]], before: Mapping[str, tuple[str, ...]]) -> list[str]:
        changed = {name: rules for name, rules in chains.items() if before.get(name) != rules}
        lines = [f"add chain {self._at} {name}" for name in changed]
        for name, rules in changed.items():
            lines.append(f"flush chain {self._at} {name}")
            lines += [f"add rule {self._at} {name} {rule}" for rule in rules]
        return lines

    def _write_elements(self, touched: Iterable[Element]) -> list[str]:
        """Deletions before additions, a command for each map."""
        delete: dict[str, list[str]] = {}
        add: dict[str, list[str]] = {}
        for element in sorted(touched):
            claims = self._claims.get(element)
            wanted = claims[min(claims)] if claims else None
            if claims is not None and not claims:
                del self._claims[element]
            written = self._written.get(element)
            if written == wanted:
                continue
            container, key = element
            if written is not None:
                delete.setdefault(container, []).append(key)
                del self._written[element]
            if wanted is not None:
                add.setdefault(container, []).append(f"{key} : {wanted}" if wanted else key)
                self._written[element] = wanted
        lines = [f"delete element {self._at} {name} {{ {', '.join(keys)} }}" for name, keys in delete.items()]
        return lines + [f"add element {self._at} {name} {{ {', '.join(keys)} }}" for name, keys in add.items()]
