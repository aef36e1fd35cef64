"""A pod template, as workloads carry it: the defaults and rules of the pods made from it, and its tie to a selector."""

from __future__ import annotations

from sampan.api.core.pod_defaults import default_pod_spec
from sampan.api.core.pod_spec import validate_pod_spec
from sampan.api.selector_rules import is_empty, matches, validate_label_selector
from sampan.api.strategy import ensure
from sampan.apimachinery.field import FieldError, Path, forbidden, invalid, not_supported, required
from sampan.apimachinery.metadata import immutable, validate_annotations, validate_labels
from sampan.apimachinery.object import Object


def default_template(template: Object) -> None:
    """The defaults of pods, except those that belong to a single pod."""
    ensure(template, "metadata")
    default_pod_spec(ensure(template, "spec"))


def validate_template(template: Object, path: Path) -> list[FieldError]:
    metadata, spec = template.get("metadata") or {}, template.get("spec") or {}
    errors = list(validate_labels(metadata.get("labels"), path.child("labels")))
    errors += validate_annotations(metadata.get("annotations"), path.child("annotations"))
    errors += validate_pod_spec(spec, path.child("spec"))
    if spec.get("ephemeralContainers"):
        errors.append(forbidden(path.child("spec", "ephemeralContainers"),
                                "ephemeral containers not allowed in pod template"))
    return errors


def validate_selected_template(spec: Object, path: Path, owner: str = "deployment") -> list[FieldError]:
    """`selector` and `template` of a workload: the selector is not empty and selects the template's pods."""
    selector, where = spec.get("selector"), path.child("selector")
    errors: list[FieldError] = []
    if selector is None:
        errors.append(required(where))
    else:
        errors += validate_label_selector(selector, where)
        if is_empty(selector):
            errors.append(invalid(where, selector, f"empty selector is invalid for {owner}"))
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    if not matches(selector, labels or {}):
        errors.append(invalid(path.child("template", "metadata", "labels"), labels,
                              "`selector` does not match template `labels`"))
    return errors + validate_template(spec.get("template") or {}, path.child("template"))


def validate_always_restarts(spec: Object, path: Path) -> list[FieldError]:
    """Pods of a workload that never ends restart always, and have no deadline."""
    pod = (spec.get("template") or {}).get("spec") or {}
    where = path.child("template", "spec")
    errors: list[FieldError] = []
    if pod.get("restartPolicy") not in (None, "", "Always"):
        errors.append(not_supported(where.child("restartPolicy"), pod["restartPolicy"], ("Always",)))
    if pod.get("activeDeadlineSeconds") is not None:
        errors.append(forbidden(where.child("activeDeadlineSeconds"),
                                "activeDeadlineSeconds in ReplicaSet is not Supported"))
    return errors


def selector_is_immutable(new: Object, old: Object) -> list[FieldError]:
    return immutable((new.get("spec") or {}).get("selector"), (old.get("spec") or {}).get("selector"),
                     Path("spec").child("selector"))
