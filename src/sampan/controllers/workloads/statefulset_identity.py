"""Who the pods of a StatefulSet are: their ordinals, names, host names, and the claims that are theirs for good.

Pod N of the set `web` is `web-N`, whenever and wherever it runs; the claim that it gets from the volumeClaimTemplate
`data` is `data-web-N`. Claims are not owned by the set, so they outlive pods; `persistentVolumeClaimRetentionPolicy`
may give them an owner after all: the set (deleted with it), or the pod that is about to be scaled away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sampan.api.resources import PERSISTENT_VOLUME_CLAIMS, PODS
from sampan.apimachinery.object import (
    Object,
    dig,
    is_being_deleted,
    labels_of,
    meta,
    name_of,
    namespace_of,
    uid_of,
)
from sampan.client.events import NORMAL, WARNING
from sampan.controllers.ownership import reference_to
from sampan.controllers.workloads import pod_template
from sampan.controllers.workloads.revision_history import HASH_LABEL
from sampan.reconcile.plan import Create, Note, Patch, Update

POD_NAME_LABEL = "statefulset.kubernetes.io/pod-name"
POD_INDEX_LABEL = "apps.kubernetes.io/pod-index"


def start_ordinal(owner: Object) -> int:
    return int(dig(owner, "spec", "ordinals", "start", default=0))


def ordinals(owner: Object) -> range:
    """The ordinals that the set should have."""
    start = start_ordinal(owner)
    return range(start, start + int(dig(owner, "spec", "replicas", default=1)))


def ordinal_of(owner: Object, pod: Object) -> int | None:
    """The pod's ordinal, None if its name is not one of this set's."""
    parent, _, number = name_of(pod).rpartition("-")
    return int(number) if parent == name_of(owner) and number.isascii() and number.isdigit() else None


def pod_name(owner: Object, ordinal: int) -> str:
    return f"{name_of(owner)}-{ordinal}"


def claim_name(owner: Object, template: Object, ordinal: int) -> str:
    return f"{name_of(template)}-{name_of(owner)}-{ordinal}"


def identity_labels(owner: Object, ordinal: int) -> dict[str, str]:
    return {POD_NAME_LABEL: pod_name(owner, ordinal), POD_INDEX_LABEL: str(ordinal)}


def new_pod(owner: Object, template: Object, revision: str, ordinal: int) -> Create:
    """Pod `ordinal` made from `template`, which is that of the revision."""
    pod = pod_template.pod_from(template, owner)
    name = pod_name(owner, ordinal)
    metadata = {key: value for key, value in pod["metadata"].items() if key != "generateName"}
    metadata["name"] = name
    metadata["labels"] = {**(metadata.get("labels") or {}), **identity_labels(owner, ordinal), HASH_LABEL: revision}
    spec = {**pod["spec"], "hostname": name}
    if service := dig(owner, "spec", "serviceName"):
        spec["subdomain"] = service
    volumes: list[Object] = [
        {"name": name_of(one), "persistentVolumeClaim": {"claimName": claim_name(owner, one, ordinal)}}
        for one in claim_templates(owner)
    ]
    claimed = {one["name"] for one in volumes}
    volumes += [one for one in spec.get("volumes") or () if one.get("name") not in claimed]
    if volumes:
        spec["volumes"] = volumes
    text = f"Pod {name} in StatefulSet {name_of(owner)}"
    return Create(
        PODS, {**pod, "metadata": metadata, "spec": spec},
        created=Note(owner, NORMAL, "SuccessfulCreate", f"create {text} successful"),
        failed=Note(owner, WARNING, "FailedCreate", f"create {text} failed error: {{error}}"),
    )


def identity_repair(owner: Object, pod: Object, ordinal: int) -> Patch | None:
    """Gives the pod the labels of its identity, if it lacks them."""
    wanted = identity_labels(owner, ordinal)
    if wanted.items() <= labels_of(pod).items():
        return None
    text = f"update Pod {name_of(pod)} in StatefulSet {name_of(owner)}"
    return Patch(
        PODS, name_of(pod), namespace_of(pod), {"metadata": {"uid": uid_of(pod), "labels": wanted}}, "merge",
        done=Note(owner, NORMAL, "SuccessfulUpdate", f"{text} successful"),
        failed=Note(owner, WARNING, "FailedUpdate", f"{text} failed error: {{error}}"),
    )


def claim_templates(owner: Object) -> Sequence[Object]:
    return dig(owner, "spec", "volumeClaimTemplates", default=())  # type: ignore[no-any-return]


def missing_claims(owner: Object, claims: Mapping[str, Object], ordinal: int) -> list[Create]:
    """The claims that pod `ordinal` needs and that do not exist (`claims` by name)."""
    found = []
    for template in claim_templates(owner):
        name = claim_name(owner, template, ordinal)
        if name in claims:
            continue
        text = f"Pod {pod_name(owner, ordinal)} in StatefulSet {name_of(owner)}"
        found.append(Create(
            PERSISTENT_VOLUME_CLAIMS, _new_claim(owner, template, name), on_exists=lambda existing: (),
            created=Note(owner, NORMAL, "SuccessfulCreate", f"create Claim {name} {text} success"),
            failed=Note(owner, WARNING, "FailedCreate", f"create Claim {name} for {text} failed error: {{error}}"),
        ))
    return found


def has_stale_claim(owner: Object, claims: Mapping[str, Object], ordinal: int) -> bool:
    """A claim that still belongs to an earlier pod of the name, with which it will be deleted."""
    mine = (claims.get(claim_name(owner, template, ordinal)) for template in claim_templates(owner))
    return any(
        reference.get("kind") == "Pod" and reference.get("name") == pod_name(owner, ordinal)
        for claim in mine if claim is not None for reference in meta(claim).get("ownerReferences") or ()
    )


def claims_being_deleted(owner: Object, claims: Mapping[str, Object], ordinal: int) -> Note | None:
    """Why pod `ordinal` cannot be made yet: claims that go would hold it, and it them."""
    names = [claim_name(owner, template, ordinal) for template in claim_templates(owner)]
    going = [f"pvc {name} is being deleted" for name in names if name in claims and is_being_deleted(claims[name])]
    if not going:
        return None
    reason = going[0] if len(going) == 1 else f"[{', '.join(going)}]"
    text = f"create Pod {pod_name(owner, ordinal)} in StatefulSet {name_of(owner)} failed error: {reason}"
    return Note(owner, WARNING, "FailedCreate", text)


def conflicting_controllers(owner: Object, claims: Mapping[str, Object], ordinal: int) -> list[Note]:
    """Of claims of pod `ordinal` that somebody else controls, so that the retention policy cannot hold."""
    if not {"Delete"} & set(dig(owner, "spec", "persistentVolumeClaimRetentionPolicy", default={}).values()):
        return []
    names = [claim_name(owner, template, ordinal) for template in claim_templates(owner)]
    return [
        _conflict(owner, name) for name in names
        if name in claims and any(
            one.get("controller") for one in _references_of_others(owner, pod_name(owner, ordinal), claims[name])
        )
    ]


def _conflict(owner: Object, claim: str) -> Note:
    return Note(
        owner, WARNING, "ConflictingController",
        f"PersistentVolumeClaim {claim} has a conflicting OwnerReference that acts as a manging controller, "
        "the retention policy is ignored for this claim",
    )


def _references_of_others(owner: Object, pod: str, claim: Object) -> list[Object]:
    ours = {(owner["apiVersion"], owner["kind"], name_of(owner)), ("v1", "Pod", pod)}
    references = meta(claim).get("ownerReferences") or ()
    return [one for one in references if (one.get("apiVersion"), one.get("kind"), one.get("name")) not in ours]


def retention_updates(
    owner: Object, claims: Mapping[str, Object], ordinal: int, pod: Object, *, scaled_down: bool
) -> list[Update]:
    """Give the claims of a pod the owners that the retention policy asks for, and no others of ours.

    A claim that belongs to a former set or pod of the name is left to the garbage collector; one that somebody else
    controls loses ours.
    """
    found = []
    for template in claim_templates(owner):
        claim = claims.get(claim_name(owner, template, ordinal))
        if claim is None or is_being_deleted(claim):
            continue
        others = _references_of_others(owner, name_of(pod), claim)
        ours = [one for one in meta(claim).get("ownerReferences") or () if one not in others]
        if any(one.get("uid") not in (uid_of(owner), uid_of(pod)) for one in ours):
            continue
        wanted = _owner_of_claim(owner, pod, scaled_down=scaled_down)
        conflict = any(one.get("controller") for one in others)
        after = [reference_to(wanted)] if wanted is not None and not conflict else []
        if _controllers(after) != _controllers(ours):
            metadata = {**meta(claim), "ownerReferences": [*others, *after]}
            text = f"update Pod {name_of(pod)} in StatefulSet {name_of(owner)}"
            done = Note(owner, NORMAL, "SuccessfulUpdate", f"{text} successful")
            found.append(Update(
                PERSISTENT_VOLUME_CLAIMS, {**claim, "metadata": metadata},
                done=_conflict(owner, name_of(claim)) if conflict and wanted is not None else done,
                failed=Note(owner, WARNING, "FailedUpdate", f"{text} failed error: {{error}}"),
            ))
    return found


def _controllers(references: Sequence[Object]) -> list[tuple[str, bool]]:
    return [(one.get("uid", ""), bool(one.get("controller"))) for one in references]


def _owner_of_claim(owner: Object, pod: Object, *, scaled_down: bool) -> Object | None:
    policy = dig(owner, "spec", "persistentVolumeClaimRetentionPolicy", default={})
    if scaled_down and policy.get("whenScaled") == "Delete":
        return {"apiVersion": "v1", "kind": "Pod", **pod}
    return owner if policy.get("whenDeleted") == "Delete" else None


def _new_claim(owner: Object, template: Object, name: str) -> Object:
    source = meta(template)
    selected = dig(owner, "spec", "selector", "matchLabels", default={})
    metadata: Object = {
        "name": name, "namespace": namespace_of(owner), "labels": {**(source.get("labels") or {}), **selected},
    }
    if source.get("annotations"):
        metadata["annotations"] = source["annotations"]
    policy = dig(owner, "spec", "persistentVolumeClaimRetentionPolicy", default={})
    if policy.get("whenDeleted") == "Delete":
        metadata["ownerReferences"] = [reference_to(owner)]
    return {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": template.get("spec") or {},
    }
