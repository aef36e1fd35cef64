"""ReplicationController: the older ReplicaSet, whose selector is a plain map."""

from __future__ import annotations

from sampan.api.apps.replicaset import count_columns, selectable, validate_status
from sampan.api.columns import AGE, NAME, labels_cell, template_columns
from sampan.api.core.pod_template import default_template, validate_always_restarts, validate_template
from sampan.api.counts import not_negative
from sampan.api.kind import Kind
from sampan.api.resources import REPLICATION_CONTROLLERS
from sampan.api.scale import scale_subresource
from sampan.api.selector_rules import query_of_map
from sampan.api.strategy import (
    counting_from_zero,
    create_with_generation,
    ensure,
    setdefault,
    status_subresource,
    update_with_generation,
    zero_status,
)
from sampan.api.warnings import workloads
from sampan.apimachinery.field import FieldError, Path, invalid, required
from sampan.apimachinery.object import Object, dig


def default(obj: Object) -> None:
    """The selector, and the labels of the controller itself, come from the template when they are missing."""
    spec = ensure(obj, "spec")
    labels = dig(spec, "template", "metadata", "labels")
    if labels:
        if not spec.get("selector"):
            spec["selector"] = dict(labels)
        metadata = ensure(obj, "metadata")
        if not metadata.get("labels"):
            metadata["labels"] = dict(labels)
    setdefault(spec, "replicas", 1)
    default_template(ensure(spec, "template"))
    zero_status(obj, "replicas")


def validate(obj: Object) -> list[FieldError]:
    spec, path = obj.get("spec") or {}, Path("spec")
    selector, labels = spec.get("selector") or {}, dig(spec, "template", "metadata", "labels", default={})
    errors = not_negative(spec.get("minReadySeconds"), path.child("minReadySeconds"))
    if not selector:
        errors.append(required(path.child("selector")))
    errors += not_negative(spec.get("replicas"), path.child("replicas"))
    if any(labels.get(key) != value for key, value in selector.items()):
        errors.append(invalid(path.child("template", "metadata", "labels"), labels,
                              "`selector` does not match template `labels`"))
    errors += validate_template(spec.get("template") or {}, path.child("template"))
    return errors + validate_always_restarts(spec, path)


REPLICATION_CONTROLLER = Kind(
    resource=REPLICATION_CONTROLLERS,
    definition="io.k8s.api.core.v1.ReplicationController",
    singular="replicationcontroller",
    short_names=("rc",),
    categories=("all",),
    default=default,
    prepare_create=counting_from_zero(create_with_generation, "replicas"),
    prepare_update=update_with_generation,
    validate=validate,
    field_names=("status.replicas",),
    fields=selectable,
    warnings=workloads.with_template(names=True),
    columns=(
        NAME, *count_columns("core.v1.ReplicationController"), AGE,
        *template_columns(labels_cell("spec", "selector"), "spec", "template", "spec",
                          doc="core.v1.ReplicationControllerSpec#selector"),
    ),
    subresources={**status_subresource(validate_status), **scale_subresource(query_of_map)},
)
