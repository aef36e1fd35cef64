"""Invariants of every object: identity, finalizers, generations, owner references, namespaces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from sampan.apimachinery.object import Object, dig, is_being_deleted, labels_of, meta, namespace_of, uid_of
from sampan.sim.world import Change, GroupResource, World, title

EVERYTHING: Final[Sequence[GroupResource]] = (("*", "*"),)
LEDGER: Final = "sim.sampan/ledger"
"""The label of ConfigMaps to which users add lines."""
NAMESPACES: Final[GroupResource] = ("core", "namespaces")
FINALIZERS: Final = {
    "foregroundDeletion": "generic-garbage-collector", "orphan": "generic-garbage-collector",
    "batch.kubernetes.io/job-tracking": "job-controller", "kubernetes.io/pvc-protection": "pvc-protection-controller",
    "kubernetes.io/pv-protection": "pv-protection-controller",
}
"""Whose each finalizer is."""


class Identity:
    """Revisions grow one by one; a name is not used again while its object is there; a uid is nobody else's, ever."""

    name = "identity"
    resources = EVERYTHING

    def __init__(self) -> None:
        self._revision = 0

    def check(self, world: World, change: Change) -> Iterator[str]:
        if change.revision <= self._revision:
            yield f"revision {change.revision} was written after {self._revision}"
        self._revision = change.revision
        old, new = change.old, change.new
        if new is None:
            return
        if old is not None and uid_of(old) != uid_of(new):
            yield f"{title(new)} took the name of another that is still there ({uid_of(old)})"
        known = world.known.get(uid_of(new))
        if known is not None and (known.key, known.resource) != (change.key, change.resource):
            yield f"{title(new)} has the uid of {known.key}"
        if old is not None and is_being_deleted(old) and not is_being_deleted(new):
            yield f"{title(new)} was being deleted, and no longer is"


class Finalizers:
    """An object goes only when nothing holds it, and what holds it is let go only by whom it belongs to."""

    name = "finalizers"
    resources = EVERYTHING

    def check(self, world: World, change: Change) -> Iterator[str]:
        old = change.old
        if old is None or not meta(old).get("finalizers"):
            return
        held = meta(old)["finalizers"]
        if change.new is None and change.cause.method not in ("PATCH", "PUT"):
            yield f"{title(old)} was removed though {', '.join(held)} held it"
        if change.new is None and not is_being_deleted(old):
            yield f"{title(old)} was removed though nobody had deleted it"
        kept = (meta(change.new).get("finalizers") or []) if change.new is not None else []
        for finalizer in held:
            owner = FINALIZERS.get(finalizer)
            if finalizer not in kept and owner is not None and change.cause.by not in (owner, "user"):
                yield f"{finalizer} of {title(old)} was removed by {change.cause.by}"
        if "foregroundDeletion" in held and "foregroundDeletion" not in kept:
            yield from self._blocked(world, change, old)

    def _blocked(self, world: World, change: Change, owner: Object) -> Iterator[str]:
        informed = world.informed_until_s(change.cause)
        for objects in list(world.objects.values()):
            for obj in objects.values():
                for reference in meta(obj).get("ownerReferences") or []:
                    mine = reference.get("uid") == uid_of(owner) and reference.get("blockOwnerDeletion")
                    if mine and world.known[uid_of(obj)].born_at_s < informed:
                        yield f"{title(owner)} was let go though {title(obj)} blocks its deletion"


class Generations:
    """A generation never goes back, a status does not change it, and nobody has observed one that is yet to come."""

    name = "generations"
    resources = EVERYTHING

    def check(self, world: World, change: Change) -> Iterator[str]:
        new, old = change.new, change.old
        if new is None:
            return
        generation = meta(new).get("generation")
        observed = dig(new, "status", "observedGeneration")
        if isinstance(observed, int) and isinstance(generation, int) and observed > generation:
            yield f"{title(new)}: observedGeneration {observed} is ahead of generation {generation}"
        if old is None or uid_of(old) != uid_of(new):
            return
        before = meta(old).get("generation")
        if before is not None and generation is not None and generation < before:
            yield f"{title(new)}: generation went from {before} back to {generation}"
        seen = dig(old, "status", "observedGeneration")
        if isinstance(seen, int) and isinstance(observed, int) and observed < seen:
            yield f"{title(new)}: observedGeneration went from {seen} back to {observed}"
        if generation != before and change.cause.path.endswith("/status"):
            yield f"{title(new)}: a write of the status changed the generation from {before} to {generation}"


