"""The zone: all records of the cluster, kept current Service by Service.

A Service contributes records under some names; when it or one of its slices changes, its contribution is replaced and
nothing else is looked at. Names above a record exist too (`_tcp.web.default.svc.cluster.local` when only
`_http._tcp.web…` has records): they are counted, so that a query for one finds no data instead of no name.

Guarantee: after any sequence of changes the zone equals one that is built anew from the same objects.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from sampan.apimachinery.object import Object, key_of
from sampan.dns.records import Key, Records, address_type, records_of

SPECIFICATION_VERSION = "1.1.0"

RRset: TypeAlias = tuple[str, ...]
"""The values of one name and type, in zone-file notation."""


class Zone:
    """Records below `domain` (as `cluster.local`) and the reverse names of cluster addresses."""

    def __init__(self, domain: str = "cluster.local") -> None:
        self.domain = domain.strip(".").lower()
        self.origin = f"{self.domain}."
        self.generation = 0
        """Grows with every change; a cached answer is good as long as it stays the same."""
        self._contributions: dict[str, Records] = {}
        self._owners: dict[Key, dict[str, None]] = {}
        self._types: dict[str, Counter[str]] = {}
        self._below: Counter[str] = Counter()
        self._namespaces: set[str] = set()
        self._fixed: dict[Key, RRset] = {
            (f"dns-version.{self.origin}", "TXT"): (f'"{SPECIFICATION_VERSION}"',),
            (self.origin, "NS"): (f"ns.dns.{self.origin}",),
        }
        self._fixed_names = {self.origin, f"svc.{self.origin}", f"pod.{self.origin}", f"dns-version.{self.origin}",
                             f"dns.{self.origin}", f"ns.dns.{self.origin}"}

    def set_service(self, service: Object, slices: Iterable[Object]) -> None:
        """Take the Service as it is now, with all its slices."""
        self._replace(key_of(service), records_of(service, slices, self.domain))

    def remove_service(self, key: str) -> None:
        """Forget the Service `namespace/name`."""
        self._replace(key, {})

    def add_namespace(self, name: str) -> None:
        """The names above Services and pods of this namespace exist from now on."""
        self._namespaces.add(name.lower())
        self.generation += 1

    def remove_namespace(self, name: str) -> None:
        self._namespaces.discard(name.lower())
        self.generation += 1

    def lookup(self, name: str, kind: str) -> RRset:
        """The values at a lower-case absolute name; empty when there are none of this type."""
        fixed = self._fixed.get((name, kind))
        if fixed:
            return fixed
        owners = self._owners.get((name, kind))
        if owners:
            merged = {value: None for owner in owners for value in self._contributions[owner][name, kind]}
            return tuple(merged)
        return self._pod_address(name, kind) if kind in ("A", "AAAA") else ()

    def types(self, name: str) -> list[str]:
        """The record types at a name, in alphabetical order."""
        found = [kind for known, kind in self._fixed if known == name] + list(self._types.get(name, ()))
        found += [kind for kind in ("A", "AAAA") if kind not in found and self._pod_address(name, kind)]
        return sorted(found)

    def exists(self, name: str) -> bool:
        """True when the name, or one below it, has records: then a query for another type finds no data."""
        return (
            name in self._types or name in self._below or name in self._fixed_names or self._is_namespace(name)
            or bool(self._pod_address(name, "A") or self._pod_address(name, "AAAA"))
        )

    def contains(self, name: str) -> bool:
        """True for names that this zone answers for with authority."""
        return name == self.origin or name.endswith(f".{self.origin}")

    def _replace(self, key: str, new: Records) -> None:
        old = self._contributions.get(key, {})
        if new == old:
            return
        for name, kind in old.keys() - new.keys():
            self._leave(key, name, kind)
        if new:
            self._contributions[key] = new
        else:
            del self._contributions[key]
        for name, kind in new.keys() - old.keys():
            self._enter(key, name, kind)
        self.generation += 1

    def _enter(self, key: str, name: str, kind: str) -> None:
        self._owners.setdefault((name, kind), {})[key] = None
        self._types.setdefault(name, Counter())[kind] += 1
        for above in _above(name):
            self._below[above] += 1

    def _leave(self, key: str, name: str, kind: str) -> None:
        owners = self._owners[name, kind]
        del owners[key]
        if not owners:
            del self._owners[name, kind]
        types = self._types[name]
        types[kind] -= 1
        if not types[kind]:
            del types[kind]
        if not types:
            del self._types[name]
        for above in _above(name):
            self._below[above] -= 1
            if not self._below[above]:
                del self._below[above]

    def _is_namespace(self, name: str) -> bool:
        namespace, _, rest = name.partition(".")
        return rest in (f"svc.{self.origin}", f"pod.{self.origin}") and namespace in self._namespaces

    def _pod_address(self, name: str, kind: str) -> RRset:
        """`1-2-3-4.NS.pod.DOMAIN` is the address it spells, in every namespace that exists."""
        label, _, rest = name.partition(".")
        namespace, _, above = rest.partition(".")
        if above != f"pod.{self.origin}" or namespace not in self._namespaces:
            return ()
        try:
            dotted = label.count("-") == 3 and "--" not in label
            address = str(ipaddress.ip_address(label.replace("-", "." if dotted else ":")))
        except ValueError:
            return ()
        return (address,) if address_type(address) == kind else ()


def _above(name: str) -> Iterator[str]:
    """`a.b.c.` gives `b.c.` and `c.`."""
    rest = name.partition(".")[2]
    while rest:
        yield rest
        rest = rest.partition(".")[2]
