"""A Deployment's revisions: which of its ReplicaSets is the new one, what a new one looks like, and which to forget.

The new ReplicaSet is the oldest whose template equals the Deployment's but for the hash label. Revisions are numbers in
annotations; going back to an old template makes its ReplicaSet the new one again, with the highest number, and its
former numbers in its history. Annotations are those that upstream writes, so `kubectl rollout history|undo` understand
them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sampan.api.resources import REPLICA_SETS
from sampan.apimachinery.object import (
    Object,
    annotations_of,
    dig,
    is_being_deleted,
    labels_of,
    meta,
    name_of,
    namespace_of,
    uid_of,
)
from sampan.controllers.ownership import reference_to
from sampan.controllers.workloads.pod_template import HASH_LABEL, hash_of, same_template
from sampan.reconcile.plan import Delete, Step

REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAX = "deployment.kubernetes.io/max-replicas"
ROLLBACK_TO = "deprecated.deployment.rollback.to"
HISTORY_LIMIT_CHARS = 2000
NO_LIMIT = 2**31 - 1
_NOT_COPIED = frozenset({
    "kubectl.kubernetes.io/last-applied-configuration", REVISION, REVISION_HISTORY, DESIRED, MAX,
    ROLLBACK_TO,
})


def copied(annotation: str) -> bool:
    """Whether a Deployment and its ReplicaSets have the annotation in common."""
    return annotation not in _NOT_COPIED


def by_age(sets: Iterable[Object]) -> list[Object]:
    """Oldest first."""
    return sorted(sets, key=lambda rs: (meta(rs).get("creationTimestamp") or "", name_of(rs)))


def split(deployment: Object, sets: Sequence[Object]) -> tuple[Object | None, tuple[Object, ...]]:
    """The new ReplicaSet, if there is one, and the old ones, oldest first."""
    template = dig(deployment, "spec", "template", default={})
    new = next((rs for rs in by_age(sets) if same_template(dig(rs, "spec", "template", default={}), template)), None)
    return new, tuple(rs for rs in by_age(sets) if new is None or uid_of(rs) != uid_of(new))


def revision_of(obj: Object) -> int:
    text = annotations_of(obj).get(REVISION, "0")
    return int(text) if text.isdigit() else 0


def next_revision(old: Iterable[Object]) -> int:
    return max(map(revision_of, old), default=0) + 1


def with_revision(new: Object, deployment: Object, old: Iterable[Object]) -> Object:
    """The new ReplicaSet with the annotations and minReadySeconds it should have; the same object if it has them."""
    annotations = dict(annotations_of(new))
    annotations |= {k: v for k, v in annotations_of(deployment).items() if k not in _NOT_COPIED}
    former, revision = revision_of(new), next_revision(old)
    if former < revision:
        annotations[REVISION] = str(revision)
        if annotations_of(new).get(REVISION):
            annotations[REVISION_HISTORY] = _history(annotations.get(REVISION_HISTORY, ""), former)
    min_ready_s = dig(deployment, "spec", "minReadySeconds", default=0)
    same_wait = dig(new, "spec", "minReadySeconds", default=0) == min_ready_s
    if annotations == annotations_of(new) and same_wait:
        return new
    spec = new["spec"] if same_wait else {**new["spec"], "minReadySeconds": min_ready_s}
    return {**new, "metadata": {**new["metadata"], "annotations": annotations}, "spec": spec}


def _history(history: str, former: int) -> str:
    entries = [*filter(None, history.split(",")), str(former)]
    while len(",".join(entries)) > HISTORY_LIMIT_CHARS and len(entries) > 1:
        entries.pop(0)
    return ",".join(entries)


def new_replica_set(deployment: Object, old: Iterable[Object], replicas: int, max_replicas: int) -> Object:
    """The ReplicaSet for the Deployment's present template, `replicas` large to begin with."""
    spec = deployment["spec"]
    template = spec["template"]
    template_hash = hash_of(template, dig(deployment, "status", "collisionCount"))
    metadata = template.get("metadata") or {}
    labels = {**(metadata.get("labels") or {}), HASH_LABEL: template_hash}
    selector = spec.get("selector") or {}
    annotations = {k: v for k, v in annotations_of(deployment).items() if k not in _NOT_COPIED}
    annotations |= {
        REVISION: str(next_revision(old)), DESIRED: str(spec.get("replicas", 1)), MAX: str(max_replicas),
    }
    new_spec: Object = {
        "replicas": replicas,
        "selector": {**selector, "matchLabels": {**(selector.get("matchLabels") or {}), HASH_LABEL: template_hash}},
        "template": {**template, "metadata": {**metadata, "labels": labels}},
    }
    if spec.get("minReadySeconds"):
        new_spec["minReadySeconds"] = spec["minReadySeconds"]
    return {
        "apiVersion": REPLICA_SETS.api_version, "kind": REPLICA_SETS.kind,
        "metadata": {
            "name": f"{name_of(deployment)}-{template_hash}", "namespace": namespace_of(deployment),
            "labels": labels, "annotations": annotations, "ownerReferences": [reference_to(deployment)],
        },
        "spec": new_spec,
    }


def is_the_same_set(existing: Object, deployment: Object) -> bool:
    """Whether a ReplicaSet that was found under the new one's name is just that: ours, with our template."""
    owners = meta(existing).get("ownerReferences") or []
    ours = any(owner.get("uid") == uid_of(deployment) and owner.get("controller") for owner in owners)
    return ours and same_template(
        dig(existing, "spec", "template", default={}), dig(deployment, "spec", "template", default={})
    )


def forget_history(deployment: Object, old: Sequence[Object]) -> tuple[Step, ...]:
    """Delete the oldest old ReplicaSets beyond `spec.revisionHistoryLimit` that have no pods."""
    limit = dig(deployment, "spec", "revisionHistoryLimit")
    if limit is None or limit == NO_LIMIT:
        return ()
    there = sorted((rs for rs in by_age(old) if not is_being_deleted(rs)), key=revision_of)
    surplus = there[: max(len(there) - int(limit), 0)]
    return tuple(
        Delete(REPLICA_SETS, name_of(rs), namespace_of(rs), uid=uid_of(rs)) for rs in surplus if _is_empty(rs)
    )


def _is_empty(rs: Object) -> bool:
    status = rs.get("status") or {}
    observed = status.get("observedGeneration", 0) >= meta(rs).get("generation", 0)
    return observed and not status.get("replicas") and not dig(rs, "spec", "replicas", default=0)


def hash_label_of(rs: Object) -> str:
    return labels_of(rs).get(HASH_LABEL, "")
