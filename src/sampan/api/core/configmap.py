"""ConfigMap: configuration as key and value."""

from __future__ import annotations

from datetime import datetime

from sampan.api.columns import AGE, NAME
from sampan.api.core.keyed_data import validate_immutable, validate_keys, validate_size
from sampan.api.kind import Column, Kind
from sampan.api.resources import CONFIG_MAPS
from sampan.apimachinery.field import FieldError, Path, invalid
from sampan.apimachinery.object import Object

_ROOT, _DATA, _BINARY_DATA = Path(""), Path("data"), Path("binaryData")


def validate(obj: Object) -> list[FieldError]:
    data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    errors = validate_keys(data, _DATA)
    if binary:
        errors += [
            invalid(_DATA.key(key), key, "duplicate of key present in binaryData") for key in data if key in binary
        ]
        errors += validate_keys(binary, _BINARY_DATA)
    return errors + validate_size(data, binary, _ROOT)


def validate_update(new: Object, old: Object) -> list[FieldError]:
    return validate_immutable(new, old, ("data", "binaryData"))


def data_count(obj: Object, now: datetime) -> int:
    return len(obj.get("data") or ()) + len(obj.get("binaryData") or ())


CONFIG_MAP = Kind(
    resource=CONFIG_MAPS,
    definition="io.k8s.api.core.v1.ConfigMap",
    singular="configmap",
    short_names=("cm",),
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, Column("Data", "string", data_count, doc="core.v1.ConfigMap#data"), AGE),
)
