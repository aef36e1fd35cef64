"""LimitRange: defaults and bounds for the resources of pods, containers and claims."""

from __future__ import annotations

from sampan.api.columns import CREATED_AT, NAME
from sampan.api.core.resource_lists import canonicalise, parse
from sampan.api.kind import Kind
from sampan.api.resources import LIMIT_RANGES
from sampan.api.strategy import ensure
from sampan.apimachinery.field import FieldError, Path, duplicate, forbidden, invalid, required
from sampan.apimachinery.object import Object, dig

_LISTS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")


def default(obj: Object) -> None:
    """For containers, a maximum is the default limit, and a default limit the default request."""
    for limit in dig(obj, "spec", "limits", default=()):
        if limit.get("type") == "Container":
            defaults = ensure(limit, "default")
            for name, value in (limit.get("max") or {}).items():
                defaults.setdefault(name, value)
            requests = ensure(limit, "defaultRequest")
            for name, value in defaults.items():
                requests.setdefault(name, value)
            for name, value in (limit.get("min") or {}).items():
                requests.setdefault(name, value)
        for key in _LISTS:
            canonicalise(limit.get(key))


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for position, limit in enumerate(dig(obj, "spec", "limits", default=())):
        path, kind = Path("spec").child("limits").index(position), limit.get("type") or ""
        if not kind:
            errors.append(required(path.child("type")))
        if kind in seen:
            errors.append(duplicate(path.child("type"), kind))
        seen.add(kind)
        if kind == "Pod":
            errors += [forbidden(path.child(key), "may not be specified when `type` is 'Pod'")
                       for key in ("default", "defaultRequest") if limit.get(key)]
        if kind == "PersistentVolumeClaim" and not dig(limit, "min", "storage") and not dig(limit, "max", "storage"):
            errors.append(required(path.child("limits"), "either minimum or maximum storage value is required, but "
                                                         "neither was provided"))
        errors += _bounds(limit, path)
    return errors


def _bounds(limit: Object, path: Path) -> list[FieldError]:
    """min ≤ defaultRequest ≤ default ≤ max, for each resource."""
    errors: list[FieldError] = []
    names = {name for key in _LISTS for name in limit.get(key) or ()}
    for name in sorted(names):
        low, high = parse(dig(limit, "min", name)), parse(dig(limit, "max", name))
        usual, asked = parse(dig(limit, "default", name)), parse(dig(limit, "defaultRequest", name))
        ratio = parse(dig(limit, "maxLimitRequestRatio", name))
        pairs = (
            ("min", low, high, "min value {} is greater than max value {}"),
            ("defaultRequest", low, asked, "min value {} is greater than default request value {}"),
            ("defaultRequest", asked, high, "default request value {} is greater than max value {}"),
            ("defaultRequest", asked, usual, "default request value {} is greater than default limit value {}"),
            ("default", low, usual, "min value {} is greater than default value {}"),
            ("default", usual, high, "default value {} is greater than max value {}"),
        )
        for key, smaller, larger, words in pairs:
            if smaller is not None and larger is not None and smaller > larger:
                shown = str(asked if key == "defaultRequest" else usual if key == "default" else low)
                errors.append(invalid(path.child(key).key(name), shown, words.format(smaller, larger)))
        if ratio is not None and ratio.milli_value < 1000:
            errors.append(invalid(path.child("maxLimitRequestRatio").key(name), str(ratio), f"ratio {ratio} is less "
                                                                                           "than 1"))
    return errors


LIMIT_RANGE = Kind(
    resource=LIMIT_RANGES,
    definition="io.k8s.api.core.v1.LimitRange",
    singular="limitrange",
    short_names=("limits",),
    default=default,
    validate=validate,
    columns=(
        NAME,
        CREATED_AT,
    ),
)
