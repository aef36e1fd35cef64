"""StorageClass: how volumes of one kind are made, and what becomes of them."""

from __future__ import annotations

from datetime import datetime

from sampan.api.columns import AGE, NAME, at
from sampan.api.kind import Column, Kind
from sampan.api.resources import STORAGE_CLASSES
from sampan.api.strategy import setdefault
from sampan.api.warnings import node_labels
from sampan.apimachinery.field import FieldError, Path, forbidden, not_supported, required
from sampan.apimachinery.object import Object, annotations_of, name_of

IS_DEFAULT = "storageclass.kubernetes.io/is-default-class"
_RECLAIM = ("Delete", "Retain")
_BINDING = ("Immediate", "WaitForFirstConsumer")


def is_default(obj: Object) -> bool:
    annotations = annotations_of(obj)
    return "true" in (annotations.get(IS_DEFAULT), annotations.get("storageclass.beta.kubernetes.io/is-default-class"))


def default(obj: Object) -> None:
    setdefault(obj, "reclaimPolicy", "Delete")
    setdefault(obj, "volumeBindingMode", "Immediate")


def validate(obj: Object) -> list[FieldError]:
    errors = []
    if not obj.get("provisioner"):
        errors.append(required(Path("provisioner")))
    parameters = obj.get("parameters") or {}
    if any(not key for key in parameters):
        errors.append(required(Path("parameters"), "field can not be empty."))
    if obj.get("reclaimPolicy") not in (None, *_RECLAIM):
        errors.append(not_supported(Path("reclaimPolicy"), obj["reclaimPolicy"], _RECLAIM))
    mode = obj.get("volumeBindingMode")
    if mode is None:
        errors.append(required(Path("volumeBindingMode")))
    elif mode not in _BINDING:
        errors.append(not_supported(Path("volumeBindingMode"), mode, _BINDING))
    return errors


def validate_update(new: Object, old: Object) -> list[FieldError]:
    errors = []
    for key in ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"):
        if (new.get(key) or None) != (old.get(key) or None):
            detail = "updates to %s are forbidden." % ("parameters" if key == "parameters" else key)
            errors.append(forbidden(Path(key), detail))
    return errors


def name_text(obj: Object, now: datetime) -> str:
    return f"{name_of(obj)} (default)" if is_default(obj) else name_of(obj)


def expansion(obj: Object, now: datetime) -> bool:
    return bool(obj.get("allowVolumeExpansion"))


STORAGE_CLASS = Kind(
    resource=STORAGE_CLASSES,
    definition="io.k8s.api.storage.v1.StorageClass",
    singular="storageclass",
    short_names=("sc",),
    default=default,
    validate=validate,
    validate_update=validate_update,
    warnings=node_labels.storage_class,
    columns=(
        Column("Name", "string", name_text, format="name", doc=NAME.doc),
        Column("Provisioner", "string", at("provisioner"), doc="storage.v1.StorageClass#provisioner"),
        Column("ReclaimPolicy", "string", at("reclaimPolicy", default="Delete"),
               doc="storage.v1.StorageClass#reclaimPolicy"),
        Column("VolumeBindingMode", "string", at("volumeBindingMode", default="Immediate"),
               doc="storage.v1.StorageClass#volumeBindingMode"),
        Column("AllowVolumeExpansion", "string", expansion, doc="storage.v1.StorageClass#allowVolumeExpansion"),
        AGE,
    ),
)
