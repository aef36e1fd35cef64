"""Event (core/v1): something that happened to an object. events.k8s.io/v1 shows the same stored objects."""

from __future__ import annotations

from datetime import datetime

from sampan.api.columns import NAME, UNKNOWN, since
from sampan.api.kind import Column, Kind
from sampan.api.resources import CORE_EVENTS
from sampan.apimachinery.field import FieldError, Path, invalid
from sampan.apimachinery.object import Object, dig, namespace_of

_FIELDS = {
    "involvedObject.kind": ("involvedObject", "kind"),
    "involvedObject.namespace": ("involvedObject", "namespace"),
    "involvedObject.name": ("involvedObject", "name"),
    "involvedObject.uid": ("involvedObject", "uid"),
    "involvedObject.apiVersion": ("involvedObject", "apiVersion"),
    "involvedObject.resourceVersion": ("involvedObject", "resourceVersion"),
    "involvedObject.fieldPath": ("involvedObject", "fieldPath"),
    "reason": ("reason",),
    "reportingComponent": ("reportingComponent",),
    "type": ("type",),
}


def selectable(obj: Object) -> dict[str, str]:
    """`source` is the component that reported, under whichever name it did."""
    values = {name: dig(obj, *path, default="") for name, path in _FIELDS.items()}
    values["source"] = dig(obj, "source", "component", default="") or values["reportingComponent"]
    return values


def validate(obj: Object) -> list[FieldError]:
    """An event lives in its object's namespace, or in `default` when the object has none."""
    namespace, involved = namespace_of(obj), dig(obj, "involvedObject", "namespace", default="")
    path = Path("involvedObject").child("namespace")
    if not involved:
        if namespace not in ("", "default", "kube-system"):
            return [invalid(path, involved, "does not match event.namespace")]
    elif involved != namespace:
        return [invalid(path, involved, "does not match event.namespace")]
    return []


def last_seen(obj: Object, now: datetime) -> str:
    """`2m (x3 over 10m)` for repeated events, as upstream counts them in series and in the old fields."""
    first = obj.get("firstTimestamp") or obj.get("eventTime")
    series = obj.get("series")
    if series:
        last, times = series.get("lastObservedTime"), series.get("count") or 0
    else:
        last, times = obj.get("lastTimestamp"), obj.get("count") or 0
    text = since(last, now)
    if times > 1:
        return f"{text} (x{times} over {since(first, now)})"
    return text if text != UNKNOWN else since(first, now)


def first_seen(obj: Object, now: datetime) -> str:
    return since(obj.get("firstTimestamp") or obj.get("eventTime"), now)


def object_text(obj: Object, now: datetime) -> str:
    involved = obj.get("involvedObject") or {}
    kind, name = str(involved.get("kind", "")).lower(), involved.get("name", "")
    return f"{kind}/{name}" if name else kind


def source_text(obj: Object, now: datetime) -> str:
    source = obj.get("source") or {}
    component = source.get("component") or obj.get("reportingComponent") or ""
    host = source.get("host") or obj.get("reportingInstance") or ""
    return f"{component}, {host}" if host else component


def times_text(obj: Object, now: datetime) -> int:
    return max(dig(obj, "series", "count", default=0) or obj.get("count") or 0, 1)


def message_text(obj: Object, now: datetime) -> str:
    return str(obj.get("message") or "").strip()


COLUMNS = (
    Column("Last Seen", "string", last_seen, "The time at which the most recent occurrence of this event was "
                                             "recorded."),
    Column("Type", "string", lambda obj, now: obj.get("type", ""), "Type of this event (Normal, Warning)."),
    Column("Reason", "string", lambda obj, now: obj.get("reason", ""), "A short, machine readable reason."),
    Column("Object", "string", object_text, "The object that this event is about."),
    Column("Subobject", "string", lambda obj, now: dig(obj, "involvedObject", "fieldPath", default=""),
           "A part of the object.", priority=1),
    Column("Source", "string", source_text, "The component reporting this event.", priority=1),
    Column("Message", "string", message_text, "A human-readable description."),
    Column("First Seen", "string", first_seen, "The time at which the event was first recorded.", priority=1),
    Column("Count", "string", times_text, "The number of times this event has occurred.", priority=1),
    Column("Name", NAME.type, NAME.cell, NAME.description, NAME.format, priority=1),
)

CORE_EVENT = Kind(
    resource=CORE_EVENTS,
    definition="io.k8s.api.core.v1.Event",
    singular="event",
    short_names=("ev",),
    validate=validate,
    field_names=(*_FIELDS, "source"),
    fields=selectable,
    columns=COLUMNS,
)
