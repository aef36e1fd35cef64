"""What a client may write through which endpoint: the strategies that most kinds share.

An object with a `status` subresource keeps its status on an ordinary update and everything else on a status update; one
with a generation starts at 1 and counts up whenever its spec (all that is neither metadata nor status) changes.
Everything works in place on plain documents.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sampan.api.kind import Subresource
from sampan.apimachinery.field import FieldError
from sampan.apimachinery.object import Object

_NOT_SPEC = frozenset({"apiVersion", "kind", "metadata", "status"})
_NOT_STATUS_METADATA = ("labels", "annotations", "finalizers", "ownerReferences")
PrepareCreate = Callable[[Object], None]
ValidateUpdate = Callable[[Object, Object], list[FieldError]]


def ensure(parent: Object, key: str) -> Object:
    """The object at `key`, created empty when it is missing or null."""
    found = parent.get(key)
    if not isinstance(found, dict):
        found = parent[key] = {}
    return found


def setdefault(parent: Object, key: str, value: Any) -> None:
    """As dict.setdefault, but null counts as missing: in the API, null and absent are the same."""
    if parent.get(key) is None:
        parent[key] = value


def drop_status(obj: Object) -> None:
    """On create: a client cannot bring a status."""
    obj["status"] = {}


def zero_status(obj: Object, *counts: str) -> None:
    """Counts that upstream always writes, zero too; typed clients insist on them."""
    status = ensure(obj, "status")
    for key in counts:
        setdefault(status, key, 0)


def counting_from_zero(prepare_create: PrepareCreate, *counts: str) -> PrepareCreate:
    """A strategy's `prepare_create` that leaves a status with these counts behind."""
    def prepare(obj: Object) -> None:
        prepare_create(obj)
        zero_status(obj, *counts)

    return prepare


def keep_status(new: Object, old: Object) -> None:
    """On an ordinary update: the status stays what it was."""
    _carry(new, old, "status")


def start_generation(obj: Object) -> None:
    ensure(obj, "metadata")["generation"] = 1


def count_generation(new: Object, old: Object) -> None:
    """Raise `metadata.generation` when anything but metadata and status differs."""
    metadata = ensure(new, "metadata")
    before = (old.get("metadata") or {}).get("generation") or 0
    metadata["generation"] = before + (0 if same_spec(new, old) else 1)


def same_spec(new: Object, old: Object) -> bool:
    """True when the two agree on everything outside metadata and status."""
    return all(new.get(key) == old.get(key) for key in (new.keys() | old.keys()) - _NOT_SPEC)


def create_with_generation(obj: Object) -> None:
    drop_status(obj)
    start_generation(obj)


def update_with_generation(new: Object, old: Object) -> None:
    keep_status(new, old)
    count_generation(new, old)


def keep_all_but_status(new: Object, old: Object) -> None:
    """On a status update: the spec stays what it was, and so does what only deletion may set."""
    for key in (new.keys() | old.keys()) - _NOT_SPEC:
        _carry(new, old, key)
    keep_generation(new, old)


def keep_generation(new: Object, old: Object) -> None:
    _carry(ensure(new, "metadata"), old.get("metadata") or {}, "generation")


def keep_labels_and_all_but_status(new: Object, old: Object) -> None:
    """As `keep_all_but_status`, for kinds whose labels a status update may not change either."""
    keep_all_but_status(new, old)
    _carry(ensure(new, "metadata"), old.get("metadata") or {}, "labels")


def keep_metadata_and_all_but_status(new: Object, old: Object) -> None:
    """As `keep_all_but_status`, for kinds whose metadata a status update may not change either."""
    keep_all_but_status(new, old)
    for key in _NOT_STATUS_METADATA:
        _carry(ensure(new, "metadata"), old.get("metadata") or {}, key)


def status_subresource(
    validate_update: ValidateUpdate | None = None,
    prepare_update: Callable[[Object, Object], None] = keep_all_but_status,
    default: Callable[[Object], None] | None = None,
) -> dict[str, Subresource]:
    """The `status` entry of a kind's subresources. `default` as `Subresource.default`."""
    return {"status": Subresource("status", prepare_update=prepare_update, validate_update=validate_update,
                                  default=default)}


def no_defaults(obj: Object) -> None:
    """The `default` of a status that has none."""


def status_alone(validate_update: ValidateUpdate | None = None) -> dict[str, Subresource]:
    """As `status_subresource`, of the kinds where nothing but the status is written through it."""
    return {"status": Subresource("status", prepare_update=keep_metadata_and_all_but_status,
                                  validate_update=validate_update, writes_metadata=False)}


def _carry(new: Object, old: Object, key: str) -> None:
    if old.get(key) is None:
        new.pop(key, None)
    else:
        new[key] = old[key]
