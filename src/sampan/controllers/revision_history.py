"""ControllerRevisions: the numbered templates of a DaemonSet or StatefulSet, for `kubectl rollout history|undo`.

A revision's data is the part of the owner that it can be set back to. The one equal to the present state is the current
one; going back to an old state gives its revision the highest number again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sampan.api.resources import CONTROLLER_REVISIONS
from sampan.apimachinery.object import Object, annotations_of, labels_of, name_of, namespace_of, uid_of
from sampan.controllers.ownership import reference_to
from sampan.controllers.pod_template import hash_of, same_template
from sampan.reconcile.plan import Create, Delete, Step, Update

HASH_LABEL = "controller-revision-hash"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True, slots=True)
class History:
    """The hash of the owner's present template, the steps that make its revision current, and the old revisions."""

    hash: str
    steps: tuple[Step, ...]
    old: tuple[Object, ...]


def template_data(template: Object) -> Object:
    """The data of a revision that holds a pod template."""
    return {"spec": {"template": {**template, "$patch": "replace"}}}


def history_of(owner: Object, revisions: Sequence[Object], collision_count: int | None = None) -> History:
    """Sort `revisions` of `owner` into the current one and old ones."""
    template = owner["spec"]["template"]
    wanted = template_data(template)
    newest = max((one.get("revision", 0) for one in revisions), default=0)
    current = [one for one in revisions if _same(one.get("data") or {}, wanted)]
    if not current:
        created = _new(owner, wanted, newest + 1, collision_count)
        return History(labels_of(created)[HASH_LABEL], (_creation(created),), tuple(revisions))
    latest = max(current, key=lambda one: (one.get("revision", 0), name_of(one)))
    old = tuple(one for one in revisions if uid_of(one) != uid_of(latest))
    steps: tuple[Step, ...] = ()
    if latest.get("revision", 0) < newest:
        steps = (Update(CONTROLLER_REVISIONS, {**latest, "revision": newest + 1}),)
    return History(labels_of(latest).get(HASH_LABEL, ""), steps, old)


def surplus(old: Iterable[Object], in_use: frozenset[str], limit: int) -> tuple[Step, ...]:
    """Delete the oldest old revisions beyond `limit` whose hash no pod has."""
    unused = sorted(
        (one for one in old if labels_of(one).get(HASH_LABEL) not in in_use), key=lambda one: one.get("revision", 0)
    )
    return tuple(
        Delete(CONTROLLER_REVISIONS, name_of(one), namespace_of(one), uid=uid_of(one))
        for one in unused[: max(len(unused) - limit, 0)]
    )


def _same(data: Object, wanted: Object) -> bool:
    try:
        return same_template(data["spec"]["template"], wanted["spec"]["template"])
    except (KeyError, TypeError):
        return False


def _new(owner: Object, data: Object, number: int, collision_count: int | None) -> Object:
    template = owner["spec"]["template"]
    digest = hash_of(template, collision_count)
    labels = {**((template.get("metadata") or {}).get("labels") or {}), HASH_LABEL: digest}
    annotations = {key: value for key, value in annotations_of(owner).items() if key != _LAST_APPLIED}
    return {
        "apiVersion": CONTROLLER_REVISIONS.api_version, "kind": CONTROLLER_REVISIONS.kind,
        "metadata": {
            "name": f"{name_of(owner)}-{digest}", "namespace": namespace_of(owner), "labels": labels,
            "annotations": annotations, "ownerReferences": [reference_to(owner)],
        },
        "data": data, "revision": number,
    }


def _creation(revision: Object) -> Create:
    return Create(CONTROLLER_REVISIONS, revision, exists_ok=True)
