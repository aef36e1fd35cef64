"""Deployment: replicas of a pod, replaced step by step when its template changes."""

from __future__ import annotations

from datetime import datetime

from sampan.api.columns import AGE, NAME, count, selector_cell, template_columns
from sampan.api.core.pod_template import (
    default_template,
    selector_is_immutable,
    validate_always_restarts,
    validate_selected_template,
)
from sampan.api.counts import all_not_negative, not_above, not_negative
from sampan.api.int_or_percent import at_most_whole, is_zero, validate_int_or_percent
from sampan.api.kind import Column, Kind
from sampan.api.resources import DEPLOYMENTS
from sampan.api.scale import scale_subresource
from sampan.api.selector_rules import query_of_selector
from sampan.api.strategy import (
    create_with_generation,
    ensure,
    keep_labels_and_all_but_status,
    no_defaults,
    setdefault,
    status_subresource,
    update_with_generation,
)
from sampan.api.warnings import workloads
from sampan.apimachinery.field import FieldError, Path, forbidden, invalid, not_supported, required
from sampan.apimachinery.object import Object, dig

_COUNTS = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas",
           "terminatingReplicas", "observedGeneration")


def default(obj: Object) -> None:
    spec = ensure(obj, "spec")
    setdefault(spec, "replicas", 1)
    strategy = ensure(spec, "strategy")
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = ensure(strategy, "rollingUpdate")
        setdefault(rolling, "maxUnavailable", "25%")
        setdefault(rolling, "maxSurge", "25%")
    setdefault(spec, "revisionHistoryLimit", 10)
    setdefault(spec, "progressDeadlineSeconds", 600)
    default_template(ensure(spec, "template"))


def validate(obj: Object) -> list[FieldError]:
    spec, path = obj.get("spec") or {}, Path("spec")
    errors = not_negative(spec.get("replicas"), path.child("replicas"))
    errors += validate_selected_template(spec, path)
    errors += validate_always_restarts(spec, path)
    errors += _strategy(spec.get("strategy") or {}, path.child("strategy"))
    errors += not_negative(spec.get("minReadySeconds"), path.child("minReadySeconds"))
    errors += not_negative(spec.get("revisionHistoryLimit"), path.child("revisionHistoryLimit"))
    deadline, ready = spec.get("progressDeadlineSeconds"), spec.get("minReadySeconds") or 0
    if deadline is not None:
        errors += not_negative(deadline, path.child("progressDeadlineSeconds"))
        if deadline <= ready:
            errors.append(invalid(path.child("progressDeadlineSeconds"), deadline,
                                  "must be greater than minReadySeconds"))
    return errors


def _strategy(strategy: Object, path: Path) -> list[FieldError]:
    kind, rolling = strategy.get("type") or "", strategy.get("rollingUpdate")
    if kind == "Recreate":
        if rolling is None:
            return []
        return [forbidden(path.child("rollingUpdate"), "may not be specified when strategy `type` is 'Recreate'")]
    if kind != "RollingUpdate":
        return [not_supported(path, strategy, ("Recreate", "RollingUpdate"))]
    where = path.child("rollingUpdate")
    if rolling is None:
        return [required(where, "this should be defaulted and never be nil")]
    unavailable, surge = rolling.get("maxUnavailable", 0), rolling.get("maxSurge", 0)
    errors = validate_int_or_percent(unavailable, where.child("maxUnavailable"))
    errors += validate_int_or_percent(surge, where.child("maxSurge"))
    if is_zero(unavailable) and is_zero(surge):
        errors.append(invalid(where.child("maxUnavailable"), unavailable, "may not be 0 when `maxSurge` is 0"))
    return errors + at_most_whole(unavailable, where.child("maxUnavailable"))


def validate_status(new: Object, old: Object) -> list[FieldError]:
    status, path = new.get("status") or {}, Path("status")
    errors = all_not_negative(status, _COUNTS, path)
    errors += not_above(status, ("updatedReplicas", "readyReplicas", "availableReplicas"),
                        ("replicas", "status.replicas"), path)
    return errors + not_above(status, ("availableReplicas",), ("readyReplicas", "readyReplicas"), path)


def ready_text(obj: Object, now: datetime) -> str:
    return f"{dig(obj, 'status', 'readyReplicas', default=0)}/{dig(obj, 'spec', 'replicas', default=0)}"


DEPLOYMENT = Kind(
    resource=DEPLOYMENTS,
    definition="io.k8s.api.apps.v1.Deployment",
    singular="deployment",
    short_names=("deploy",),
    categories=("all",),
    default=default,
    prepare_create=create_with_generation,
    prepare_update=update_with_generation,
    validate=validate,
    validate_update=selector_is_immutable,
    warnings=workloads.with_template(names=True),
    columns=(
        NAME,
        Column("Ready", "string", ready_text, "Number of the pod with ready state"),
        Column("Up-to-date", "string", count("status", "updatedReplicas"),
               doc="apps.v1.DeploymentStatus#updatedReplicas"),
        Column("Available", "string", count("status", "availableReplicas"),
               doc="apps.v1.DeploymentStatus#availableReplicas"),
        AGE,
        *template_columns(selector_cell("spec", "selector"), "spec", "template", "spec",
                           doc="apps.v1.DeploymentSpec#selector"),
    ),
    subresources={
        **status_subresource(validate_status, keep_labels_and_all_but_status, no_defaults),
        **scale_subresource(query_of_selector),
    },
)
