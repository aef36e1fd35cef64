"""`metadata.managedFields`: who owns which fields, read, written and kept within bounds.

A manager is known by its name, its operation (Apply or Update), the API version of the fields of an Update, and the
subresource it wrote through. Beyond ten Update managers the oldest are folded into `ancient-changes`, as upstream does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple, TypeAlias

from sampan.apimachinery.apply import fieldset
from sampan.apimachinery.apply.fieldset import EMPTY, FieldPath, FieldSet, Trie
from sampan.apimachinery.object import Object, meta

APPLY: Final = "Apply"
UPDATE: Final = "Update"
_MAX_UPDATE_MANAGERS: Final = 10
_ANCIENT: Final = "ancient-changes"


class Manager(NamedTuple):
    """Who. `api_version` is empty for Apply, which is one manager across versions."""

    name: str
    operation: str
    api_version: str = ""
    subresource: str = ""

    def __str__(self) -> str:
        """As conflicts name it."""
        text = f'"{self.name}"'
        if self.subresource:
            text += f' with subresource "{self.subresource}"'
        return f"{text} using {self.api_version}" if self.operation == UPDATE else text


class Owned(NamedTuple):
    """What, since when, and (for Apply) in the words of which API version. `trie` is FieldsV1, never changed here."""

    trie: Trie
    time: str = ""
    api_version: str = ""

    @property
    def fields(self) -> FieldSet:
        """The trie as a set; empty if it is none."""
        try:
            return fieldset.decode(self.trie)
        except ValueError:
            return EMPTY

    def owns(self, path: FieldPath) -> bool:
        return fieldset.has(self.trie, path)


Managers: TypeAlias = dict[Manager, Owned]
NOTHING: Final = Owned({})


def read(obj: Object) -> Managers:
    """The managers of an object; entries that are no objects are forgotten."""
    managers: Managers = {}
    for entry in meta(obj).get("managedFields") or []:
        trie = entry.get("fieldsV1")
        if not isinstance(trie, dict):
            continue
        operation, version = entry.get("operation", ""), entry.get("apiVersion", "")
        who = Manager(
            entry.get("manager", ""), operation, version if operation == UPDATE else "", entry.get("subresource", "")
        )
        known = managers.get(who)
        if known is not None:
            trie = fieldset.changed(trie, add=known.fields)
        managers[who] = Owned(trie, entry.get("time", ""), version)
    return managers


def write(managers: Mapping[Manager, Owned]) -> list[Object]:
    """As `managedFields`: Apply first, then by time; managers that own nothing are left out."""
    kept = _bounded({who: owned for who, owned in managers.items() if owned.trie})
    return [entry(who, owned) for who, owned in sorted(kept.items(), key=_order)]


def others(managers: Mapping[Manager, Owned], who: Manager) -> FieldSet:
    """Everything that anyone but `who` owns."""
    return EMPTY.union(*(owned.fields for manager, owned in managers.items() if manager != who))


def without(managers: Managers, fields: Collection[FieldPath], *, keep: Manager) -> Managers:
    """The managers after all but `keep` lost these fields; the very same when nobody does."""
    left = managers
    roots = {path[0] for path in fields}
    for who, owned in managers.items():
        may_lose = who != keep and not roots.isdisjoint(owned.trie)
        lost = [path for path in fields if owned.owns(path)] if may_lose else ()
        if lost:
            left = managers.copy() if left is managers else left
            left[who] = Owned(fieldset.changed(owned.trie, remove=lost), owned.time, owned.api_version)
    return left


def _order(item: tuple[Manager, Owned]) -> tuple[str, str, str, str, str]:
    who, owned = item
    return who.operation, owned.time, who.name, who.api_version, who.subresource


def entry(who: Manager, owned: Owned) -> Object:
    """One manager's."""
    found: Object = {
        "manager": who.name, "operation": who.operation, "apiVersion": who.api_version or owned.api_version,
    }
    if owned.time:
        found["time"] = owned.time
    found["fieldsType"] = "FieldsV1"
    found["fieldsV1"] = owned.trie
    if who.subresource:
        found["subresource"] = who.subresource
    return found


def _bounded(managers: Managers) -> Managers:
    if len(managers) <= _MAX_UPDATE_MANAGERS:
        return managers
    updates = sorted((item for item in managers.items() if item[0].operation == UPDATE), key=lambda i: i[1].time)
    surplus = len(updates) - _MAX_UPDATE_MANAGERS
    if surplus <= 0:
        return managers
    bounded = dict(managers)
    for who, owned in updates[: surplus + 1]:
        del bounded[who]
        ancient = Manager(_ANCIENT, UPDATE, who.api_version)
        known = bounded.get(ancient, NOTHING)
        bounded[ancient] = Owned(fieldset.changed(known.trie, add=owned.fields), owned.time, who.api_version)
    return bounded
