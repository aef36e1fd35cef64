"""LabelSelectors as kinds hold them: rules, and whether one selects given labels."""

from __future__ import annotations

from sampan.apimachinery.field import FieldError, Path
from sampan.apimachinery.object import Object
from sampan.apimachinery.selectors import SelectorError, from_document, validate_document


def validate_label_selector(selector: Object | None, path: Path) -> list[FieldError]:
    """Keys are qualified names; In and NotIn need values, Exists and DoesNotExist have none."""
    return validate_document(selector, path)


def is_empty(selector: Object | None) -> bool:
    return not selector or not (selector.get("matchLabels") or selector.get("matchExpressions"))


def matches(selector: Object | None, labels: dict[str, str]) -> bool:
    """Whether a LabelSelector selects these labels; a missing or broken selector selects nothing."""
    try:
        return from_document(selector).matches(labels)
    except SelectorError:
        return False


def query_of_selector(selector: Object | None) -> str:
    """A LabelSelector as the query string that selects the same; empty where there is none."""
    if selector is None:
        return ""
    try:
        return str(from_document(selector))
    except SelectorError:
        return ""


def query_of_map(selector: dict[str, str] | None) -> str:
    """The same for the plain map of a ReplicationController."""
    return ",".join(f"{key}={value}" for key, value in sorted((selector or {}).items()))
