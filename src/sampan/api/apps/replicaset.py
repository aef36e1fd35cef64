"""ReplicaSet: keeps a number of pods of one template."""

from __future__ import annotations

from sampan.api.columns import AGE, NAME, count, selector_cell, template_columns
from sampan.api.core.pod_template import (
    default_template,
    selector_is_immutable,
    validate_always_restarts,
    validate_selected_template,
)
from sampan.api.counts import all_not_negative, not_above, not_negative
from sampan.api.kind import Column, Kind
from sampan.api.resources import REPLICA_SETS
from sampan.api.scale import scale_subresource
from sampan.api.selector_rules import query_of_selector
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
from sampan.apimachinery.field import FieldError, Path
from sampan.apimachinery.object import Object, dig

_PARTS = ("fullyLabeledReplicas", "readyReplicas", "availableReplicas")


def default(obj: Object) -> None:
    spec = ensure(obj, "spec")
    setdefault(spec, "replicas", 1)
    default_template(ensure(spec, "template"))
    _default_status(obj)


def _default_status(obj: Object) -> None:
    zero_status(obj, "replicas")


def validate(obj: Object) -> list[FieldError]:
    spec, path = obj.get("spec") or {}, Path("spec")
    errors = not_negative(spec.get("replicas"), path.child("replicas"))
    errors += not_negative(spec.get("minReadySeconds"), path.child("minReadySeconds"))
    return errors + validate_selected_template(spec, path) + validate_always_restarts(spec, path)


def validate_status(new: Object, old: Object) -> list[FieldError]:
    """Counts of some of the pods are never above the count of all."""
    status, path = new.get("status") or {}, Path("status")
    errors = all_not_negative(status, ("replicas", *_PARTS, "observedGeneration"), path)
    errors += not_above(status, _PARTS, ("replicas", "status.replicas"), path)
    return errors + not_above(status, ("availableReplicas",), ("readyReplicas", "readyReplicas"), path)


def selectable(obj: Object) -> dict[str, str]:
    return {"status.replicas": str(dig(obj, "status", "replicas", default=0))}


def count_columns(type_name: str) -> tuple[Column, ...]:
    """How many replicas there should be, are, and are ready."""
    return (
        Column("Desired", "integer", count("spec", "replicas"), doc=f"{type_name}Spec#replicas"),
        Column("Current", "integer", count("status", "replicas"), doc=f"{type_name}Status#replicas"),
        Column("Ready", "integer", count("status", "readyReplicas"), doc=f"{type_name}Status#readyReplicas"),
    )


REPLICA_SET = Kind(
    resource=REPLICA_SETS,
    definition="io.k8s.api.apps.v1.ReplicaSet",
    singular="replicaset",
    short_names=("rs",),
    categories=("all",),
    default=default,
    prepare_create=counting_from_zero(create_with_generation, "replicas"),
    prepare_update=update_with_generation,
    validate=validate,
    validate_update=selector_is_immutable,
    field_names=("status.replicas",),
    fields=selectable,
    warnings=workloads.with_template(names=True),
    columns=(NAME, *count_columns("apps.v1.ReplicaSet"), AGE,
             *template_columns(selector_cell("spec", "selector"), "spec", "template", "spec",
                           doc="apps.v1.ReplicaSetSpec#selector")),
    subresources={
        **status_subresource(validate_status, default=_default_status), **scale_subresource(query_of_selector),
    },
)
