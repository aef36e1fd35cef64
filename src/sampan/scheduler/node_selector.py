"""Which nodes a pod wants: nodeSelector, required and preferred node affinity, compiled once per pod.

Terms are alternatives; within a term every expression on labels and every field must hold; an empty term matches
nothing (API documentation of NodeSelectorTerm).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from sampan.apimachinery.object import Object
from sampan.apimachinery.selectors import Requirement, Selector

Labels: TypeAlias = Mapping[str, str]
NodeMatcher: TypeAlias = Callable[[str, Labels], bool]
"""Given a node's name and labels."""

_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!", "Gt": "gt", "Lt": "lt"}


@dataclass(frozen=True, slots=True)
class NodeSelector:
    """`matches(name, labels)`, and the names that are possible at all, None if that is not limited."""

    matches: NodeMatcher
    names: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Preference:
    weight: int
    matches: NodeMatcher


def required(spec: Object) -> NodeSelector | None:
    """nodeSelector and required node affinity together; None when the pod takes any node."""
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    selector: Object | None = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    labels: Mapping[str, str] = spec.get("nodeSelector") or {}
    if selector is None:
        return NodeSelector(lambda _, present: labels.items() <= present.items()) if labels else None
    found = of_document(selector)
    if not labels:
        return found
    return NodeSelector(
        lambda name, present: labels.items() <= present.items() and found.matches(name, present), found.names
    )


def of_document(selector: Object) -> NodeSelector:
    """From a NodeSelector document, as pods, volumes and devices have it."""
    terms = selector.get("nodeSelectorTerms") or []
    alternatives = [_term(term) for term in terms]
    return NodeSelector(lambda name, present: any(term(name, present) for term in alternatives), _names(terms))


def preferred(spec: Object) -> tuple[Preference, ...]:
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    return tuple(
        Preference(term["weight"], _term(term.get("preference") or {}))
        for term in affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or []
        if term.get("weight")
    )


def _term(term: Object) -> NodeMatcher:
    expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    if not expressions and not fields:
        return lambda name, labels: False
    on_labels, on_fields = _compiled(expressions), _compiled(fields)
    if not fields:
        return lambda name, labels: on_labels.matches(labels)
    return lambda name, labels: on_labels.matches(labels) and on_fields.matches({"metadata.name": name})


def _compiled(expressions: list[Object]) -> Selector:
    return Selector([
        Requirement(expression["key"], _OPERATORS[expression["operator"]], tuple(expression.get("values") or ()))
        for expression in expressions
    ])


def _names(terms: list[Object]) -> frozenset[str] | None:
    """The node names that the terms allow if every one of them names nodes, as a DaemonSet's pods do."""
    names: set[str] = set()
    for term in terms:
        named = [
            frozenset(field["values"]) for field in term.get("matchFields") or []
            if field["key"] == "metadata.name" and field["operator"] == "In"
        ]
        if not named:
            return None
        names |= frozenset.intersection(*named)
    return frozenset(names)
