"""Field ownership (`managedFields`) of a write, before it is validated and stored."""

from __future__ import annotations

from typing import Final

from sampan import effects
from sampan.api.kind import Kind
from sampan.apimachinery.apply import update_managers
from sampan.apimachinery.apply.apply import STATUS, Write
from sampan.apimachinery.apply.fieldset import EMPTY, FieldSet
from sampan.apimachinery.object import Object
from sampan.apiserver.bodies import schema_of
from sampan.apiserver.registry.write_request import WriteRequest

_NOT_STATUS: Final[FieldSet] = frozenset({("f:spec",)})
_STATUS_ALONE: Final[FieldSet] = _NOT_STATUS | {("f:metadata",)}


def write_of(kind: Kind, manager: str, subresource: str) -> Write:
    """Who writes through which endpoint, now. A main endpoint does not write status, a status endpoint only that."""
    resets = EMPTY
    if subresource == "status":
        resets = _NOT_STATUS if kind.subresources["status"].writes_metadata else _STATUS_ALONE
    elif not subresource and "status" in kind.subresources:
        resets = STATUS
    return Write(manager, effects.timestamp(), subresource, resets)


def record(request: WriteRequest, new: Object, old: Object | None) -> None:
    """Bring `new`'s managedFields up to date, in place."""
    if not request.manager:
        if old is not None and new["metadata"].get("managedFields") is None and "managedFields" in old["metadata"]:
            new["metadata"]["managedFields"] = old["metadata"]["managedFields"]
        return
    managed = request.managed
    if managed is None:
        subresource = request.subresource.name if request.subresource else ""
        write = write_of(request.kind, request.manager, subresource)
        managed = update_managers(old, new, write, schema_of(request.kind))
    if managed:
        new["metadata"]["managedFields"] = managed
    else:
        new["metadata"].pop("managedFields", None)
