"""Rules for what webhooks and policies share beside rules and selectors: match conditions, parameters, variables."""

from __future__ import annotations

from typing import Final

from sampan.apimachinery.field import FieldError, Path, duplicate, forbidden, invalid, not_supported, required, too_many
from sampan.apimachinery.names import c_identifier, qualified_name
from sampan.apimachinery.object import Object

MAX_CONDITIONS: Final = 64
_NOT_FOUND_ACTIONS: Final = ("Allow", "Deny")


def validate_conditions(holder: Object, path: Path) -> list[FieldError]:
    """`matchConditions`: named uniquely by qualified names, and not empty. Whether they compile, the server sees."""
    path, conditions = path.child("matchConditions"), holder.get("matchConditions") or []
    errors: list[FieldError] = []
    if len(conditions) > MAX_CONDITIONS:
        errors.append(too_many(path, len(conditions), MAX_CONDITIONS))
    seen: set[str] = set()
    for position, condition in enumerate(conditions):
        at, name = path.index(position), condition.get("name") or ""
        if not (condition.get("expression") or "").strip():
            errors.append(required(at.child("expression")))
        if not name:
            errors.append(required(at.child("name")))
        else:
            errors += [invalid(at.child("name"), name, why) for why in qualified_name(name)]
            if name in seen:
                errors.append(duplicate(at.child("name"), name))
            seen.add(name)
    return errors


def validate_variables(spec: Object, path: Path) -> list[FieldError]:
    """Variables are identifiers, defined once."""
    errors: list[FieldError] = []
    seen: set[str] = set()
    for position, variable in enumerate(spec.get("variables") or []):
        at, name = path.child("variables").index(position), variable.get("name") or ""
        if not name:
            errors.append(required(at.child("name"), "name is not specified"))
        elif c_identifier(name):
            errors.append(invalid(at.child("name"), name, "name is not a valid CEL identifier"))
        elif name in seen:
            errors.append(duplicate(at.child("name"), name))
        seen.add(name)
        if not (variable.get("expression") or "").strip():
            errors.append(required(at.child("expression"), "expression is not specified"))
    return errors


def validate_param_kind(spec: Object, path: Path) -> list[FieldError]:
    kind, path = spec.get("paramKind"), path.child("paramKind")
    if kind is None:
        return []
    return [required(path.child(key)) for key in ("apiVersion", "kind") if not kind.get(key)]


def validate_param_ref(spec: Object, path: Path) -> list[FieldError]:
    """One object by name, or several by selector; and what to do if there is none."""
    reference, path = spec.get("paramRef"), path.child("paramRef")
    if reference is None:
        return []
    errors: list[FieldError] = []
    name, selector, action = (reference.get(key) for key in ("name", "selector", "parameterNotFoundAction"))
    if name and selector is not None:
        errors += [forbidden(path.child(key), "name and selector are mutually exclusive") for key in
                   ("name", "selector")]
    elif not name and selector is None:
        errors.append(required(path, "one of name or selector must be specified"))
    if not action:
        errors.append(required(path.child("parameterNotFoundAction"), ""))
    elif action not in _NOT_FOUND_ACTIONS:
        errors.append(not_supported(path.child("parameterNotFoundAction"), action, _NOT_FOUND_ACTIONS))
    return errors
