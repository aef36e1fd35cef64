"""ControllerRevisions: the numbered templates of a DaemonSet or StatefulSet, for `kubectl rollout history|undo`.

A revision's data is the part of the owner that it can be set back to. The one equal to the present state is the current
one; going back to an old state gives its revision the highest number again. Revisions that an earlier owner left behind
(`kubectl delete --cascade=orphan`) are adopted as pods are, so that a new owner takes up their history. Where another
revision already has the name of a new one, the owner's collisionCount is raised, and with it the hash.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sampan.api.resources import CONTROLLER_REVISIONS
from sampan.apimachinery import selectors
from sampan.apimachinery.object import Object, annotations_of, dig, labels_of, name_of, namespace_of, uid_of
from sampan.apimachinery.resource import Resource
from sampan.controllers.ownership import claim, is_controlled_by, reference_to
from sampan.controllers.workloads.pod_template import hash_of, same_template
from sampan.reconcile.plan import Create, Delete, End, Step, Update

HASH_LABEL = "controller-revision-hash"
STATEFUL_SET_HASH_LABEL = "controller.kubernetes.io/hash"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True, slots=True)
class History:
    """The hash of the owner's present template, the steps that make its revision current, and the old revisions.

    `doubles` are of the old ones those that say the same as the current one.
    """

    hash: str
    steps: tuple[Step, ...]
    old: tuple[Object, ...]
    doubles: tuple[Object, ...] = ()


def template_data(template: Object) -> Object:
    """The data of a revision that holds a pod template."""
    return {"spec": {"template": {**template, "$patch": "replace"}}}


def history_of(owner: Object, resource: Resource, revisions: Sequence[Object]) -> History:
    """Sort `revisions`, those of `owner` and those that nobody owns, into the current one and old ones."""
    matches = selectors.from_document(dig(owner, "spec", "selector")).matches
    claimed = claim(owner, resource, CONTROLLER_REVISIONS, revisions, matches)
    wanted = template_data(owner["spec"]["template"])
    newest = max((one.get("revision", 0) for one in claimed.objects), default=0)
    current = [one for one in claimed.objects if _same(one.get("data") or {}, wanted)]
    if not current:
        created = _new(owner, resource, wanted, newest + 1)
        return History(revision_hash(created), (*claimed.steps, created_by(owner, resource, created)), claimed.objects)
    latest = max(current, key=lambda one: (one.get("revision", 0), name_of(one)))
    old = tuple(one for one in claimed.objects if uid_of(one) != uid_of(latest))
    steps = claimed.steps
    if latest.get("revision", 0) < newest and is_controlled_by(latest, owner):
        steps = (*steps, Update(CONTROLLER_REVISIONS, {**latest, "revision": newest + 1}))
    doubles = tuple(one for one in current if uid_of(one) != uid_of(latest))
    return History(revision_hash(latest), steps, old, doubles)


def revision_hash(revision: Object) -> str:
    """The hash of a DaemonSet's or a StatefulSet's revision; each has a label of its own for it.

    One that somebody else made without any is known by its name.
    """
    labels = labels_of(revision)
    return labels.get(STATEFUL_SET_HASH_LABEL) or labels.get(HASH_LABEL) or name_of(revision)


def surplus(
    old: Sequence[Object], in_use: frozenset[str], limit: int, *, counts_used: bool = False
) -> tuple[Step, ...]:
    """Delete the oldest old revisions beyond `limit` whose hash no pod has.

    `counts_used`: those that pods have are among the `limit` that are kept (as a DaemonSet does).
    """
    unused = sorted(
        (one for one in old if revision_hash(one) not in in_use), key=lambda one: one.get("revision", 0)
    )
    kept = old if counts_used else unused
    return tuple(
        Delete(CONTROLLER_REVISIONS, name_of(one), namespace_of(one), uid=uid_of(one))
        for one in unused[: max(len(kept) - limit, 0)]
    )


def _same(data: Object, wanted: Object) -> bool:
    try:
        return same_template(data["spec"]["template"], wanted["spec"]["template"])
    except (KeyError, TypeError):
        return False


def _new(owner: Object, resource: Resource, data: Object, number: int) -> Object:
    template = owner["spec"]["template"]
    digest = hash_of(template, dig(owner, "status", "collisionCount") or None)
    label = STATEFUL_SET_HASH_LABEL if resource.kind == "StatefulSet" else HASH_LABEL
    labels = {**((template.get("metadata") or {}).get("labels") or {}), label: digest}
    annotations = {key: value for key, value in annotations_of(owner).items() if key != _LAST_APPLIED}
    return {
        "apiVersion": CONTROLLER_REVISIONS.api_version, "kind": CONTROLLER_REVISIONS.kind,
        "metadata": {
            "name": f"{name_of(owner)}-{digest}", "namespace": namespace_of(owner), "labels": labels,
            "annotations": annotations, "ownerReferences": [reference_to(owner)],
        },
        "data": data, "revision": number,
    }


def created_by(owner: Object, resource: Resource, revision: Object) -> Create:
    """Create the revision; or, where its name is another's, choose another name next time."""

    def taken(existing: Object) -> tuple[Step, ...]:
        if is_controlled_by(existing, owner) and _same(existing.get("data") or {}, revision["data"]):
            return (End(),)  # ours, from before a restart; it will show soon
        collisions = int(dig(owner, "status", "collisionCount", default=0) or 0) + 1
        status = {**(owner.get("status") or {}), "collisionCount": collisions}
        return Update(resource, {**owner, "status": status}, subresource="status"), End()

    return Create(CONTROLLER_REVISIONS, revision, on_exists=taken)
