"""PersistentVolume: a piece of storage, and the claim that has it."""

from __future__ import annotations

from datetime import datetime

from sampan import effects
from sampan.api.columns import AGE, NAME, UNSET, at
from sampan.api.core.node_affinity import validate_node_selector
from sampan.api.core.resource_lists import canonicalise, parse
from sampan.api.core.volume_defaults import default_volume_source
from sampan.api.core.volumes import validate_source
from sampan.api.kind import Column, Kind
from sampan.api.resources import PERSISTENT_VOLUMES
from sampan.api.strategy import ensure, keep_all_but_status, keep_status, setdefault, status_subresource
from sampan.api.warnings import volumes
from sampan.apimachinery.field import FieldError, Path, forbidden, invalid, not_supported, required
from sampan.apimachinery.names import dns1123_subdomain
from sampan.apimachinery.object import Object, dig, is_being_deleted

ACCESS_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
VOLUME_MODES = ("Block", "Filesystem")
_RECLAIM = ("Delete", "Recycle", "Retain")
_NOT_SOURCES = frozenset({
    "accessModes", "capacity", "claimRef", "mountOptions", "nodeAffinity", "persistentVolumeReclaimPolicy",
    "storageClassName", "volumeAttributesClassName", "volumeMode",
})


_BETA_CLASS = "volume.beta.kubernetes.io/storage-class"


def default(obj: Object) -> None:
    spec = ensure(obj, "spec")
    if not spec.get("persistentVolumeReclaimPolicy"):
        spec["persistentVolumeReclaimPolicy"] = "Retain"
    setdefault(spec, "volumeMode", "Filesystem")
    canonicalise(spec.get("capacity"))
    default_volume_source(spec)
    status = ensure(obj, "status")
    if not status.get("phase"):
        status["phase"] = "Pending"


def prepare_create(obj: Object) -> None:
    obj["status"] = {"phase": "Pending", "lastPhaseTransitionTime": effects.timestamp()}


def prepare_status(new: Object, old: Object) -> None:
    """A new phase has its time, unless whoever wrote it gave it one."""
    keep_all_but_status(new, old)
    before, after = old.get("status") or {}, ensure(new, "status")
    if after.get("phase") == before.get("phase"):
        return
    if after.get("lastPhaseTransitionTime") in (None, before.get("lastPhaseTransitionTime")):
        after["lastPhaseTransitionTime"] = effects.timestamp()


def _source(spec: Object) -> Object:
    return {key: value for key, value in spec.items() if key not in _NOT_SOURCES}


def validate_access_modes(modes: list[str], path: Path) -> list[FieldError]:
    """At least one known mode; ReadWriteOncePod stands alone."""
    if not modes:
        return [required(path)]
    errors = [not_supported(path, mode, ACCESS_MODES) for mode in modes if mode not in ACCESS_MODES]
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        errors.append(forbidden(path, "may not use ReadWriteOncePod with other access modes"))
    return errors


def validate(obj: Object) -> list[FieldError]:
    spec, path = obj.get("spec") or {}, Path("spec")
    errors = validate_access_modes(spec.get("accessModes") or [], path.child("accessModes"))
    capacity = spec.get("capacity") or {}
    if not capacity:
        errors.append(required(path.child("capacity")))
    elif "storage" not in capacity or len(capacity) > 1:
        errors.append(not_supported(path.child("capacity"), capacity, ("storage",)))
    for name, value in capacity.items():
        amount = parse(value)
        if amount is not None and amount.sign() <= 0:
            errors.append(invalid(path.child("capacity").key(name), str(amount), "must be greater than zero"))
    policy = spec.get("persistentVolumeReclaimPolicy") or ""
    if policy and policy not in _RECLAIM:
        errors.append(not_supported(path.child("persistentVolumeReclaimPolicy"), policy, _RECLAIM))
    affinity = dig(spec, "nodeAffinity", "required")
    if affinity is not None:
        errors += validate_node_selector(affinity, path.child("nodeAffinity", "required"))
    elif spec.get("nodeAffinity") is not None:
        errors.append(required(path.child("nodeAffinity", "required"), "must specify required node constraints"))
    errors += _volume(spec, path)
    return errors + _class(spec, path)


