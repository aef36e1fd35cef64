"""DeviceClass: a sort of device, by selectors, that claims ask for by name."""

from __future__ import annotations

from sampan.api.columns import NAME_AND_AGE
from sampan.api.kind import Kind
from sampan.api.resource.device_requests import driver_name
from sampan.api.resources import DEVICE_CLASSES
from sampan.api.strategy import count_generation, start_generation
from sampan.apimachinery.field import FieldError, Path, invalid, required
from sampan.apimachinery.object import Object

MAX_SELECTORS = 32


def validate(obj: Object) -> list[FieldError]:
    spec, path = obj.get("spec") or {}, Path("spec")
    selectors, at = spec.get("selectors") or [], path.child("selectors")
    errors: list[FieldError] = []
    if len(selectors) > MAX_SELECTORS:
        errors.append(invalid(at, len(selectors), f"must have at most {MAX_SELECTORS} items"))
    for position, selector in enumerate(selectors):
        if not (selector.get("cel") or {}).get("expression"):
            errors.append(required(at.index(position).child("cel", "expression")))
    for position, config in enumerate(spec.get("config") or []):
        where = path.child("config").index(position).child("opaque", "driver")
        errors += driver_name((config.get("opaque") or {}).get("driver") or "", where)
    return errors


DEVICE_CLASS = Kind(
    resource=DEVICE_CLASSES,
    definition="io.k8s.api.resource.v1.DeviceClass",
    singular="deviceclass",
    prepare_create=start_generation,
    prepare_update=count_generation,
    validate=validate,
    columns=NAME_AND_AGE,
)
