"""CustomResourceDefinition: a kind that a user adds to the API.

The server installs the kind once its names are accepted, and takes it out after its last object is gone; see
`apiserver/extensions`. Here is what needs no server: defaults, validation, what create and update reset.
"""

from __future__ import annotations

from typing import Final

from sampan import effects
from sampan.api.apiextensions.validation import validate, validate_update
from sampan.api.columns import CREATED_AT, NAME
from sampan.api.kind import Kind
from sampan.api.resources import CUSTOM_RESOURCE_DEFINITIONS
from sampan.api.strategy import count_generation, ensure, keep_status, setdefault, start_generation, status_subresource
from sampan.api.warnings import custom_resources
from sampan.apimachinery.object import Object, dig

CLEANUP_FINALIZER: Final = "customresourcecleanup.apiextensions.k8s.io"
V1 = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1"


def default(obj: Object) -> None:
    """Names that follow from the kind; no conversion; webhooks on port 443."""
    spec = ensure(obj, "spec")
    names = ensure(spec, "names")
    kind = names.get("kind") or ""
    if kind and not names.get("singular"):
        names["singular"] = kind.lower()
    if kind and not names.get("listKind"):
        names["listKind"] = f"{kind}List"
    conversion = ensure(spec, "conversion")
    if not conversion.get("strategy"):
        conversion["strategy"] = "None"
    service = dig(conversion, "webhook", "clientConfig", "service")
    if service is not None:
        setdefault(service, "port", 443)


def prepare_create(obj: Object) -> None:
    obj["status"] = {"storedVersions": _storage_versions(obj), "conditions": [],
                     "acceptedNames": {"plural": "", "kind": ""}}
    start_generation(obj)
    if dig(obj, "spec", "preserveUnknownFields") is False:
        del obj["spec"]["preserveUnknownFields"]


def prepare_update(new: Object, old: Object) -> None:
    """The status stays, but a new storage version joins those in which objects may be stored."""
    keep_status(new, old)
    if dig(new, "spec", "preserveUnknownFields") is False:
        del new["spec"]["preserveUnknownFields"]
    stored = ensure(new, "status").setdefault("storedVersions", [])
    new["status"]["storedVersions"] = [*stored, *(name for name in _storage_versions(new) if name not in stored)]
    count_generation(new, old)


def _storage_versions(obj: Object) -> list[str]:
    return [str(v.get("name")) for v in dig(obj, "spec", "versions", default=()) if v.get("storage")]


def prepare_delete(obj: Object) -> None:
    """Nothing is removed before all objects of the kind are."""
    metadata = ensure(obj, "metadata")
    finalizers = metadata.get("finalizers") or []
    if CLEANUP_FINALIZER not in finalizers:
        metadata["finalizers"] = [*finalizers, CLEANUP_FINALIZER]
    set_condition(
        obj, "Terminating", "True", "InstanceDeletionPending",
        "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
    )


def set_condition(obj: Object, type: str, status: str, reason: str, message: str) -> None:
    """Set one of the status's conditions, in place; its time only moves when the status does."""
    conditions = ensure(obj, "status").get("conditions") or []
    before = next((one for one in conditions if one.get("type") == type), None)
    same = before is not None and before.get("status") == status
    condition = {
        "type": type, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": before["lastTransitionTime"] if same and before else effects.timestamp(),
    }
    if before is None:
        obj["status"]["conditions"] = [*conditions, condition]
    else:
        obj["status"]["conditions"] = [condition if one is before else one for one in conditions]


CUSTOM_RESOURCE_DEFINITION = Kind(
    resource=CUSTOM_RESOURCE_DEFINITIONS,
    definition=f"{V1}.CustomResourceDefinition",
    singular="customresourcedefinition",
    short_names=("crd", "crds"),
    categories=("api-extensions",),
    default=default,
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    prepare_delete=prepare_delete,
    validate=validate,
    validate_update=validate_update,
    warnings=custom_resources.definition,
    columns=(NAME, CREATED_AT),
    subresources=status_subresource(),
)
