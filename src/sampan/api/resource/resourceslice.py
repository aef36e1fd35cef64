"""ResourceSlice: devices of one driver's pool, published by the driver, often for one node."""

from __future__ import annotations

from sampan.api.columns import AGE, NAME, at
from sampan.api.kind import Column, Kind
from sampan.api.resource.device_requests import driver_name
from sampan.api.resource.devicetaintrule import default_taint, validate_taint
from sampan.api.resources import RESOURCE_SLICES
from sampan.api.strategy import count_generation, start_generation
from sampan.apimachinery.field import FieldError, Path, duplicate, invalid, required
from sampan.apimachinery.names import dns1123_label
from sampan.apimachinery.object import Object, dig

MAX_DEVICES = 128
_WHERE = ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection")
_FIXED = (("driver",), ("nodeName",), ("pool", "name"))


def default(obj: Object) -> None:
    for device in dig(obj, "spec", "devices", default=()):
        for taint in device.get("taints") or ():
            default_taint(taint)


def validate(obj: Object) -> list[FieldError]:
    spec, path = obj.get("spec") or {}, Path("spec")
    errors: list[FieldError] = []
    errors += driver_name(spec.get("driver") or "", path.child("driver"))
    pool = spec.get("pool") or {}
    if not pool.get("name"):
        errors.append(required(path.child("pool", "name")))
    if (pool.get("resourceSliceCount") or 0) <= 0:
        errors.append(invalid(path.child("pool", "resourceSliceCount"), pool.get("resourceSliceCount") or 0,
                              "must be greater than zero"))
    if (pool.get("generation") or 0) < 0:
        errors.append(invalid(path.child("pool", "generation"), pool["generation"],
                              "must be greater than or equal to zero"))
    places = [key for key in _WHERE if spec.get(key)]
    why = f"exactly one of {', '.join(f'`{key}`' for key in _WHERE)} is required"
    if not places:
        errors.append(required(path, why))
    elif len(places) > 1:
        errors.append(invalid(path, f"{{{', '.join(places)}}}", why))
    return errors + _devices(spec.get("devices") or [], path.child("devices"))


def _devices(devices: list[Object], path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    if len(devices) > MAX_DEVICES:
        errors.append(invalid(path, len(devices), f"must have at most {MAX_DEVICES} items"))
    seen: set[str] = set()
    for position, device in enumerate(devices):
        name, here = device.get("name") or "", path.index(position).child("name")
        errors += [invalid(here, name, why) for why in dns1123_label(name)] if name else [required(here)]
        if name in seen:
            errors.append(duplicate(here, name))
        seen.add(name)
        for number, taint in enumerate(device.get("taints") or ()):
            errors += validate_taint(taint, path.index(position).child("taints").index(number))
    return errors


def validate_update(new: Object, old: Object) -> list[FieldError]:
    return [
        invalid(Path("spec").child(*where), dig(new, "spec", *where), "field is immutable")
        for where in _FIXED if dig(new, "spec", *where) != dig(old, "spec", *where)
    ]


def selectable(obj: Object) -> dict[str, str]:
    return {f"spec.{key}": dig(obj, "spec", key, default="") for key in ("nodeName", "driver")}


RESOURCE_SLICE = Kind(
    resource=RESOURCE_SLICES,
    definition="io.k8s.api.resource.v1.ResourceSlice",
    singular="resourceslice",
    default=default,
    prepare_create=start_generation,
    prepare_update=count_generation,
    validate=validate,
    validate_update=validate_update,
    field_names=("spec.nodeName", "spec.driver"),
    fields=selectable,
    columns=(
        NAME,
        Column("Node", "string", at("spec", "nodeName"), doc="resource.v1.ResourceSliceSpec#nodeName"),
        Column("Driver", "string", at("spec", "driver"), doc="resource.v1.ResourceSliceSpec#driver"),
        Column("Pool", "string", at("spec", "pool", "name"), doc="resource.v1.ResourcePool#name"),
        AGE,
    ),
)
