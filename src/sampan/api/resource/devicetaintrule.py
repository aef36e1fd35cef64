"""DeviceTaintRule: a taint that an administrator puts on the devices that match."""

from __future__ import annotations

from sampan import effects
from sampan.api.columns import NAME_AND_AGE
from sampan.api.kind import Kind
from sampan.api.resources import DEVICE_TAINT_RULES
from sampan.api.strategy import (
    create_with_generation,
    ensure,
    setdefault,
    status_alone,
    update_with_generation,
)
from sampan.apimachinery.field import FieldError, Path, not_supported, required
from sampan.apimachinery.object import Object, dig

_EFFECTS = ("NoExecute", "NoSchedule", "None")


def default(obj: Object) -> None:
    setdefault(ensure(ensure(obj, "spec"), "taint"), "timeAdded", effects.timestamp())


def validate(obj: Object) -> list[FieldError]:
    taint, path = dig(obj, "spec", "taint", default={}), Path("spec").child("taint")
    errors = [] if taint.get("key") else [required(path.child("key"))]
    effect = taint.get("effect")
    if not effect:
        errors.append(required(path.child("effect")))
    elif effect not in _EFFECTS:
        errors.append(not_supported(path.child("effect"), effect, _EFFECTS))
    return errors


DEVICE_TAINT_RULE = Kind(
    resource=DEVICE_TAINT_RULES,
    definition="io.k8s.api.resource.v1.DeviceTaintRule",
    singular="devicetaintrule",
    default=default,
    prepare_create=create_with_generation,
    prepare_update=update_with_generation,
    validate=validate,
    columns=NAME_AND_AGE,
    subresources=status_alone(),
)
