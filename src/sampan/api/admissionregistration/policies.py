"""Defaults and rules that validating and mutating admission policies, and their bindings, share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sampan.api.admissionregistration.match_conditions import (
    validate_conditions,
    validate_param_kind,
    validate_param_ref,
    validate_variables,
)
from sampan.api.admissionregistration.webhooks import validate_rule
from sampan.api.columns import AGE, NAME, UNSET, at, length
from sampan.api.kind import Column
from sampan.api.selector_rules import validate_label_selector
from sampan.api.strategy import ensure, setdefault
from sampan.apimachinery.field import FieldError, Path, duplicate, invalid, not_supported, required
from sampan.apimachinery.object import Object, dig

_ACTIONS = ("Audit", "Deny", "Warn")
_REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized")
_PATCH_TYPES = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}
_REINVOCATION = ("IfNeeded", "Never")
Validate = Callable[[Object], list[FieldError]]


def default_policy(obj: Object) -> None:
    spec = ensure(obj, "spec")
    setdefault(spec, "failurePolicy", "Fail")
    if isinstance(spec.get("matchConstraints"), dict):
        _default_match(spec["matchConstraints"])


def default_binding(obj: Object) -> None:
    match = ensure(obj, "spec").get("matchResources")
    if isinstance(match, dict):
        _default_match(match)


def _default_match(match: Object) -> None:
    setdefault(match, "matchPolicy", "Equivalent")
    setdefault(match, "namespaceSelector", {})
    setdefault(match, "objectSelector", {})
    for rule in [*(match.get("resourceRules") or []), *(match.get("excludeResourceRules") or [])]:
        setdefault(rule, "scope", "*")


def validate_policy(expressions: str) -> Validate:
    """`expressions` is the field with the CEL code: `validations` or `mutations`."""

    def validate(obj: Object) -> list[FieldError]:
        spec, path = obj.get("spec") or {}, Path("spec")
        errors: list[FieldError] = []
        if spec.get("failurePolicy") not in (None, "Fail", "Ignore"):
            errors.append(not_supported(path.child("failurePolicy"), spec["failurePolicy"], ("Fail", "Ignore")))
        constraints = spec.get("matchConstraints")
        if constraints is None:
            errors.append(required(path.child("matchConstraints")))
        else:
            errors += _match(constraints, path.child("matchConstraints"))
            if not constraints.get("resourceRules"):
                errors.append(required(path.child("matchConstraints", "resourceRules")))
        if not spec.get(expressions) and not spec.get("auditAnnotations"):
            detail = "validations or auditAnnotations must contain at least one item"
            errors.append(required(path.child(expressions), detail if expressions == "validations" else ""))
        for position, entry in enumerate(spec.get("validations") or []):
            if not (entry.get("expression") or "").strip():
                errors.append(required(path.child("validations").index(position).child("expression"),
                                       "expression is not specified"))
            if entry.get("reason") not in (None, *_REASONS):
                where = path.child("validations").index(position).child("reason")
                errors.append(not_supported(where, entry["reason"], _REASONS))
        if expressions == "mutations":
            errors += _mutations(spec, path)
        return errors + validate_param_kind(spec, path) + validate_variables(spec, path) + validate_conditions(
            spec, path
        )

    return validate


def _mutations(spec: Object, path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    for position, mutation in enumerate(spec.get("mutations") or []):
        at, patch_type = path.child("mutations").index(position), mutation.get("patchType")
        if not patch_type:
            errors.append(required(at.child("patchType")))
        elif patch_type not in _PATCH_TYPES:
            errors.append(not_supported(at.child("patchType"), patch_type, tuple(_PATCH_TYPES)))
        else:
            field = _PATCH_TYPES[patch_type]
            if not ((mutation.get(field) or {}).get("expression") or "").strip():
                errors.append(required(at.child(field, "expression"), "expression is not specified"))
    reinvocation, at = spec.get("reinvocationPolicy"), path.child("reinvocationPolicy")
    if not reinvocation:
        errors.append(required(at))
    elif reinvocation not in _REINVOCATION:
        errors.append(not_supported(at, reinvocation, _REINVOCATION))
    return errors


def validate_binding(actions: bool) -> Validate:
    """`actions`: whether the binding has validationActions."""

    def validate(obj: Object) -> list[FieldError]:
        spec, path = obj.get("spec") or {}, Path("spec")
        errors: list[FieldError] = []
        if not spec.get("policyName"):
            errors.append(required(path.child("policyName")))
        errors += validate_param_ref(spec, path)
        if spec.get("matchResources"):
            errors += _match(spec["matchResources"], path.child("matchResources"))
        return errors + (_actions(spec.get("validationActions") or [], path) if actions else [])

    return validate


def _actions(actions: list[str], path: Path) -> list[FieldError]:
    path = path.child("validationActions")
    if not actions:
        return [required(path)]
    errors: list[FieldError] = []
    seen: set[str] = set()
    for position, action in enumerate(actions):
        if action not in _ACTIONS:
            errors.append(not_supported(path.index(position), action, _ACTIONS))
        if action in seen:
            errors.append(duplicate(path.index(position), action))
        seen.add(action)
    if {"Deny", "Warn"} <= seen:
        errors.append(invalid(path, actions, "must not contain both Deny and Warn (repeating the same validation "
                                             "failure information in the API response and headers serves no purpose)"))
    return errors


def _match(match: Object, path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    for key in ("namespaceSelector", "objectSelector"):
        errors += validate_label_selector(match.get(key), path.child(key))
    for key in ("resourceRules", "excludeResourceRules"):
        for position, rule in enumerate(match.get(key) or []):
            errors += validate_rule(rule, path.child(key).index(position))
    return errors


def _param_kind(obj: Object, now: datetime) -> str:
    kind = dig(obj, "spec", "paramKind")
    return f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}" if kind else UNSET


def _param_ref(obj: Object, now: datetime) -> str:
    reference = dig(obj, "spec", "paramRef")
    if not reference:
        return UNSET
    if reference.get("name"):
        return f"{reference.get('namespace') or '*'}/{reference['name']}"
    return _selector_text(reference["selector"]) if reference.get("selector") is not None else UNSET


def _selector_text(selector: Object) -> str:
    """A label selector as Go prints one."""
    labels = selector.get("matchLabels") or {}
    pairs = "".join(f"{key}: {labels[key]}," for key in sorted(labels))
    requirements = "".join(
        f"LabelSelectorRequirement{{Key:{one.get('key', '')},Operator:{one.get('operator', '')},"
        f"Values:[{' '.join(one.get('values') or ())}],}},"
        for one in selector.get("matchExpressions") or ()
    )
    return (
        f"&LabelSelector{{MatchLabels:map[string]string{{{pairs}}},"
        f"MatchExpressions:[]LabelSelectorRequirement{{{requirements}}},}}"
    )


_COUNTED = {
    "validations": "Validations indicates the number of validation rules defined in this configuration",
    "mutations": "Mutation indicates the number of mutations rules defined in this configuration",
}


def policy_columns(expressions: str) -> tuple[Column, ...]:
    """The table of policies whose CEL code is in this field."""
    return (
        NAME,
        Column(expressions.capitalize(), "integer", length("spec", expressions), _COUNTED[expressions]),
        Column("ParamKind", "string", _param_kind,
               "ParamKind specifies the kind of resources used to parameterize this policy"),
        AGE,
    )


BINDING_COLUMNS = (
    NAME,
    Column("PolicyName", "string", at("spec", "policyName"),
           "PolicyName indicates the policy definition which the policy binding binded to"),
    Column("ParamRef", "string", _param_ref,
           "ParamRef indicates the param resource which sets the configration param"),
    AGE,
)
