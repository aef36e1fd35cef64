"""Validation of a custom resource: its schema first, then, if nothing stands in the way, its rules in CEL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sampan.apimachinery import metadata as metadata_rules
from sampan.apimachinery.field import ErrorType, FieldError, Path, required
from sampan.apimachinery.object import Object
from sampan.apimachinery.schema.structural import has_rules
from sampan.apimachinery.schema.values import MISSING, Node, compile_values

if TYPE_CHECKING:  # loaded with the first rule, since it brings CEL
    from sampan.apiserver.extensions.rules import RuleTree

_BLOCKING: Final = frozenset({
    ErrorType.NOT_SUPPORTED, ErrorType.REQUIRED, ErrorType.TOO_LONG, ErrorType.TOO_MANY, ErrorType.TYPE_INVALID,
})
_NOT_CHECKED: Final = FieldError(
    ErrorType.INVALID, "<nil>", None,
    "some validation rules were not checked because the object was invalid; correct the existing errors to complete "
    "validation",
)


class Validator:
    """Of one version. Compiled at the first object, so that a cluster with hundreds of definitions starts quickly."""

    def __init__(self, raw: Object) -> None:
        self._raw = raw
        self._node: Node | None = None
        self._rules: RuleTree | None = None
        self._is_embedding = _embeds(raw)

    def validate(self, obj: Object) -> list[FieldError]:
        return self._errors(obj, MISSING)

    def validate_update(self, new: Object, old: Object) -> list[FieldError]:
        return self._errors(new, old)

    def _errors(self, obj: Object, old: Any) -> list[FieldError]:
        if self._node is None:
            self._compile()
        assert self._node is not None
        found = self._node.root_errors(obj, old)
        if self._is_embedding:
            found += _embedded(obj, self._raw, Path())
        if self._rules is None:
            return found
        if any(error.type in _BLOCKING for error in found):
            return [*found, _NOT_CHECKED]
        return found + self._rules.errors(obj, Path(), old)

    def _compile(self) -> None:
        self._node = compile_values(self._raw)
        if has_rules(self._raw):
            from sampan.apiserver.extensions.rules import RuleTree

            self._rules = RuleTree(self._raw, is_resource=True)


def _embeds(raw: Any) -> bool:
    if isinstance(raw, dict):
        return bool(raw.get("x-kubernetes-embedded-resource")) or any(_embeds(item) for item in raw.values())
    return isinstance(raw, list) and any(_embeds(item) for item in raw)


def _embedded(value: Any, raw: Object, path: Path) -> list[FieldError]:
    """Embedded resources name their kind and version."""
    found: list[FieldError] = []
    if isinstance(value, dict):
        if raw.get("x-kubernetes-embedded-resource"):
            found += [required(path.child(key), "must not be empty")
                      for key in ("apiVersion", "kind") if not value.get(key)]
            if isinstance(value.get("metadata"), dict):
                labels = value["metadata"].get("labels")
                found += metadata_rules.validate_labels(labels, path.child("metadata").child("labels"))
        more = raw.get("additionalProperties")
        for name, item in value.items():
            body = (raw.get("properties") or {}).get(name, more if isinstance(more, dict) else None)
            if body is not None:
                found += _embedded(item, body, path.child(name))
    elif isinstance(value, list) and isinstance(raw.get("items"), dict):
        for position, item in enumerate(value):
            found += _embedded(item, raw["items"], path.index(position))
    return found
