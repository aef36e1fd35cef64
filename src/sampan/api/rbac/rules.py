"""The policy rules of Role and ClusterRole, and the rest that the two share."""

from __future__ import annotations

from sampan.apimachinery.field import FieldError, Path, invalid, required
from sampan.apimachinery.object import Object


def validate_rules(rules: list[Object] | None, namespaced: bool) -> list[FieldError]:
    """A rule needs verbs, and either API groups with resources or (cluster-wide only) non-resource URLs."""
    errors: list[FieldError] = []
    for position, rule in enumerate(rules or []):
        errors += _rule(rule, namespaced, Path("rules").index(position))
    return errors


def _rule(rule: Object, namespaced: bool, path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    if not rule.get("verbs"):
        errors.append(required(path.child("verbs"), "verbs must contain at least one value"))
    urls = rule.get("nonResourceURLs")
    if urls:
        if namespaced:
            errors.append(invalid(path.child("nonResourceURLs"), urls,
                                  "namespaced rules cannot apply to non-resource URLs"))
        if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
            errors.append(invalid(path.child("nonResourceURLs"), urls,
                                  "rules cannot apply to both regular resources and non-resource URLs"))
        return errors
    if not rule.get("apiGroups"):
        errors.append(required(path.child("apiGroups"), "resource rules must supply at least one api group"))
    if not rule.get("resources"):
        errors.append(required(path.child("resources"), "resource rules must supply at least one resource"))
    return errors
