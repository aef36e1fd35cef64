"""PriorityClass: a name for how important pods are."""

from __future__ import annotations

from sampan.api.columns import AGE, NAME, at, count
from sampan.api.kind import Column, Kind
from sampan.api.resources import PRIORITY_CLASSES
from sampan.api.strategy import count_generation, setdefault, start_generation
from sampan.apimachinery.field import FieldError, Path, forbidden, invalid, not_supported
from sampan.apimachinery.object import Object, name_of

HIGHEST_USER_PRIORITY = 1_000_000_000
SYSTEM_CLASSES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}
_PREEMPTION = ("Never", "PreemptLowerPriority")


def default(obj: Object) -> None:
    setdefault(obj, "preemptionPolicy", "PreemptLowerPriority")
    setdefault(obj, "value", 0)


def validate(obj: Object) -> list[FieldError]:
    name, value = name_of(obj), obj.get("value") or 0
    errors = []
    if name.startswith("system-") and SYSTEM_CLASSES.get(name) != value:
        why = (f"priority class names with 'system-' prefix are reserved for system use only. error: {name} is not a "
               "known system priority class" if name not in SYSTEM_CLASSES else
               "priority class names with 'system-' prefix are reserved for system use only. error: "
               f"value of {name} PriorityClass must be {SYSTEM_CLASSES[name]}")
        errors.append(forbidden(Path("metadata").child("name"), why))
    if not name.startswith("system-") and value > HIGHEST_USER_PRIORITY:
        errors.append(forbidden(Path("value"), f"maximum allowed value of a user defined priority is "
                                               f"{HIGHEST_USER_PRIORITY}"))
    if obj.get("preemptionPolicy") not in (None, *_PREEMPTION):
        errors.append(not_supported(Path("preemptionPolicy"), obj["preemptionPolicy"], _PREEMPTION))
    return errors


def validate_update(new: Object, old: Object) -> list[FieldError]:
    errors = []
    if (new.get("value") or 0) != (old.get("value") or 0):
        errors.append(forbidden(Path("value"), "may not be changed in an update."))
    if new.get("preemptionPolicy") != old.get("preemptionPolicy"):
        errors.append(invalid(Path("preemptionPolicy"), new.get("preemptionPolicy"), "field is immutable"))
    return errors


PRIORITY_CLASS = Kind(
    resource=PRIORITY_CLASSES,
    definition="io.k8s.api.scheduling.v1.PriorityClass",
    singular="priorityclass",
    short_names=("pc",),
    default=default,
    prepare_create=start_generation,
    prepare_update=count_generation,
    validate=validate,
    validate_update=validate_update,
    columns=(
        NAME,
        Column("Value", "integer", count("value"), doc="scheduling.v1.PriorityClass#value"),
        Column("Global-Default", "boolean", lambda obj, now: bool(obj.get("globalDefault")),
               doc="scheduling.v1.PriorityClass#globalDefault"),
        AGE,
        Column("PreemptionPolicy", "string", at("preemptionPolicy"),
               doc="scheduling.v1.PriorityClass#preemptionPolicy",),
    ),
)
