"""The rules of a FlowSchema: subjects, and the requests of theirs that it means."""

from __future__ import annotations

from sampan.apimachinery.field import FieldError, Path, forbidden, invalid, not_supported, required
from sampan.apimachinery.object import Object

SUBJECT_FIELDS = {"User": "user", "Group": "group", "ServiceAccount": "serviceAccount"}
VERBS = (
    "*", "create", "delete", "deletecollection", "get", "head", "list", "options", "patch", "post", "proxy", "put",
    "update", "watch",
)


def validate_rules(rules: list[Object], path: Path) -> list[FieldError]:
    """What upstream's ValidateFlowSchemaPolicyRulesWithSubjects refuses."""
    errors: list[FieldError] = []
    for position, rule in enumerate(rules):
        at = path.index(position)
        if not rule.get("subjects"):
            errors.append(required(at.child("subjects"), "subjects must contain at least one value"))
        for number, subject in enumerate(rule.get("subjects") or []):
            errors += _subject(subject, at.child("subjects").index(number))
        resources, others = rule.get("resourceRules") or [], rule.get("nonResourceRules") or []
        if not resources and not others:
            errors.append(required(at, "at least one of resourceRules and nonResourceRules has to be non-empty"))
        for number, resource in enumerate(resources):
            errors += _resource_rule(resource, at.child("resourceRules").index(number))
        for number, other in enumerate(others):
            errors += _non_resource_rule(other, at.child("nonResourceRules").index(number))
    return errors


def _subject(subject: Object, path: Path) -> list[FieldError]:
    kind = subject.get("kind")
    if kind not in SUBJECT_FIELDS:
        return [not_supported(path.child("kind"), kind, tuple(sorted(SUBJECT_FIELDS)))]
    errors: list[FieldError] = []
    for name, field in SUBJECT_FIELDS.items():
        given = subject.get(field)
        if name == kind:
            if given is None:
                errors.append(required(path.child(field), f"{field} is required when subject kind is '{kind}'"))
                continue
            errors += [required(path.child(field, "name"))] if not given.get("name") else []
            if kind == "ServiceAccount" and not given.get("namespace"):
                errors.append(required(path.child(field, "namespace"), "must specify namespace for service account"))
        elif given is not None:
            errors.append(forbidden(path.child(field), f"{field} is forbidden when subject kind is not '{name}'"))
    return errors


def _verbs(rule: Object, path: Path) -> list[FieldError]:
    verbs, at = rule.get("verbs") or [], path.child("verbs")
    if not verbs:
        return [required(at, "verbs must contain at least one value")]
    if "*" in verbs:
        return _alone(verbs, at, "verbs")
    return [not_supported(at, verbs, VERBS)] if any(verb not in VERBS for verb in verbs) else []


def _alone(values: list[str], path: Path, what: str) -> list[FieldError]:
    return [invalid(path, values, f"if '*' is present, must not specify other {what}")] if len(values) > 1 else []


def _resource_rule(rule: Object, path: Path) -> list[FieldError]:
    errors = _verbs(rule, path)
    for key, one, many in (("apiGroups", "api group", "api groups"), ("resources", "resource", "resources")):
        values = rule.get(key) or []
        if not values:
            errors.append(required(path.child(key), f"resource rules must supply at least one {one}"))
        elif "*" in values:
            errors += _alone(values, path.child(key), many)
    namespaces = rule.get("namespaces") or []
    if not namespaces and not rule.get("clusterScope"):
        errors.append(required(
            path.child("namespaces"), "resource rules that are not cluster scoped must supply at least one namespace"
        ))
    elif "*" in namespaces:
        errors += _alone(namespaces, path.child("namespaces"), "namespaces")
    return errors


def _non_resource_rule(rule: Object, path: Path) -> list[FieldError]:
    errors, urls, at = _verbs(rule, path), rule.get("nonResourceURLs") or [], path.child("nonResourceURLs")
    if not urls:
        errors.append(required(at, "nonResourceURLs must contain at least one value"))
    elif "*" in urls:
        errors += _alone(urls, at, "non-resource URLs")
    else:
        for number, url in enumerate(urls):
            if not url.startswith("/"):
                errors.append(invalid(at.index(number), url, "must start with slash"))
            elif "*" in url[:-1] or (url.endswith("*") and not url.endswith("/*")):
                errors.append(invalid(at.index(number), url, "wildcard matches must be in the form /path/*"))
    return errors
