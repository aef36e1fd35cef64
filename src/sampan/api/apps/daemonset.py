"""DaemonSet: one pod on every node that fits."""

from __future__ import annotations

from sampan.api.columns import AGE, NAME, count, labels_cell, selector_cell, template_columns
from sampan.api.core.pod_template import (
    default_template,
    selector_is_immutable,
    validate_always_restarts,
    validate_selected_template,
)
from sampan.api.counts import all_not_negative, not_negative
from sampan.api.int_or_percent import at_most_whole, is_zero, validate_int_or_percent
from sampan.api.kind import Column, Kind
from sampan.api.resources import DAEMON_SETS
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
from sampan.apimachinery.field import FieldError, Path, invalid, not_supported, required
from sampan.apimachinery.object import Object, annotations_of, dig

_COUNTS = ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady",
           "observedGeneration", "updatedNumberScheduled", "numberAvailable", "numberUnavailable")
TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
"""An annotation: how often the template has changed, as a field of older versions said it; pods have it as a label."""
_COUNTED = ("currentNumberScheduled", "desiredNumberScheduled", "numberMisscheduled", "numberReady")


def default(obj: Object) -> None:
    spec = ensure(obj, "spec")
    strategy = ensure(spec, "updateStrategy")
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = ensure(strategy, "rollingUpdate")
        setdefault(rolling, "maxUnavailable", 1)
        setdefault(rolling, "maxSurge", 0)
    setdefault(spec, "revisionHistoryLimit", 10)
    default_template(ensure(spec, "template"))
    _default_status(obj)


def _default_status(obj: Object) -> None:
    zero_status(obj, *_COUNTED)


def prepare_create(obj: Object) -> None:
    create_with_generation(obj)
    _count_template(obj, max(template_generation(obj), 1))


def prepare_update(new: Object, old: Object) -> None:
    update_with_generation(new, old)
    changed = dig(new, "spec", "template") != dig(old, "spec", "template")
    _count_template(new, max(template_generation(old), 1) + changed)


def template_generation(obj: Object) -> int:
    """The number of the template; 0 where none is kept."""
    text = annotations_of(obj).get(TEMPLATE_GENERATION, "")
    return int(text) if text.isascii() and text.isdigit() else 0


def _count_template(obj: Object, number: int) -> None:
    ensure(ensure(obj, "metadata"), "annotations")[TEMPLATE_GENERATION] = str(number)


def validate(obj: Object) -> list[FieldError]:
    spec, path = obj.get("spec") or {}, Path("spec")
    errors = validate_selected_template(spec, path, "daemonset") + validate_always_restarts(spec, path)
    errors += not_negative(spec.get("minReadySeconds"), path.child("minReadySeconds"))
    errors += _strategy(spec.get("updateStrategy") or {}, path.child("updateStrategy"))
    return errors + not_negative(spec.get("revisionHistoryLimit"), path.child("revisionHistoryLimit"))


def _strategy(strategy: Object, path: Path) -> list[FieldError]:
    kind, rolling = strategy.get("type") or "", strategy.get("rollingUpdate")
    if kind == "OnDelete":
        return []
    if kind != "RollingUpdate":
        return [not_supported(path, strategy, ("OnDelete", "RollingUpdate"))]
    where = path.child("rollingUpdate")
    if rolling is None:
        return [required(where)]
    unavailable, surge = rolling.get("maxUnavailable", 0), rolling.get("maxSurge", 0)
    errors = validate_int_or_percent(unavailable, where.child("maxUnavailable"))
    errors += validate_int_or_percent(surge, where.child("maxSurge"))
    errors += at_most_whole(unavailable, where.child("maxUnavailable"))
    errors += at_most_whole(surge, where.child("maxSurge"))
    if is_zero(unavailable) and is_zero(surge):
        errors.append(required(where, "one of maxSurge or maxUnavailable must be specified"))
    elif not is_zero(unavailable) and not is_zero(surge):
        errors.append(invalid(where.child("maxSurge"), surge, "may not be set when maxUnavailable is non-zero"))
    return errors


def validate_status(new: Object, old: Object) -> list[FieldError]:
    return all_not_negative(new.get("status") or {}, _COUNTS, Path("status"))


DAEMON_SET = Kind(
    resource=DAEMON_SETS,
    definition="io.k8s.api.apps.v1.DaemonSet",
    singular="daemonset",
    short_names=("ds",),
    categories=("all",),
    default=default,
    prepare_create=counting_from_zero(prepare_create, *_COUNTED),
    prepare_update=prepare_update,
    validate=validate,
    validate_update=selector_is_immutable,
    warnings=workloads.with_template(names=False),
    columns=(
        NAME,
        Column("Desired", "integer", count("status", "desiredNumberScheduled"),
               doc="apps.v1.DaemonSetStatus#desiredNumberScheduled"),
        Column("Current", "integer", count("status", "currentNumberScheduled"),
               doc="apps.v1.DaemonSetStatus#currentNumberScheduled"),
        Column("Ready", "integer", count("status", "numberReady"), doc="apps.v1.DaemonSetStatus#numberReady"),
        Column("Up-to-date", "integer", count("status", "updatedNumberScheduled"),
               doc="apps.v1.DaemonSetStatus#updatedNumberScheduled"),
        Column("Available", "integer", count("status", "numberAvailable"),
               doc="apps.v1.DaemonSetStatus#numberAvailable"),
        Column("Node Selector", "string", labels_cell("spec", "template", "spec", "nodeSelector"),
               doc="core.v1.PodSpec#nodeSelector"),
        AGE,
        *template_columns(selector_cell("spec", "selector"), "spec", "template", "spec",
                           doc="apps.v1.DaemonSetSpec#selector"),
    ),
    subresources=status_subresource(validate_status, default=_default_status),
)
