"""The table as it should be, and the transaction that takes the kernel's from what it was to that: O(what changed).

A key of a map may be claimed by two Services at once (the same external IP and port): the one first in the alphabet
has it, and when that goes the other takes over. Nothing here talks to the kernel.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from sampan.proxy.render import FIXED_CHAINS, MAPS, Contribution, Frame, base

Element: TypeAlias = tuple[str, str]
"""A map or set, and a key in it."""


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
    sets_before: dict[str, int] = field(default_factory=dict)
    elements: set[Element] = field(default_factory=set)


class Ruleset:
    """The desired table of one family."""

    def __init__(self, frame: Frame) -> None:
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
        sets: dict[str, int] = {}
        for key in changes:
            current = self._contributions.get(key)
            if current:
                chains.update(current.chains)
                sets.update(current.affinity_sets)
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
        """The transaction that replaces whatever the table holds, keeping the memory of session affinity."""
        chains = {name: rules for c in self._contributions.values() for name, rules in c.chains.items()}
        sets = {name: timeout for c in self._contributions.values() for name, timeout in c.affinity_sets.items()}
        self._written = {}
        main = [f"add table {self._at}", f"flush table {self._at}"]
        main += [f"flush map {self._at} {name}" for name in existing.maps if name in MAPS]
        main += [f"flush set {self._at} cluster-ips" for name in existing.sets if name == "cluster-ips"]
        main += base(self.frame)
        main += self._add_sets({name: timeout for name, timeout in sets.items() if name not in existing.sets})
        main += self._write_chains(chains, {})
        main += self._write_elements(set(self._claims))
        stale_chains = [name for name in existing.chains if name not in chains and name not in FIXED_CHAINS]
        stale_sets = [name for name in existing.sets if name not in sets and name != "cluster-ips"]
        cleanup = [f"delete map {self._at} {name}" for name in existing.maps if name not in MAPS]
        cleanup += [f"delete chain {self._at} {name}" for name in stale_chains]
        cleanup += [f"delete set {self._at} {name}" for name in stale_sets]
        return Transaction(tuple(main), tuple(cleanup))

    def _replace(self, key: str, new: Contribution | None, change: _Change) -> None:
        old = self._contributions.pop(key, None)
        if old == new:
            if new is not None:
                self._contributions[key] = new
                change.chains_before.update(new.chains)
                change.sets_before.update(new.affinity_sets)
            return
        if old:
            change.chains_before.update(old.chains)
            change.sets_before.update(old.affinity_sets)
            for element in old.elements:
                self._claims[element].pop(key)
                change.elements.add(element)
        if new:
            self._contributions[key] = new
            for element, verdict in new.elements.items():
                self._claims.setdefault(element, {})[key] = verdict
                change.elements.add(element)

    def _add_sets(self, sets: Mapping[str, int]) -> list[str]:
        kind = self.frame.address_type
        return [
            f"add set {self._at} {name} {{ type {kind}; flags dynamic, timeout; timeout {timeout_s}s; }}"
            for name, timeout_s in sets.items()
        ]

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
