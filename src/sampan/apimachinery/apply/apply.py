"""Server-side apply, and the ownership that every other write leaves behind.

`apply` lays a manager's configuration over the live object. What it sets and another manager owns with another value is
a conflict, unless forced; then ownership moves. What the manager applied before and no longer mentions is given up, and
removed if nobody else owns it. `update_managers` says after a create, update or patch who now owns what: the writer
owns what it changed, everyone else loses it.

Properties that the tests check: applying the same twice changes nothing; the order of managers that share no field does
not matter; a field given up by its only owner disappears. After sigs.k8s.io/structured-merge-diff.
"""

from __future__ import annotations

import json
from typing import Final, NamedTuple

from sampan.apimachinery.apply import fieldset, footprint, values
from sampan.apimachinery.apply import managers as owners
from sampan.apimachinery.apply.fieldset import EMPTY, FieldPath, FieldSet, display, prefixes
from sampan.apimachinery.apply.footprint import SERVERS_OWN
from sampan.apimachinery.apply.managers import APPLY, NOTHING, UPDATE, Manager, Managers, Owned
from sampan.apimachinery.errors import BadRequest, Conflict
from sampan.apimachinery.object import Object, meta
from sampan.apimachinery.schema.compile import Schema

BEFORE_FIRST_APPLY: Final = "before-first-apply"
STATUS: Final[FieldSet] = frozenset({("f:status",)})
"""What the main endpoint of a kind with a status subresource does not write."""


class ApplyConflict(Conflict):
    """Fields that others own with other values: one cause a field."""

    def __init__(self, conflicts: list[tuple[Manager, FieldPath]]) -> None:
        causes = [
            {"reason": "FieldManagerConflict", "message": f"conflict with {who}", "field": display(path)}
            for who, path in conflicts
        ]
        super().__init__(_conflict_message(conflicts), {"causes": causes})
        self.conflicts = conflicts


class Write(NamedTuple):
    """Who writes through what, when. `resets` are the fields of the root that this endpoint does not write."""

    manager: str
    now: str
    subresource: str = ""
    resets: FieldSet = EMPTY


def apply(
    live: Object | None, applied: Object, write: Write, schema: Schema | None, *, force: bool = False
) -> tuple[Object, list[Object]]:
    """(the merged object, its managedFields). `live` is None for a creation. Raises ApplyConflict, BadRequest.

    The merged object still carries the live `managedFields`; the server puts the new ones in once the object has been
    defaulted and validated.
    """
    if meta(applied).get("managedFields"):
        raise BadRequest("metadata.managedFields must be nil")
    current = live if live is not None else {}
    me = Manager(write.manager, APPLY, "", write.subresource)
    managers = _known(current, schema)
    wanted = footprint.applied(applied, schema, write.resets)
    known = managers.get(me, NOTHING)
    merged = values.merge(current, applied, schema)
    difference = values.Difference(current, merged, schema)
    taken = sorted(path for path in difference.changed if fieldset.has(wanted, path))
    conflicts = [(who, path) for who, owned in managers.items() if who != me for path in taken if owned.owns(path)]
    if conflicts and not force:
        raise ApplyConflict(sorted(conflicts, key=lambda found: (found[0].name, found[1])))
    managers = owners.without(managers, [path for _, path in conflicts], keep=me)
    if known.trie and known.trie != wanted:
        kept = fieldset.decode(wanted)
        if given_up := known.fields - kept:
            merged = _give_up(merged, given_up, kept | owners.others(managers, me), schema)
            difference = values.Difference(current, merged, schema)
    managers = owners.without(managers, difference.removed, keep=me)
    version = applied.get("apiVersion", "")
    if me not in managers or known.trie != wanted or known.api_version != version:
        managers[me] = Owned(wanted, write.now, version)
    return merged, owners.write(managers)


