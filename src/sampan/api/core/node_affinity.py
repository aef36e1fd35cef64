"""Rules of node selectors, as node affinity and PersistentVolumes have them."""

from __future__ import annotations

from sampan.apimachinery.field import FieldError, Path, forbidden, invalid, required
from sampan.apimachinery.names import dns1123_subdomain, qualified_name
from sampan.apimachinery.object import Object


def validate_node_selector(selector: Object, path: Path) -> list[FieldError]:
    terms = selector.get("nodeSelectorTerms") or []
    if not terms:
        return [required(path.child("nodeSelectorTerms"), "must have at least one node selector term")]
    errors: list[FieldError] = []
    for position, term in enumerate(terms):
        errors += validate_term(term, path.child("nodeSelectorTerms").index(position))
    return errors


def validate_term(term: Object, path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    for position, rule in enumerate(term.get("matchExpressions") or []):
        errors += _expression(rule, path.child("matchExpressions").index(position))
    for position, rule in enumerate(term.get("matchFields") or []):
        errors += _field(rule, path.child("matchFields").index(position))
    return errors


def _expression(rule: Object, path: Path) -> list[FieldError]:
    operator, values, key = rule.get("operator", ""), rule.get("values") or [], rule.get("key", "")
    errors: list[FieldError] = []
    if operator in ("In", "NotIn"):
        if not values:
            errors.append(required(path.child("values"), "must be specified when `operator` is 'In' or 'NotIn'"))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            errors.append(forbidden(path.child("values"), "may not be specified when `operator` is 'Exists' or "
                                                          "'DoesNotExist'"))
    elif operator in ("Gt", "Lt"):
        if len(values) != 1:
            errors.append(required(path.child("values"), "must be specified single value when `operator` is 'Lt' or "
                                                         "'Gt'"))
    else:
        errors.append(invalid(path.child("operator"), operator, "not a valid selector operator"))
    return errors + [invalid(path.child("key"), key, why) for why in qualified_name(key)]


def _field(rule: Object, path: Path) -> list[FieldError]:
    operator, values, key = rule.get("operator", ""), rule.get("values") or [], rule.get("key", "")
    errors: list[FieldError] = []
    if operator in ("In", "NotIn"):
        if len(values) != 1:
            errors.append(required(path.child("values"), "must be only one value when `operator` is 'In' or 'NotIn' "
                                                         "for node field selector"))
    else:
        errors.append(invalid(path.child("operator"), operator, "not a valid selector operator"))
    if key != "metadata.name":
        return [*errors, invalid(path.child("key"), key, "not a valid field selector key")]
    for position, value in enumerate(values):
        errors += [invalid(path.child("values").index(position), value, why) for why in dns1123_subdomain(value)]
    return errors


def validate_node_affinity(affinity: Object, path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    needed = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if needed is not None:
        errors += validate_node_selector(needed, path.child("requiredDuringSchedulingIgnoredDuringExecution"))
    for position, term in enumerate(affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or []):
        where = path.child("preferredDuringSchedulingIgnoredDuringExecution").index(position)
        weight = term.get("weight") or 0
        if not 1 <= weight <= 100:
            errors.append(invalid(where.child("weight"), weight, "must be in the range 1-100"))
        errors += validate_term(term.get("preference") or {}, where.child("preference"))
    return errors
