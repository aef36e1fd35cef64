"""VolumeAttributesClass: mutable properties that a CSI driver gives to volumes."""

from __future__ import annotations

from sampan.api.columns import AGE, NAME, at
from sampan.api.kind import Column, Kind
from sampan.api.resources import VOLUME_ATTRIBUTES_CLASSES
from sampan.apimachinery.field import FieldError, Path, forbidden, required
from sampan.apimachinery.object import Object


def validate(obj: Object) -> list[FieldError]:
    errors = [] if obj.get("driverName") else [required(Path("driverName"))]
    if not obj.get("parameters"):
        errors.append(required(Path("parameters"), "must contain at least one key/value pair"))
    return errors


def validate_update(new: Object, old: Object) -> list[FieldError]:
    return [forbidden(Path(key), f"updates to {key} are forbidden.")
            for key in ("driverName", "parameters") if (new.get(key) or None) != (old.get(key) or None)]


VOLUME_ATTRIBUTES_CLASS = Kind(
    resource=VOLUME_ATTRIBUTES_CLASSES,
    definition="io.k8s.api.storage.v1.VolumeAttributesClass",
    singular="volumeattributesclass",
    short_names=("vac",),
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, Column("DriverName", "string", at("driverName"),
                          doc="storage.v1.VolumeAttributesClass#driverName"), AGE),
)