def update_managers(
    old: Object | None, new: Object, write: Write, schema: Schema | None
) -> list[Object]:
    """`managedFields` after a create (`old` None), update or patch that turned `old` into `new`.

    The entries are taken from `new` if it brings any, else from `old`; an object whose entries were cleared on purpose
    stays without.
    """
    brought = meta(new).get("managedFields")
    stored: list[Object] | None = meta(old or {}).get("managedFields")
    me = Manager(write.manager, UPDATE, new.get("apiVersion", ""), write.subresource)
    if brought is None and old is None:
        return _creation(me, new, write, schema)
    if brought == [{}]:
        brought = []  # the documented way to clear them
    if old is not None and not brought and (brought == [] or not stored):
        return []
    managers = owners.read(new) if brought else owners.read(old or {})
    if old is None and not managers:
        return _creation(me, new, write, schema)
    try:
        difference = values.Difference(old or {}, new, schema)
    except BadRequest:
        return owners.write(managers)  # items without their keys; validation will have its say
    changed, removed = _owned_by_write(difference.changed, write), difference.removed
    left = owners.without(managers, changed | removed, keep=me)
    known = managers.get(me, NOTHING)
    add = [path for path in changed if not known.owns(path)] if known.trie else changed
    lost = [path for path in removed if known.owns(path)] if known.trie else ()
    if not add and not lost and left is managers and stored and (not brought or brought == stored):
        return stored  # most writes give what their writer has long owned another value
    managers = left
    if add or lost:
        managers[me] = Owned(fieldset.changed(known.trie, add=add, remove=lost), write.now, me.api_version)
    return owners.write(managers)


def _creation(me: Manager, new: Object, write: Write, schema: Schema | None) -> list[Object]:
    """Who creates an object owns all of it."""
    try:
        owned = footprint.created(new, schema, write.resets)
    except BadRequest:
        return []
    return [owners.entry(me, Owned(owned, write.now))] if owned else []


def _known(live: Object, schema: Schema | None) -> Managers:
    """The live managers; an object that nobody manages yet belongs to whoever wrote it before."""
    managers = owners.read(live)
    if managers or not live:
        return managers
    version = live.get("apiVersion", "")
    created = meta(live).get("creationTimestamp") or ""
    owned = Owned(footprint.created(live, schema, EMPTY), created, version)
    return {Manager(BEFORE_FIRST_APPLY, UPDATE, version): owned}


def _owned_by_write(paths: FieldSet, write: Write) -> FieldSet:
    hidden = write.resets
    return frozenset([path for path in paths if path not in SERVERS_OWN and path[:1] not in hidden])


def _give_up(merged: Object, given_up: FieldSet, kept: FieldSet, schema: Schema | None) -> Object:
    """Remove what nobody owns any more, and the containers that this leaves empty."""
    needed = prefixes(kept)
    for path in sorted(given_up, key=len):
        if path in needed or _is_key_of_needed(path, needed):
            continue
        merged = values.remove(merged, path, schema)
        for length in range(len(path) - 1, 0, -1):
            container = path[:length]
            if container in needed or container == ("f:metadata",):
                break
            if values.look(merged, container, schema) not in ({}, []):
                break
            merged = values.remove(merged, container, schema)
    return merged


def _is_key_of_needed(path: FieldPath, needed: set[FieldPath]) -> bool:
    """An item that someone still has a field in keeps the keys that it is known by."""
    item = path[:-1]
    if item not in needed or not item or not item[-1].startswith("k:"):
        return False
    return path[-1][2:] in json.loads(item[-1][2:])


def _conflict_message(conflicts: list[tuple[Manager, FieldPath]]) -> str:
    if len(conflicts) == 1:
        [(who, path)] = conflicts
        return f"Apply failed with 1 conflict: conflict with {who}: {display(path)}"
    texts: dict[str, list[str]] = {}
    for who, path in conflicts:
        texts.setdefault(str(who), []).append(f"- {display(path)}")
    shown = "\n".join(f"conflicts with {who}:\n" + "\n".join(paths) for who, paths in sorted(texts.items()))
    return f"Apply failed with {len(conflicts)} conflicts: {shown}"
