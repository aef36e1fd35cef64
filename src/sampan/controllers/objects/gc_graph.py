"""The garbage collector's graph: every object that can be deleted, and who depends on whom.

A node keeps only what collecting needs: a few hundred bytes, not the object. An owner that is named by someone but has
not been seen is a *virtual* node: it may be on its way, or gone; the collector asks the server. `observe` and `remove`
say which objects must be looked at because of a change; deciding what to do with them is `garbage_collector.plan`.

References are joined to objects by uid, but anybody may write any uid into a reference. One whose apiVersion, kind,
name or namespace are not those of the object with that uid is never taken for granted: who names it is looked at, and
asked about under the coordinates that the reference itself gives. If the namespace differs, it is also reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sampan.apimachinery.object import (
    Object,
    is_being_deleted,
    meta,
    name_of,
    namespace_of,
    resource_version_of,
    uid_of,
)
from sampan.apimachinery.resource import Resource

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


@dataclass(frozen=True, slots=True)
class Owner:
    """An owner reference."""

    api_version: str
    kind: str
    name: str
    uid: str
    blocks: bool = False
    controls: bool = False


@dataclass(slots=True)
class Node:
    """An object in the graph. `resource` is None for a virtual one, which only references name."""

    uid: str
    name: str
    namespace: str
    resource: Resource | None = None
    version: str = ""
    owners: tuple[Owner, ...] = ()
    dependents: dict[str, None] = field(default_factory=dict)
    going: bool = False
    foreground: bool = False
    """It is being deleted and waits for its dependents."""
    orphaning: bool = False
    """It is being deleted and its dependents are to be let go."""
    reference: Owner | None = None
    """For a virtual node: how it was named."""


@dataclass(frozen=True, slots=True)
class Work:
    """What to do with this uid's node: perhaps `delete` it, let go of its dependents (`orphan`), or `report` which of
    its references lead into another namespace."""

    verb: str
    uid: str

    @property
    def key(self) -> str:
        return f"{self.verb}/{self.uid}"


def owners_of(obj: Object) -> tuple[Owner, ...]:
    return tuple(
        Owner(
            one.get("apiVersion", ""), one.get("kind", ""), one.get("name", ""), one.get("uid", ""),
            bool(one.get("blockOwnerDeletion")), bool(one.get("controller")),
        )
        for one in meta(obj).get("ownerReferences") or ()
    )


def fits(owner: Owner, node: Node, above: Node) -> bool:
    """Whether a reference of `node` names `above` by the coordinates that it has."""
    known = above.resource
    return (
        known is not None and not _is_elsewhere(node, above)
        and (owner.api_version, owner.kind, owner.name) == (known.api_version, known.kind, above.name)
    )


def _is_elsewhere(node: Node, above: Node) -> bool:
    """Whether `above` exists in a namespace in which `node` may not have an owner."""
    return above.resource is not None and above.namespace not in ("", node.namespace)


class Graph:
    """Nodes by uid."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}

    def observe(self, resource: Resource, obj: Object) -> list[Work]:
        """An object exists, or changed."""
        uid = uid_of(obj)
        node = self.nodes.get(uid)
        if node is None:
            node = self.nodes[uid] = Node(uid, name_of(obj), namespace_of(obj))
        before, was_foreground, was_orphaning = node.owners, node.foreground, node.orphaning
        was_virtual = node.resource is None
        finalizers = meta(obj).get("finalizers") or ()
        node.resource, node.name, node.namespace, node.reference = resource, name_of(obj), namespace_of(obj), None
        node.version = resource_version_of(obj)
        node.going = is_being_deleted(obj)
        node.foreground = node.going and FOREGROUND in finalizers
        node.orphaning = node.going and ORPHAN in finalizers
        node.owners = owners_of(obj)
        work = list(self._relink(node, before)) if node.owners != before else []
        if was_virtual:
            work += self._doubts(node)
        if node.orphaning and not was_orphaning:
            work.append(Work("orphan", uid))
        if node.foreground and not was_foreground:
            work += [Work("delete", dependent) for dependent in node.dependents]
            work.append(Work("delete", uid))
        return work

    def remove(self, uid: str) -> list[Work]:
        """An object is gone."""
        node = self.nodes.pop(uid, None)
        if node is None:
            return []
        for owner in node.owners:
            self._unlink(owner.uid, uid)
        work = [Work("delete", dependent) for dependent in node.dependents]
        for owner in node.owners:
            above = self.nodes.get(owner.uid)
            if above is not None and above.foreground:
                work.append(Work("delete", above.uid))
        for dependent in node.dependents:  # they still name it: it goes on as a virtual node
            below = self.nodes.get(dependent)
            if below is not None:
                for owner in below.owners:
                    if owner.uid == uid:
                        self._virtual(owner, below).dependents[dependent] = None
        return work

    def forget_resource(self, resource: Resource) -> list[Work]:
        """A resource is served no more: none of its objects exists any longer."""
        gone = [uid for uid, node in self.nodes.items() if node.resource == resource]
        return [work for uid in gone for work in self.remove(uid)]

    def is_settled(self, node: Node) -> bool:
        """Whether every owner is there and stays, so that nothing has to be asked or done."""
        for owner in node.owners:
            above = self.nodes.get(owner.uid)
            if above is None or above.resource is None or above.foreground or node.foreground:
                return False
            if not fits(owner, node, above):
                return False
        return True

    def strays(self, uid: str) -> list[Owner]:
        """References of a node to objects that are in another namespace than the reference means."""
        node = self.nodes.get(uid)
        return [
            owner for owner in node.owners
            if (above := self.nodes.get(owner.uid)) is not None and _is_elsewhere(node, above)
        ] if node is not None else []

    def dependents(self, uid: str) -> list[Node]:
        """Known dependents, in the order in which they were seen."""
        node = self.nodes.get(uid)
        return [self.nodes[one] for one in node.dependents if one in self.nodes] if node else []

    def _relink(self, node: Node, before: tuple[Owner, ...]) -> Iterator[Work]:
        old, new = {owner.uid: owner for owner in before}, {owner.uid: owner for owner in node.owners}
        for uid, owner in old.items():
            if uid not in new:
                self._unlink(uid, node.uid)
            if uid not in new or (owner.blocks and not new[uid].blocks):
                above = self.nodes.get(uid)
                if above is not None and above.foreground:  # it may have waited for this one
                    yield Work("delete", uid)
        for uid, owner in new.items():
            if uid in old:
                continue
            above = self.nodes.get(uid)
            if above is None:
                above = self._virtual(owner, node)
                yield Work("delete", node.uid)
            elif above.resource is None or above.foreground or not fits(owner, node, above):
                yield Work("delete", node.uid)
                if _is_elsewhere(node, above):
                    yield Work("report", node.uid)
            above.dependents[node.uid] = None

    def _doubts(self, node: Node) -> Iterator[Work]:
        """Those who named `node` before it was seen, and named it wrongly."""
        for dependent in node.dependents:
            below = self.nodes[dependent]
            if not all(fits(owner, below, node) for owner in below.owners if owner.uid == node.uid):
                if _is_elsewhere(below, node):
                    yield Work("report", dependent)
                yield Work("delete", dependent)

    def _virtual(self, owner: Owner, below: Node) -> Node:
        if owner.uid not in self.nodes:
            self.nodes[owner.uid] = Node(owner.uid, owner.name, below.namespace, reference=owner)
        return self.nodes[owner.uid]

    def _unlink(self, owner_uid: str, uid: str) -> None:
        above = self.nodes.get(owner_uid)
        if above is not None:
            above.dependents.pop(uid, None)
            if above.resource is None and not above.dependents:
                del self.nodes[owner_uid]
