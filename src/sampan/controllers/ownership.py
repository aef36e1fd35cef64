"""Ownership: which objects a controller's object owns, adopts, and lets go.

An object belongs to the owner whose uid its controller reference has. One that nobody controls and that the selector
matches is adopted; one that is ours but matches no longer is released. Both are patches that name the object's uid, so
they cannot hit another object of the same name; adoption first asks the server (not a cache) that the owner is alive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from sampan.apimachinery.object import (
    Object,
    controller_of,
    is_being_deleted,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)
from sampan.apimachinery.resource import Resource
from sampan.reconcile.plan import Patch, Step, Verify


@dataclass(frozen=True, slots=True)
class Claim:
    """What belongs to the owner once `steps` are done, in the order it was given."""

    objects: tuple[Object, ...]
    steps: tuple[Step, ...]


def reference_to(owner: Object) -> Object:
    """The controller reference to `owner`."""
    return {
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": name_of(owner), "uid": uid_of(owner),
        "controller": True, "blockOwnerDeletion": True,
    }


def is_controlled_by(obj: Object, owner: Object) -> bool:
    found = controller_of(obj)
    return found is not None and found.get("uid") == uid_of(owner)


def claim(
    owner: Object, owner_resource: Resource, resource: Resource, candidates: Iterable[Object],
    matches: Callable[[Mapping[str, str]], bool],
) -> Claim:
    """Sort `candidates` into owned, adopted and released ones."""
    mine: list[Object] = []
    adoptions: list[Step] = []
    releases: list[Step] = []
    going = is_being_deleted(owner)
    for obj in candidates:
        controller, fits = controller_of(obj), matches(labels_of(obj))
        if controller is not None:
            if controller.get("uid") != uid_of(owner):
                continue
            if fits:
                mine.append(obj)
            elif not going:
                releases.append(_release(owner, resource, obj))
        elif fits and not going and not is_being_deleted(obj) and namespace_of(obj) == namespace_of(owner):
            mine.append(obj)
            adoptions.append(_adopt(owner, resource, obj))
    if adoptions:
        adoptions.insert(0, Verify(owner_resource, name_of(owner), namespace_of(owner), uid_of(owner)))
    return Claim(tuple(mine), tuple(adoptions + releases))


def with_finalizer(claimed: Claim, finalizer: str) -> Claim:
    """The same, but what is adopted gets the finalizer too, and what is released loses it."""

    def changed(step: Step) -> Step:
        if not isinstance(step, Patch):
            return step
        field = "$deleteFromPrimitiveList/finalizers" if _is_release(step) else "finalizers"
        return replace(step, patch={"metadata": {**step.patch["metadata"], field: [finalizer]}})

    return Claim(claimed.objects, tuple(map(changed, claimed.steps)))


def _is_release(patch: Patch) -> bool:
    return any(reference.get("$patch") == "delete" for reference in patch.patch["metadata"]["ownerReferences"])


def _adopt(owner: Object, resource: Resource, obj: Object) -> Patch:
    patch = {"metadata": {"ownerReferences": [reference_to(owner)], "uid": uid_of(obj)}}
    return Patch(resource, name_of(obj), namespace_of(obj), patch)


def _release(owner: Object, resource: Resource, obj: Object) -> Patch:
    deletion = {"$patch": "delete", "uid": uid_of(owner)}
    patch = {"metadata": {"uid": uid_of(obj), "ownerReferences": [deletion]}}
    return Patch(resource, name_of(obj), namespace_of(obj), patch, missing_ok=True)
