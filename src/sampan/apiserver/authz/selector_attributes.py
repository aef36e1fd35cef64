"""Selectors as part of what is authorised: `resourceAttributes.fieldSelector` and `labelSelector`.

A list, watch or deletion of a collection is limited to what its selectors select, and an authoriser may allow it for
that alone. A review says the same as `requirements`, or as `rawSelector`, the text of the query. What cannot be
understood limits nothing: leaving a requirement out asks for more, never for less. Source: KEP-4601.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sampan.apimachinery.field import FieldError, Path, forbidden, invalid, required
from sampan.apimachinery.http import UserInfo
from sampan.apimachinery.object import Object
from sampan.apimachinery.selectors import (
    Requirement,
    SelectorError,
    parse,
    parse_fields,
    requirement_from_document,
    validate_expression,
)
from sampan.apiserver.context import RequestContext
from sampan.apiserver.seams import Attributes

Requirements = tuple[Requirement, ...]
_LIMITED_VERBS: Final = frozenset({"list", "watch", "deletecollection"})
_OPERATORS: Final[Mapping[str, str]] = {
    "in": "In", "=": "In", "==": "In", "notin": "NotIn", "!=": "NotIn", "exists": "Exists", "!": "DoesNotExist",
}


def asked(ctx: RequestContext, user: UserInfo, verb: str) -> Attributes:
    """What a request is, for authorisers: with its selectors."""
    return Attributes(
        user, verb, ctx.is_resource, ctx.group, ctx.version, ctx.resource, ctx.subresource, ctx.namespace, ctx.name,
        ctx.request.path, *of_request(ctx),
    )


def of_request(ctx: RequestContext) -> tuple[Requirements, Requirements]:
    """Of fields and of labels; of a text that does not parse, its handler complains."""
    if not ctx.is_resource or ctx.verb not in _LIMITED_VERBS:
        return (), ()
    return _fields(ctx.request.param("fieldSelector"))[0], _labels(ctx.request.param("labelSelector"))[0]


def of_review(about: Object) -> tuple[Requirements, Requirements, str]:
    """Of a review's resourceAttributes: fields, labels, and what its `evaluationError` says."""
    notes: list[str] = []
    found: list[Requirements] = []
    readers = (("fieldSelector", _fields, _field_requirements), ("labelSelector", _labels, _label_requirements))
    for key, from_text, from_documents in readers:
        selector = about.get(key) or {}
        documents = selector.get("requirements") or []
        requirements, failed = from_documents(documents) if documents else from_text(selector.get("rawSelector") or "")
        if failed:
            partly = "partially ignored" if requirements else "ignored"
            notes.append(f"spec.resourceAttributes.{key} {partly} due to parse error")
        found.append(requirements)
    return found[0], found[1], "; ".join(notes)


def shown(fields: Requirements, labels: Requirements) -> Object:
    """As a webhook is asked: requirements only, and of labels those that have an operator there (not `>` and `<`)."""
    found: Object = {}
    for key, requirements in (("fieldSelector", fields), ("labelSelector", labels)):
        documents = [_document(one) for one in requirements if one.operator in _OPERATORS]
        if documents:
            found[key] = {"requirements": documents}
    return found


def problems(about: Object, path: Path) -> list[FieldError]:
    """Operators that are not known are no error: a newer client may know more."""
    errors: list[FieldError] = []
    for key, check in (("fieldSelector", _field_problems), ("labelSelector", _label_problems)):
        selector, at = about.get(key), path.child(key)
        if selector is None:
            continue
        raw, documents = selector.get("rawSelector") or "", selector.get("requirements") or []
        if raw and documents:
            errors.append(invalid(at.child("rawSelector"), raw, "may not specified at the same time as requirements"))
        if not raw and not documents:
            detail = f"when {at} is specified, requirements or rawSelector is required"
            errors.append(required(at.child("requirements"), detail))
        for position, document in enumerate(documents):
            errors += check(document, at.child("requirements").index(position))
    return errors


def _label_problems(document: Object, path: Path) -> list[FieldError]:
    return validate_expression(document, path, unknown_operators=True)


def _field_problems(document: Object, path: Path) -> list[FieldError]:
    errors = [] if document.get("key") else [required(path.child("key"), "must be specified")]
    operator, values = document.get("operator"), document.get("values") or []
    if operator in ("In", "NotIn") and not values:
        errors.append(required(path.child("values"), "must be specified when `operator` is 'In' or 'NotIn'"))
    if operator in ("Exists", "DoesNotExist") and values:
        detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        errors.append(forbidden(path.child("values"), detail))
    return errors


def _fields(text: str) -> tuple[Requirements, bool]:
    try:
        return parse_fields(text).requirements, False
    except SelectorError:
        return (), True


def _labels(text: str) -> tuple[Requirements, bool]:
    try:
        return parse(text).requirements, False
    except SelectorError:
        return (), True


def _field_requirements(documents: Sequence[Object]) -> tuple[Requirements, bool]:
    """A field selector knows equality and inequality: `In` of one value, `NotIn` of any number."""
    found: list[Requirement] = []
    failed = False
    for document in documents:
        key, operator, values = document["key"], document.get("operator"), document.get("values") or []
        if operator == "NotIn":
            found += [Requirement(key, "!=", (value,)) for value in values]
        elif operator == "In" and len(values) == 1:
            found.append(Requirement(key, "=", (values[0],)))
        else:
            failed = True
    return tuple(found), failed


def _label_requirements(documents: Sequence[Object]) -> tuple[Requirements, bool]:
    found: list[Requirement] = []
    failed = False
    for document in documents:
        try:
            found.append(requirement_from_document(document))
        except SelectorError:
            failed = True
    return tuple(found), failed


def _document(requirement: Requirement) -> Object:
    found: Object = {"key": requirement.key, "operator": _OPERATORS[requirement.operator]}
    if requirement.values:
        found["values"] = sorted(requirement.values)
    return found
