"""A pod template, as workloads carry it: the defaults and rules of the pods made from it."""

from __future__ import annotations

from sampan.api.core.pod_defaults import default_pod_spec
from sampan.api.strategy import ensure
from sampan.apimachinery.field import FieldError, Path
from sampan.apimachinery.metadata import validate_annotations, validate_labels
from sampan.apimachinery.object import Object


def default_template(template: Object) -> None:
    """The defaults of pods, except those that belong to a single pod."""
    default_pod_spec(ensure(template, "spec"))


def validate_template(template: Object, path: Path) -> list[FieldError]:
    metadata = template.get("metadata") or {}
    errors = list(validate_labels(metadata.get("labels"), path.child("metadata", "labels")))
    errors += validate_annotations(metadata.get("annotations"), path.child("metadata", "annotations"))
    return errors
