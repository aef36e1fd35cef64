"""ControllerRevision: an earlier state of a StatefulSet or DaemonSet, never changed once written."""

from __future__ import annotations

from datetime import datetime

from sampan.api.columns import AGE, NAME, NONE, count
from sampan.api.counts import not_negative
from sampan.api.kind import Column, Kind
from sampan.api.resources import CONTROLLER_REVISIONS
from sampan.apimachinery.field import FieldError, Path, required
from sampan.apimachinery.metadata import immutable
from sampan.apimachinery.object import Object, controller_of


def validate(obj: Object) -> list[FieldError]:
    errors = not_negative(obj.get("revision"), Path("revision"))
    return errors if obj.get("data") is not None else [*errors, required(Path("data"), "data is mandatory")]


def validate_update(new: Object, old: Object) -> list[FieldError]:
    return immutable(new.get("data"), old.get("data"), Path("data"))


def controller_text(obj: Object, now: datetime) -> str:
    """`statefulset.apps/web`."""
    owner = controller_of(obj)
    if owner is None:
        return NONE
    kind = str(owner.get("kind", "")).lower()
    group, slash, _ = str(owner.get("apiVersion", "")).rpartition("/")
    return f"{kind}.{group}/{owner.get('name', '')}" if slash else f"{kind}/{owner.get('name', '')}"


CONTROLLER_REVISION = Kind(
    resource=CONTROLLER_REVISIONS,
    definition="io.k8s.api.apps.v1.ControllerRevision",
    singular="controllerrevision",
    validate=validate,
    validate_update=validate_update,
    columns=(
        NAME,
        Column("Controller", "string", controller_text, "Controller of the object"),
        Column("Revision", "string", count("revision"), doc="apps.v1.ControllerRevision#revision"),
        AGE,
    ),
)