class Intent:
    """What users ask for is theirs to change: no loop but an autoscaler writes into the spec of a workload."""

    name = "intent"
    resources = (
        ("apps", "deployments"), ("apps", "statefulsets"), ("apps", "daemonsets"), ("batch", "jobs"),
        ("batch", "cronjobs"),
    )

    def check(self, world: World, change: Change) -> Iterator[str]:
        old, new = change.old, change.new
        if old is None or new is None or change.cause.by in ("user", "horizontal-pod-autoscaler"):
            return
        before, now = old.get("spec") or {}, new.get("spec") or {}
        if before != now:
            fields = sorted(field for field in before.keys() | now.keys() if before.get(field) != now.get(field))
            yield f"{change.cause.by} changed {', '.join(fields)} of {title(new)}"


class Owners:
    """At most one controller, and an owner that lived under that name with that uid."""

    name = "owners"
    resources = EVERYTHING

    def check(self, world: World, change: Change) -> Iterator[str]:
        if change.new is None:
            return
        references = meta(change.new).get("ownerReferences") or []
        if not references or (change.old is not None and references == meta(change.old).get("ownerReferences")):
            return
        if sum(1 for one in references if one.get("controller")) > 1:
            yield f"{title(change.new)} has more than one controller"
        informed = world.informed_until_s(change.cause)
        before = meta(change.old).get("ownerReferences") or [] if change.old is not None else []
        for reference in references:
            if reference in before or not reference.get("controller"):
                continue
            yield from self._owner(world, change.new, reference, informed)

    def _owner(self, world: World, obj: Object, reference: Object, informed: float) -> Iterator[str]:
        who = f"{reference.get('kind')} {reference.get('name')}"
        known = world.known.get(str(reference.get("uid")))
        if known is None:
            yield f"{title(obj)} is owned by {who} with uid {reference.get('uid')}, which never lived"
        elif known.key.rpartition("/")[2] != reference.get("name"):
            yield f"{title(obj)} is owned by {who} with the uid of {known.key}"
        elif known.gone_at_s is not None and known.gone_at_s < informed:
            yield f"{title(obj)} was given to {who}, which is gone for long"


class Namespaces:
    """Nothing is made in a namespace that is not there; a namespace goes when it is empty."""

    name = "namespaces"
    resources = EVERYTHING

    def check(self, world: World, change: Change) -> Iterator[str]:
        if change.old is None and change.new is not None:
            namespace = namespace_of(change.new)
            if namespace and world.get(NAMESPACES, namespace) is None:
                yield f"{title(change.new)} was made in a namespace that is not there"
        if change.resource == NAMESPACES and change.new is None:
            for resource, objects in world.objects.items():
                for key, obj in objects.items():
                    if key.startswith(f"{change.key}/") and namespace_of(obj) == change.key:
                        yield f"namespace {change.key} was removed though {resource[1]} {key} is there"
                        return


class Ledgers:
    """What somebody has written into a ledger stays there: nobody overwrites a state that was not seen."""

    name = "ledgers"
    resources = (("core", "configmaps"),)

    def check(self, world: World, change: Change) -> Iterator[str]:
        if change.old is None or change.new is None or LEDGER not in labels_of(change.new):
            return
        lost = (change.old.get("data") or {}).keys() - (change.new.get("data") or {}).keys()
        if lost:
            yield f"{title(change.new)} has lost {', '.join(sorted(lost))}"


class Garbage:
    """The garbage collector deletes only what has no living owner."""

    name = "garbage"
    resources = EVERYTHING

    def check(self, world: World, change: Change) -> Iterator[str]:
        cause = change.cause
        if cause.by != "generic-garbage-collector" or cause.method != "DELETE" or change.old is None:
            return
        if is_being_deleted(change.old):
            return
        for reference in meta(change.old).get("ownerReferences") or []:
            known = world.known.get(str(reference.get("uid")))
            if known is None or known.gone_at_s is not None:
                continue
            owner = world.get(known.resource, known.key)
            if owner is not None and not (
                is_being_deleted(owner) and "foregroundDeletion" in (meta(owner).get("finalizers") or [])
            ):
                yield f"{title(change.old)} was collected though its owner {title(owner)} lives"
