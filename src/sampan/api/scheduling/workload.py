"""Workload: the templates from which a controller makes PodGroups (KEP-4671)."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api.columns import AGE, NAME
from sampan.api.kind import Kind
from sampan.api.resources import WORKLOADS
from sampan.api.scheduling.group_rules import label, same_choice, validate_group
from sampan.apimachinery.field import FieldError, Path, duplicate, invalid, required, too_many
from sampan.apimachinery.names import dns1123_subdomain, path_segment_name
from sampan.apimachinery.object import Object

MOST_TEMPLATES = 8
_ONE_KIND = "must specify exactly one of: `compositePodGroupTemplates`, `podGroupTemplates`"
_TEMPLATES = ("podGroupTemplates", "compositePodGroupTemplates")


def validate(obj: Object) -> list[FieldError]:
    spec, path = obj.get("spec") or {}, Path("spec")
    errors = _controller(spec["controllerRef"], path.child("controllerRef")) if spec.get("controllerRef") else []
    chosen = [name for name in _TEMPLATES if spec.get(name)]
    if not chosen:
        errors.append(required(path.child("podGroupTemplates"), "must have at least one item"))
    elif len(chosen) > 1:
        errors.append(invalid(path, "", _ONE_KIND))
    return errors + _templates(spec, path)


def validate_update(new: Object, old: Object) -> list[FieldError]:
    after, before, path = new.get("spec") or {}, old.get("spec") or {}, Path("spec")
    errors = []
    if before.get("controllerRef") is not None and after.get("controllerRef") != before["controllerRef"]:
        errors.append(invalid(path.child("controllerRef"), after.get("controllerRef"), "field is immutable"))
    for name in _TEMPLATES:
        errors += _template_changes(after.get(name) or [], before.get(name) or [], path.child(name))
    return errors


def _controller(reference: Object, path: Path) -> list[FieldError]:
    group = reference.get("apiGroup") or ""
    errors = [invalid(path.child("apiGroup"), group, why) for why in dns1123_subdomain(group)] if group else []
    for field in ("kind", "name"):
        value, at = reference.get(field) or "", path.child(field)
        errors += [invalid(at, value, why) for why in path_segment_name(value)] if value else [required(at)]
    return errors


def _templates(owner: Object, path: Path) -> list[FieldError]:
    """The templates at this level and, below composite ones, at the next."""
    errors: list[FieldError] = []
    for name, count in zip(_TEMPLATES, ("minCount", "minGroupCount"), strict=True):
        templates, at = owner.get(name) or [], path.child(name)
        if len(templates) > MOST_TEMPLATES:
            errors.append(too_many(at, len(templates), MOST_TEMPLATES))
            continue
        seen: set[str] = set()
        for position, template in enumerate(templates):
            here = at.index(position)
            errors += label(template.get("name"), here.child("name"))
            if template.get("name") in seen:
                errors.append(duplicate(here, template))
            seen.add(template.get("name") or "")
            errors += validate_group(template, here, count=count)
            if name == "compositePodGroupTemplates":
                errors += _templates(template, here)
    return errors


def _template_changes(after: Sequence[Object], before: Sequence[Object], path: Path) -> list[FieldError]:
    """Templates stay what they are; a gang's count may change."""
    if [template.get("name") for template in after] != [template.get("name") for template in before]:
        return [invalid(path, list(after), "field is immutable")]
    errors: list[FieldError] = []
    for position, (new, old) in enumerate(zip(after, before, strict=True)):
        at = path.index(position)
        errors += [
            invalid(at.child(field), new.get(field), "field is immutable")
            for field in sorted((new.keys() | old.keys()) - {"schedulingPolicy"}) if new.get(field) != old.get(field)
        ]
        policies = new.get("schedulingPolicy") or {}, old.get("schedulingPolicy") or {}
        errors += same_choice(*policies, at.child("schedulingPolicy"))
    return errors


WORKLOAD = Kind(
    resource=WORKLOADS,
    definition="io.k8s.api.scheduling.v1beta1.Workload",
    singular="workload",
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, AGE),
)
