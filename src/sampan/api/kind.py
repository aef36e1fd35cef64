"""What the API server must know of a kind, as one value.

A built-in kind is a file in a group's folder that defines one `Kind`; `sampan.api.kinds.KINDS` lists them all in
order. The functions work on plain documents and are pure: they see no store and no cluster (what needs one, such as
allocating a Service's address, lives in `apiserver/registry`). A kind from a CustomResourceDefinition is the same
value, made at run time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from sampan.apimachinery.field import FieldError
from sampan.apimachinery.object import Object
from sampan.apimachinery.resource import Resource
from sampan.apimachinery.schema.compile import Schema

Convert: TypeAlias = Callable[[list[Object], str], Awaitable[list[Object]]]
"""Documents, in whatever version each is, brought to an apiVersion, in their order. Raises an APIError."""

STANDARD_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of `kubectl get`: as `metav1.TableColumnDefinition`, with the function that fills its cell.

    `cell(object, now)` returns a string, number or boolean. `priority` above 0 shows only with `-o wide`. What the
    column means is said by `description`, or by the documentation of the field that `doc` names as
    `GROUP.VERSION.TYPE#field`; see `api.column_texts`.
    """

    name: str
    type: str
    cell: Callable[[Object, datetime], Any]
    description: str = ""
    format: str = ""
    priority: int = 0
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Subresource:
    """`status`, `scale` and others that are a view of the object itself (not streams or reviews, which are handlers).

    `prepare_update(new, old)` copies from `old` into `new` everything this subresource must not change.

    Where the wire shows another kind (`scale` shows a Scale), `resource` names it, `to_view(object)` makes that
    document and `from_view(view, object)` writes into the object, in place, what the view may change.
    """

    name: str
    verbs: tuple[str, ...] = ("get", "patch", "update")
    resource: Resource | None = None
    prepare_update: Callable[[Object, Object], None] | None = None
    validate_update: Callable[[Object, Object], list[FieldError]] | None = None
    default: Callable[[Object], None] | None = None
    """Defaults of what it may change, where that is status and metadata alone; None: the kind's own. The rest comes
    from the stored object, which is complete, and `prepare_update` replaces it without looking into it."""
    to_view: Callable[[Object], Object] | None = None
    from_view: Callable[[Object, Object], None] | None = None
    writes_metadata: bool = True
    """Whether labels, annotations and the like can be written, and so owned, through it."""


def _nothing(obj: Object) -> None:
    """No defaults, nothing to reset."""


def _nothing_to_prepare(new: Object, old: Object) -> None:
    """Nothing to reset on update."""


def _valid(obj: Object) -> list[FieldError]:
    return []


def _valid_update(new: Object, old: Object) -> list[FieldError]:
    return []


def _no_warnings(new: Object, old: Object | None) -> Iterable[str]:
    return ()


def _no_fields(obj: Object) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True)
class Custom:
    """What only a kind from a CustomResourceDefinition has.

    `schema` is its shape, `published` that shape as OpenAPI shows it. `on_read` brings a document that comes from the
    store to this version and to the present schema (pruned, defaulted), in place; true if that changed anything.
    `convert` is set where another program converts between versions; then `on_read` leaves the version alone.
    `warning` goes to everybody who uses a deprecated version.
    """

    schema: Schema
    published: Object
    on_read: Callable[[Object], bool]
    storage_version: str
    convert: Convert | None = None
    warning: str = ""


@dataclass(frozen=True, slots=True)
class Kind:
    """Everything about a kind that the generic machinery asks for.

    - `definition`: its OpenAPI definition, e.g. `io.k8s.api.core.v1.Pod`; the structural schema is compiled from it.
    - `default(obj)`: upstream's defaulting, in place.
    - `prepare_create(obj)`, `prepare_update(new, old)`: the strategy: drop what a client may not set (status on create;
      status on an ordinary update), set and raise `metadata.generation` where the kind has one. In place.
    - `validate(obj)`, `validate_update(new, old)`: rules beyond the schema, with upstream's messages. `validate_update`
      holds only what compares the two (immutability); the server calls `validate(new)` as well. `metadata` is the
      server's business except for `valid_name`.
    - `valid_name(name)`: why the name is not valid, empty if it is (default: DNS-1123 subdomain).
    - `fields(obj)`: values for field selectors beyond metadata.name and metadata.namespace; `field_names`, their keys.
    - `columns`: after the leading Name column is *included*, i.e. the whole row.
    """

    resource: Resource
    definition: str
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = STANDARD_VERBS
    default: Callable[[Object], None] = _nothing
    prepare_create: Callable[[Object], None] = _nothing
    prepare_update: Callable[[Object, Object], None] = _nothing_to_prepare
    validate: Callable[[Object], list[FieldError]] = _valid
    validate_update: Callable[[Object, Object], list[FieldError]] = _valid_update
    valid_name: Callable[[str], list[str]] | None = None
    field_names: tuple[str, ...] = ()
    fields: Callable[[Object], Mapping[str, str]] = _no_fields
    columns: tuple[Column, ...] = ()
    row_conditions: Callable[[Object], list[Object]] | None = None
    """What a row of its table says of the object as a whole: that a pod has completed."""
    table_order: Callable[[Object], tuple[Any, ...]] | None = None
    """By what a list shows its rows as a table; in the list's own order without."""
    subresources: Mapping[str, Subresource] = field(default_factory=dict)
    default_grace_period_s: Callable[[Object], int] | None = None
    """For kinds with graceful deletion (Pod): the grace period of an object; None deletes at once."""
    storage_resource: Resource | None = None
    """Set when this kind is a second view of objects that another kind stores (events.k8s.io Event, autoscaling/v1)."""
    from_storage: Callable[[Object], Object] | None = None
    """The stored kind's document as this kind; a new document that may share parts with the one given."""
    to_storage: Callable[[Object], Object] | None = None
    """The inverse: this kind's document as the stored kind."""
    warnings: Callable[[Object, Object | None], Iterable[str]] = _no_warnings
    """What the author of a valid object is told all the same: `api/warnings/`."""
    deprecation: str = ""
    """What everybody is told who uses the kind at all."""
    prepare_delete: Callable[[Object], None] | None = None
    """What the first request to delete an object adds to it, in place: a finalizer, a condition."""
    custom: Custom | None = None
    """Set for kinds that came at run time. Their `validate_update` compares and checks alike: `validate` is then not
    called on an update, since what a client did not change may stay invalid."""

    @property
    def list_kind(self) -> str:
        return f"{self.resource.kind}List"
