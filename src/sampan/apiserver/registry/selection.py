"""Which objects of a kind a list or watch asks for: namespace, name, labels, fields.

A selection is compiled once per request and then asked `matches(entry)` for every object or event. A field selector
that asks for nothing but a name becomes a look-up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from sampan.api.kind import Kind
from sampan.apimachinery import selectors
from sampan.apimachinery.errors import BadRequest
from sampan.apiserver.registry.entry import Entry

Matcher: TypeAlias = Callable[[Mapping[str, str]], bool]
EntryMatcher: TypeAlias = Callable[[Entry], bool]
_METADATA = ("metadata.name", "metadata.namespace")


@dataclass(frozen=True, slots=True)
class Selection:
    """`namespace` and `name` empty select all."""

    namespace: str = ""
    name: str = ""
    labels: Matcher | None = None
    fields: EntryMatcher | None = None
    label: tuple[str, tuple[str, ...] | None] | None = None
    """A label and the values of which `labels` demands one (None: any), if it does: what an index can look up."""
    field: tuple[str, str] | None = None
    """A field that the watch cache keeps of every object, and the value that `fields` demands of it, if it does."""
    text: tuple[str, str, str] = ("", "", "")
    """Namespace, label selector, field selector as they were asked for: equal ones select the same."""

    @property
    def plain(self) -> bool:
        """Only the namespace matters."""
        return not self.name and self.labels is None and self.fields is None

    def matches(self, entry: Entry) -> bool:
        """Whether the object belongs to the selection."""
        if self.namespace and entry.namespace != self.namespace:
            return False
        if self.name and entry.name != self.name:
            return False
        if self.labels is not None and not self.labels(entry.labels):
            return False
        return self.fields is None or self.fields(entry)


def select(kind: Kind, namespace: str, label_text: str, field_text: str) -> Selection:
    """Compile; raises BadRequest for what does not parse, or a field that the kind does not offer."""
    text = (namespace, label_text, field_text)
    if not label_text and not field_text:
        return Selection(namespace, text=text)
    labels: Matcher | None = None
    label: tuple[str, tuple[str, ...] | None] | None = None
    name = ""
    fields: EntryMatcher | None = None
    field: tuple[str, str] | None = None
    try:
        if label_text:
            parsed = selectors.parse(label_text)
            labels = None if parsed.selects_everything else parsed.matches
            label = _demanded(parsed)
        if field_text:
            name, fields, field = _fields(kind, field_text)
    except selectors.SelectorError as error:
        raise BadRequest(str(error)) from None
    return Selection(namespace, name, labels, fields, label, field, text)


def _demanded(selector: selectors.Selector) -> tuple[str, tuple[str, ...] | None] | None:
    """The requirement that few objects meet, as far as one can tell from its form."""
    for requirement in selector.requirements:
        if requirement.operator in ("=", "==", "in"):
            return requirement.key, requirement.values
    return next((
        (requirement.key, None) for requirement in selector.requirements if requirement.operator == "exists"
    ), None)


def _fields(kind: Kind, text: str) -> tuple[str, EntryMatcher | None, tuple[str, str] | None]:
    """The one name that is asked for, if any, the matcher of everything else, and a value it demands of a field."""
    selector = selectors.parse_fields(text)
    for field in selector.fields:
        if field not in _METADATA and field not in kind.field_names:
            raise BadRequest(_unknown(kind, field))
    name = selector.required_value("metadata.name") or ""
    if name and len(selector.requirements) == 1:
        return name, None, None
    if kind.storage_resource is not None and kind.from_storage is not None:
        from_storage = kind.from_storage
        return name, lambda entry: selector.matches(
            {**entry.metadata_fields(), **kind.fields(from_storage(entry.object()))}
        ), None
    demanded = next((
        (field, value) for field in selector.fields
        if field in kind.field_names and (value := selector.required_value(field)) is not None
    ), None)
    if any(field in _METADATA for field in selector.fields):
        return name, lambda entry: selector.matches({**entry.metadata_fields(), **entry.fields}), demanded
    return name, lambda entry: selector.matches(entry.fields), demanded


def _unknown(kind: Kind, field: str) -> str:
    if kind.field_names:
        return f"field label not supported: {field}"
    return f'"{field}" is not a known field selector: only "metadata.name", "metadata.namespace"'
