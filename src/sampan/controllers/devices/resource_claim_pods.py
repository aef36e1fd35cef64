"""Which ResourceClaims a pod has: by name, or made for it from a template.

A claim that is made from a template gets a name from the server; the pod's `status.resourceClaimStatuses` says which it
is. The claim itself says by its owner and an annotation for which entry of which pod it was made, so that after a crash
it is found again and not made twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sampan.api.resources import PODS, RESOURCE_CLAIMS
from sampan.apimachinery.object import Object, annotations_of, dig, labels_of, meta, name_of, namespace_of, uid_of
from sampan.client.events import WARNING
from sampan.controllers.ownership import is_controlled_by, reference_to
from sampan.reconcile.plan import NOTHING, Create, Note, Patch, Plan, Step

ENTRY = "resource.kubernetes.io/pod-claim-name"
CREATE = "create ResourceClaim : {error}"
"""Of a claim that has no name yet."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What is known of a pod's namespace: claims and templates by name, and the claims made for the pod."""

    claim: Callable[[str], Object | None]
    template: Callable[[str], Object | None]
    made: Sequence[Object] = ()


def names_of(pod: Object) -> list[str]:
    """The claims that the pod uses, as far as they exist."""
    known = _known(pod)
    listed = [one.get("resourceClaimName") or known.get(one["name"]) for one in entries_of(pod)]
    return [name for name in listed if name]


def used_by(pod: Object, claim: Callable[[str], Object | None]) -> list[Object]:
    """The claims that are reserved for the pod among those that it names, or that its status says were made for it.

    What was made for a pod is its own only if the pod owns it: another pod of the name may have been there before.
    """
    known = _known(pod)
    own = [known.get(one["name"]) for one in entries_of(pod) if not one.get("resourceClaimName")]
    own.append(dig(pod, "status", "extendedResourceClaimStatus", "resourceClaimName"))
    named = [claim(one["resourceClaimName"]) for one in entries_of(pod) if one.get("resourceClaimName")]
    made = [found for name in own if name and (found := claim(name)) is not None and is_controlled_by(found, pod)]
    return [found for found in (*named, *made) if found is not None and is_reserved_for(found, pod)]


def is_reserved_for(claim: Object, pod: Object) -> bool:
    return any(one.get("uid") == uid_of(pod) for one in dig(claim, "status", "reservedFor", default=()))


def entries_of(pod: Object) -> Sequence[Object]:
    return dig(pod, "spec", "resourceClaims", default=())  # type: ignore[no-any-return]


def _known(pod: Object) -> dict[str, str | None]:
    """The claims that the pod's status names, by entry."""
    listed = dig(pod, "status", "resourceClaimStatuses", default=())
    return {one["name"]: one.get("resourceClaimName") for one in listed}


def plan(pod: Object, claims: Claims) -> Plan:
    """Make the claims that the pod lacks, then write down which they are."""
    steps: list[Step] = []
    notes: list[Note] = []
    known = _known(pod)
    wanted: dict[str, str | None] = {}
    for entry in entries_of(pod):
        name, template = entry["name"], entry.get("resourceClaimTemplateName")
        if not template:
            continue
        found = _made_for(pod, name, known.get(name), claims)
        if found is not None:
            wanted[name] = name_of(found)
        elif (source := claims.template(template)) is None:
            text = f'resource claim template "{template}": resourceclaimtemplate.resource.k8s.io "{template}" not found'
            notes.append(_failed(pod, name, text))
        else:
            steps.append(Create(RESOURCE_CLAIMS, new_claim(pod, name, source), failed=_failed(pod, name, CREATE)))
    merged = {**known, **wanted}
    if not steps and merged != known:
        listed = [{"name": name, "resourceClaimName": claim} for name, claim in sorted(merged.items())]
        patch = {"metadata": {"uid": uid_of(pod)}, "status": {"resourceClaimStatuses": listed}}
        steps.append(Patch(PODS, name_of(pod), namespace_of(pod), patch, subresource="status", missing_ok=True))
    return Plan(tuple(steps), tuple(notes)) if steps or notes else NOTHING


def _made_for(pod: Object, entry: str, name: str | None, claims: Claims) -> Object | None:
    """The claim that was made for this entry of the pod."""
    found = claims.claim(name) if name else None
    if found is not None and is_controlled_by(found, pod):
        return found
    return next((one for one in claims.made if annotations_of(one).get(ENTRY) == entry), None)


def new_claim(pod: Object, entry: str, template: Object) -> Object:
    """The claim for an entry of the pod, owned by it and gone with it."""
    source = dig(template, "spec", "metadata", default={})
    owner = {**reference_to({"apiVersion": "v1", "kind": "Pod", **pod})}
    metadata: Object = {
        "generateName": f"{name_of(pod)}-{entry}-", "namespace": namespace_of(pod), "ownerReferences": [owner],
        "annotations": {**(source.get("annotations") or {}), ENTRY: entry},
    }
    if labels := labels_of({"metadata": source}):
        metadata["labels"] = dict(labels)
    return {
        "apiVersion": RESOURCE_CLAIMS.api_version, "kind": RESOURCE_CLAIMS.kind, "metadata": metadata,
        "spec": dig(template, "spec", "spec", default={}),
    }


def _failed(pod: Object, entry: str, why: str) -> Note:
    return Note(pod, WARNING, "FailedResourceClaimCreation", f"PodResourceClaim {entry}: {why}")


def owning_pod(claim: Object) -> tuple[str, str]:
    """Name and uid of the pod that the claim was made for; empty if it was not made for one."""
    for owner in meta(claim).get("ownerReferences") or ():
        if owner.get("controller") and owner.get("kind") == "Pod" and owner.get("apiVersion") == "v1":
            return str(owner["name"]), str(owner["uid"])
    return "", ""
