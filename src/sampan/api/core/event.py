"""Event (core/v1): something that happened to an object. events.k8s.io/v1 shows the same stored objects."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sampan.api.columns import NAME, since
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
    """When it happened last: what a series says comes before the older fields."""
    series = obj.get("series")
    if series is not None:
        return since(series.get("lastObservedTime"), now)
    return since(obj.get("lastTimestamp"), now) if obj.get("lastTimestamp") else first_seen(obj, now)


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
    if obj.get("series") is not None:
        return int(dig(obj, "series", "count", default=0))
    return obj.get("count") or 1


def message_text(obj: Object, now: datetime) -> str:
    return str(obj.get("message") or "").strip()


COLUMNS = (
    Column("Last Seen", "string", last_seen, doc="core.v1.Event#lastTimestamp"),
    Column("Type", "string", lambda obj, now: obj.get("type", ""), doc="core.v1.Event#type"),
    Column("Reason", "string", lambda obj, now: obj.get("reason", ""), doc="core.v1.Event#reason"),
    Column("Object", "string", object_text, doc="core.v1.Event#involvedObject"),
    Column("Subobject", "string", lambda obj, now: dig(obj, "involvedObject", "fieldPath", default=""),
           doc="core.v1.ObjectReference#fieldPath", priority=1),
    Column("Source", "string", source_text, doc="core.v1.Event#source", priority=1),
    Column("Message", "string", message_text, doc="core.v1.Event#message"),
    Column("First Seen", "string", first_seen, doc="core.v1.Event#firstTimestamp", priority=1),
    Column("Count", "string", times_text, doc="core.v1.Event#count", priority=1),
    replace(NAME, priority=1),
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