def _volume(spec: Object, path: Path) -> list[FieldError]:
    source = _source(spec)
    local = source.get("local")
    errors = validate_source(source, path)
    if local is not None:
        if not local.get("path"):
            errors.append(required(path.child("local", "path")))
        if dig(spec, "nodeAffinity", "required") is None:
            errors.append(required(path.child("nodeAffinity"), "Local volume requires node affinity"))
    if dig(source, "hostPath", "path") == "/" and spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        errors.append(forbidden(path.child("persistentVolumeReclaimPolicy"),
                                "may not be 'recycle' for a hostPath mount of '/'"))
    if source.get("csi") is not None and not source["csi"].get("volumeHandle"):
        errors.append(required(path.child("csi", "volumeHandle")))
    return errors


def _class(spec: Object, path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    name, mode = spec.get("storageClassName") or "", spec.get("volumeMode")
    if name:
        errors += [invalid(path.child("storageClassName"), name, why) for why in dns1123_subdomain(name)]
    if mode is not None and mode not in VOLUME_MODES:
        errors.append(not_supported(path.child("volumeMode"), mode, VOLUME_MODES))
    return errors


def validate_update(new: Object, old: Object) -> list[FieldError]:
    after, before, path = new.get("spec") or {}, old.get("spec") or {}, Path("spec")
    errors: list[FieldError] = []
    if _source(after) != _source(before):
        errors.append(forbidden(path.child("persistentvolumesource"),
                                "spec.persistentvolumesource is immutable after creation"))
    if after.get("volumeMode") != before.get("volumeMode"):
        errors.append(invalid(path.child("volumeMode"), after.get("volumeMode"), "field is immutable"))
    return errors


def status_text(obj: Object, now: datetime) -> str:
    return "Terminating" if is_being_deleted(obj) else str(dig(obj, "status", "phase", default=""))


def access_modes_text(modes: list[str] | None) -> str:
    """`RWO,ROX` in upstream's order, each once."""
    return ",".join(short for mode, short in ACCESS_MODES.items() if mode in (modes or ()))


def claim_text(obj: Object, now: datetime) -> str:
    claim = dig(obj, "spec", "claimRef")
    return f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else ""


def class_text(obj: Object, now: datetime) -> str:
    """Of a volume or a claim: an annotation of long ago comes first."""
    annotations = dig(obj, "metadata", "annotations", default={})
    return str(annotations.get(_BETA_CLASS, dig(obj, "spec", "storageClassName", default="")))


PERSISTENT_VOLUME = Kind(
    resource=PERSISTENT_VOLUMES,
    definition="io.k8s.api.core.v1.PersistentVolume",
    singular="persistentvolume",
    short_names=("pv",),
    default=default,
    prepare_create=prepare_create,
    prepare_update=keep_status,
    validate=validate,
    validate_update=validate_update,
    warnings=volumes.persistent_volume,
    columns=(
        NAME,
        Column("Capacity", "string", at("spec", "capacity", "storage", default="0"),
               doc="core.v1.PersistentVolumeSpec#capacity"),
        Column("Access Modes", "string", lambda obj, now: access_modes_text(dig(obj, "spec", "accessModes")),
               doc="core.v1.PersistentVolumeSpec#accessModes"),
        Column("Reclaim Policy", "string", at("spec", "persistentVolumeReclaimPolicy"),
               doc="core.v1.PersistentVolumeSpec#persistentVolumeReclaimPolicy"),
        Column("Status", "string", status_text, doc="core.v1.PersistentVolumeStatus#phase"),
        Column("Claim", "string", claim_text, doc="core.v1.PersistentVolumeSpec#claimRef"),
        Column("StorageClass", "string", class_text, "StorageClass of the pv"),
        Column("VolumeAttributesClass", "string", at("spec", "volumeAttributesClassName", default=UNSET),
               "VolumeAttributesClass of the pv"),
        Column("Reason", "string", at("status", "reason"), doc="core.v1.PersistentVolumeStatus#reason"),
        AGE,
        Column("VolumeMode", "string", at("spec", "volumeMode", default=UNSET),
               doc="core.v1.PersistentVolumeSpec#volumeMode", priority=1),
    ),
    subresources=status_subresource(prepare_update=prepare_status),
)
