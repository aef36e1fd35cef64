"""PersistentVolumeClaim: a request for storage."""

from __future__ import annotations

from datetime import datetime

from sampan.api.columns import AGE, NAME, UNSET, at
from sampan.api.core.persistentvolume import (
    VOLUME_MODES,
    access_modes_text,
    class_text,
    status_text,
    validate_access_modes,
)
from sampan.api.core.resource_lists import parse
from sampan.api.core.volume_defaults import default_claim_spec
from sampan.api.kind import Column, Kind
from sampan.api.resources import PERSISTENT_VOLUME_CLAIMS
from sampan.api.selector_rules import validate_label_selector
from sampan.api.strategy import ensure, keep_status, status_subresource
from sampan.api.warnings import volumes
from sampan.apimachinery.field import FieldError, Path, forbidden, invalid, not_supported, required
from sampan.apimachinery.names import dns1123_subdomain
from sampan.apimachinery.object import Object, dig


def default(obj: Object) -> None:
    spec = ensure(obj, "spec")
    default_claim_spec(spec)
    if spec.get("dataSource") is not None and spec.get("dataSourceRef") is None:
        spec["dataSourceRef"] = dict(spec["dataSource"])
    elif spec.get("dataSource") is None and _is_local_source(spec.get("dataSourceRef")):
        spec["dataSource"] = {key: value for key, value in spec["dataSourceRef"].items() if key != "namespace"}
    status = ensure(obj, "status")
    if not status.get("phase"):
        status["phase"] = "Pending"


def _is_local_source(reference: Object | None) -> bool:
    """Only claims and snapshots in the same namespace fit into the older field."""
    if not reference or reference.get("namespace"):
        return False
    pair = (reference.get("apiGroup") or "", reference.get("kind"))
    return pair in (("", "PersistentVolumeClaim"), ("snapshot.storage.k8s.io", "VolumeSnapshot"))


def prepare_create(obj: Object) -> None:
    obj["status"] = {"phase": "Pending"}


def validate(obj: Object) -> list[FieldError]:
    spec, path = obj.get("spec") or {}, Path("spec")
    errors = validate_access_modes(spec.get("accessModes") or [], path.child("accessModes"))
    if not spec.get("accessModes"):
        errors = [required(path.child("accessModes"), "at least 1 access mode is required")]
    errors += validate_label_selector(spec.get("selector"), path.child("selector"))
    storage = dig(spec, "resources", "requests", "storage")
    if storage is None:
        errors.append(required(path.child("resources").key("storage")))
    else:
        amount = parse(storage)
        if amount is not None and amount.sign() <= 0:
            errors.append(invalid(path.child("resources").key("storage"), str(amount), "must be greater than zero"))
    name, mode = spec.get("storageClassName") or "", spec.get("volumeMode")
    if name:
        errors += [invalid(path.child("storageClassName"), name, why) for why in dns1123_subdomain(name)]
    if mode is not None and mode not in VOLUME_MODES:
        errors.append(not_supported(path.child("volumeMode"), mode, VOLUME_MODES))
    return errors


def validate_update(new: Object, old: Object) -> list[FieldError]:
    """A claim may get its volume and, once bound, ask for more space; it is otherwise settled."""
    after, before, path = dict(new.get("spec") or {}), dict(old.get("spec") or {}), Path("spec")
    if not before.get("volumeName"):
        before["volumeName"] = after.get("volumeName")
    if before.get("storageClassName") is None and after.get("storageClassName"):
        before["storageClassName"] = after["storageClassName"]
    errors: list[FieldError] = []
    if dig(old, "status", "phase") == "Bound":
        wanted, had = dig(after, "resources", "requests", "storage"), dig(before, "resources", "requests", "storage")
        asked, kept = parse(wanted), parse(had)
        floor = parse(dig(old, "status", "capacity", "storage"))
        if asked is not None and kept is not None and asked < kept and (floor is None or asked <= floor):
            errors.append(forbidden(path.child("resources", "requests", "storage"),
                                    "field can not be less than status.capacity"))
        before["resources"] = after.get("resources")
    for key in ("volumeAttributesClassName",):
        before[key] = after.get(key)
    if {key: value for key, value in after.items() if value} != {key: value for key, value in before.items() if value}:
        errors.append(forbidden(path, "spec is immutable after creation except resources.requests and "
                                      "volumeAttributesClassName for bound claims"))
    return errors


def capacity_text(obj: Object, now: datetime) -> str:
    return str(dig(obj, "status", "capacity", "storage", default="0")) if dig(obj, "spec", "volumeName") else ""


def modes_text(obj: Object, now: datetime) -> str:
    return access_modes_text(dig(obj, "status", "accessModes")) if dig(obj, "spec", "volumeName") else ""


PERSISTENT_VOLUME_CLAIM = Kind(
    resource=PERSISTENT_VOLUME_CLAIMS,
    definition="io.k8s.api.core.v1.PersistentVolumeClaim",
    singular="persistentvolumeclaim",
    short_names=("pvc",),
    default=default,
    prepare_create=prepare_create,
    prepare_update=keep_status,
    validate=validate,
    validate_update=validate_update,
    warnings=volumes.claim,
    columns=(
        NAME,
        Column("Status", "string", status_text, doc="core.v1.PersistentVolumeClaimStatus#phase"),
        Column("Volume", "string", at("spec", "volumeName"), doc="core.v1.PersistentVolumeClaimSpec#volumeName"),
        Column("Capacity", "string", capacity_text, doc="core.v1.PersistentVolumeClaimStatus#capacity"),
        Column("Access Modes", "string", modes_text, doc="core.v1.PersistentVolumeClaimStatus#accessModes"),
        Column("StorageClass", "string", class_text, "StorageClass of the pvc"),
        Column("VolumeAttributesClass", "string", at("spec", "volumeAttributesClassName", default=UNSET),
               "VolumeAttributesClass of the pvc"),
        AGE,
        Column("VolumeMode", "string", at("spec", "volumeMode", default=UNSET),
               doc="core.v1.PersistentVolumeClaimSpec#volumeMode", priority=1),
    ),
    subresources=status_subresource(),
)
