"""The cells that many kinds' tables share: name, age, counts, selectors, the containers of a template.

A cell is a function of the object and the present moment. A row is printed for every object of a list, so cells read
plain dictionaries and never copy. Times show as upstream's HumanDuration (`5m12s`, `3d4h`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from sampan.api.kind import Column
from sampan.apimachinery import duration
from sampan.apimachinery.object import Object, dig, meta, name_of
from sampan.apimachinery.selectors import format_document

NONE = "<none>"
UNKNOWN = "<unknown>"
UNSET = "<unset>"

Cell = Callable[[Object, datetime], Any]


def parse_time(text: Any) -> datetime | None:
    """A `Time` or `MicroTime` of the API; None where it is absent or malformed."""
    try:
        return duration.parse_time(text) if text else None
    except ValueError:
        return None


def since(text: Any, now: datetime) -> str:
    """How long ago a timestamp was, `<unknown>` when there is none."""
    return duration.age(text, now)


def age(obj: Object, now: datetime) -> str:
    return since(meta(obj).get("creationTimestamp"), now)


def at(*path: str | int, default: Any = "") -> Cell:
    """A cell that shows the value at a path."""

    def cell(obj: Object, now: datetime) -> Any:
        return dig(obj, *path, default=default)

    return cell


def count(*path: str) -> Cell:
    """A cell that shows an integer, zero when absent."""
    return at(*path, default=0)


def ingress_points(obj: Object) -> list[str]:
    """The addresses or names at which a load balancer takes traffic in, each once, sorted."""
    points = dig(obj, "status", "loadBalancer", "ingress", default=())
    return sorted({text for point in points if (text := point.get("ip") or point.get("hostname"))})


def length(*path: str) -> Cell:
    """A cell that shows how many items a list or map holds."""

    def cell(obj: Object, now: datetime) -> int:
        return len(dig(obj, *path, default=()))

    return cell


def labels_text(labels: Mapping[str, str] | None) -> str:
    """`a=1,b=2` in the order of the keys, `<none>` when there are none."""
    return ",".join(f"{key}={labels[key]}" for key in sorted(labels)) if labels else NONE


def labels_cell(*path: str) -> Cell:
    return lambda obj, now: labels_text(dig(obj, *path))


def selector_cell(*path: str) -> Cell:
    return lambda obj, now: format_document(dig(obj, *path))


def container_field(field: str, *path: str) -> Cell:
    """The names or images of the containers of the pod spec at `path`, comma-separated."""

    def cell(obj: Object, now: datetime) -> str:
        return ",".join(str(container.get(field, "")) for container in dig(obj, *path, "containers", default=()))

    return cell


NAME = Column("Name", "string", lambda obj, now: name_of(obj), format="name", doc="meta.v1.ObjectMeta#name")
AGE = Column("Age", "string", age, doc="meta.v1.ObjectMeta#creationTimestamp")
CREATED_AT = Column(
    "Created At", "date", lambda obj, now: meta(obj).get("creationTimestamp", ""),
    doc="meta.v1.ObjectMeta#creationTimestamp",
)
NAME_AND_AGE = (NAME, AGE)


def template_columns(selector: Cell | None, *pod_spec: str, doc: str = "") -> tuple[Column, ...]:
    """The wide columns of workloads: Containers, Images and, with a selector (described by `doc`), Selector."""
    columns = (
        Column("Containers", "string", container_field("name", *pod_spec),
               "Names of each container in the template.", priority=1),
        Column("Images", "string", container_field("image", *pod_spec),
               "Images referenced by each container in the template.", priority=1),
    )
    if selector is None:
        return columns
    return (*columns, Column("Selector", "string", selector, priority=1, doc=doc))
