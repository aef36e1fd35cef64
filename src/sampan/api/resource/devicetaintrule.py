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


def default_taint(taint: Object) -> None:
    """Tolerations for a time count from when the taint was added."""
    setdefault(taint, "timeAdded", effects.timestamp())


def validate_taint(taint: Object, path: Path) -> list[FieldError]:
    errors = [] if taint.get("key") else [required(path.child("key"))]
    effect = taint.get("effect")
    if not effect:
        errors.append(required(path.child("effect")))
    elif effect not in _EFFECTS:
        errors.append(not_supported(path.child("effect"), effect, _EFFECTS))
    return errors


def default(obj: Object) -> None:
    default_taint(ensure(ensure(obj, "spec"), "taint"))


def prepare_update(new: Object, old: Object) -> None:
    """Another effect begins now: who tolerates it for a time has not used that up under the old one."""
    taint, before = dig(new, "spec", "taint", default={}), dig(old, "spec", "taint", default={})
    if taint.get("effect") != before.get("effect") and taint.get("timeAdded") == before.get("timeAdded"):
        taint["timeAdded"] = effects.timestamp()
    update_with_generation(new, old)


def validate(obj: Object) -> list[FieldError]:
    return validate_taint(dig(obj, "spec", "taint", default={}), Path("spec").child("taint"))


DEVICE_TAINT_RULE = Kind(
    resource=DEVICE_TAINT_RULES,
    definition="io.k8s.api.resource.v1.DeviceTaintRule",
    singular="devicetaintrule",
    default=default,
    prepare_create=create_with_generation,
    prepare_update=prepare_update,
    validate=validate,
    columns=NAME_AND_AGE,
    subresources=status_alone(),
)
