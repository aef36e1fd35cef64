"""Event (events.k8s.io/v1): the newer names for what core/v1 Event stores."""

from __future__ import annotations

from dataclasses import replace

from sampan.api.core.event import COLUMNS
from sampan.api.core.event import validate as validate_stored
from sampan.api.kind import Column, Kind
from sampan.api.resources import CORE_EVENTS, EVENTS
from sampan.apimachinery.field import FieldError, Path, invalid, not_supported, required
from sampan.apimachinery.object import Object, dig

_TO_STORED = {
    "regarding": "involvedObject", "note": "message", "reportingController": "reportingComponent",
    "deprecatedSource": "source", "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp", "deprecatedCount": "count",
}
_FROM_STORED = {stored: shown for shown, stored in _TO_STORED.items()}


def to_storage(obj: Object) -> Object:
    return {_TO_STORED.get(key, key): value for key, value in obj.items()} | {"apiVersion": "v1"}


def from_storage(obj: Object) -> Object:
    shown = {_FROM_STORED.get(key, key): value for key, value in obj.items()}
    return shown | {"apiVersion": "events.k8s.io/v1"}


def validate(obj: Object) -> list[FieldError]:
    """The newer API asks for more than the older one."""
    errors = validate_stored(to_storage(obj))
    if not obj.get("eventTime"):
        return errors + ([] if obj.get("deprecatedFirstTimestamp") else [required(Path("eventTime"))])
    for key in ("reportingController", "reportingInstance", "action", "reason"):
        if not obj.get(key):
            errors.append(required(Path(key)))
        elif key != "reportingController" and len(obj[key]) > 128:
            errors.append(invalid(Path(key), "", "can have at most 128 characters"))
    if obj.get("type") not in ("Normal", "Warning"):
        errors.append(not_supported(Path("type"), obj.get("type", ""), ("Normal", "Warning")))
    if len(str(obj.get("note") or "")) > 1024:
        errors.append(invalid(Path("message"), "", "can have at most 1024 characters"))
    return errors


def _stored(column: Column) -> Column:
    """A column of the stored kind, for a document with the newer names."""
    return replace(column, cell=lambda obj, now: column.cell(to_storage(obj), now))


def selectable(obj: Object) -> dict[str, str]:
    return {
        "regarding.kind": dig(obj, "regarding", "kind", default=""),
        "regarding.namespace": dig(obj, "regarding", "namespace", default=""),
        "regarding.name": dig(obj, "regarding", "name", default=""),
        "regarding.uid": dig(obj, "regarding", "uid", default=""),
        "regarding.apiVersion": dig(obj, "regarding", "apiVersion", default=""),
        "regarding.resourceVersion": dig(obj, "regarding", "resourceVersion", default=""),
        "regarding.fieldPath": dig(obj, "regarding", "fieldPath", default=""),
        "reason": obj.get("reason", ""),
        "reportingController": obj.get("reportingController", ""),
        "type": obj.get("type", ""),
    }


EVENT = Kind(
    resource=EVENTS,
    definition="io.k8s.api.events.v1.Event",
    singular="event",
    short_names=("ev",),
    validate=validate,
    field_names=tuple(selectable({})),
    fields=selectable,
    columns=tuple(_stored(column) for column in COLUMNS),
    storage_resource=CORE_EVENTS,
    from_storage=from_storage,
    to_storage=to_storage,
)
