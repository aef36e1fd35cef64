"""RuntimeClass: which configuration of the container runtime runs a pod."""

from __future__ import annotations

from sampan.api.columns import AGE, NAME, at
from sampan.api.kind import Column, Kind
from sampan.api.resources import RUNTIME_CLASSES
from sampan.api.warnings import node_labels
from sampan.apimachinery.field import FieldError, Path, invalid, required
from sampan.apimachinery.names import dns1123_label
from sampan.apimachinery.object import Object


def validate(obj: Object) -> list[FieldError]:
    handler = obj.get("handler") or ""
    if not handler:
        return [required(Path("handler"))]
    return [invalid(Path("handler"), handler, why) for why in dns1123_label(handler)]


def validate_update(new: Object, old: Object) -> list[FieldError]:
    if new.get("handler") == old.get("handler"):
        return []
    return [invalid(Path("handler"), new.get("handler"), "field is immutable")]


RUNTIME_CLASS = Kind(
    resource=RUNTIME_CLASSES,
    definition="io.k8s.api.node.v1.RuntimeClass",
    singular="runtimeclass",
    validate=validate,
    validate_update=validate_update,
    warnings=node_labels.runtime_class,
    columns=(
        NAME,
        Column("Handler", "string", at("handler"), doc="node.v1.RuntimeClass#handler"),
        AGE,
    ),
)
