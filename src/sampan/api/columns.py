"""The cells that many kinds' tables share: name, age, counts, selectors, the containers of a template.

A cell is a function of the object and the present moment. A row is printed for every object of a list, so cells read
plain dictionaries and never copy. Times show as upstream's HumanDuration (`5m12s`, `3d4h`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from sampan.api.kind import Column
from sampan.apimachinery.object import Object, dig, meta, name_of

NONE = "<none>"
UNKNOWN = "<unknown>"
UNSET = "<unset>"

Cell = Callable[[Object, datetime], Any]


def human_duration(seconds: float) -> str:
    """A duration with at most two units, coarser the longer it is."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 0:
        return "0s"
    if whole < 120:
        return f"{whole}s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if hours < 192:
        return _two(days, "d", hours % 24, "h")
    if days < 365 * 2:
        return f"{days}d"
    if days < 365 * 8:
        return _two(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"


def parse_time(text: Any) -> datetime | None:
    """A `Time` or `MicroTime` of the API; None where it is absent or malformed."""
    if not isinstance(text, str) or not text:
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def since(text: Any, now: datetime) -> str:
    """How long ago a timestamp was, `<unknown>` when there is none."""
    moment = parse_time(text)
    return human_duration((now - moment).total_seconds()) if moment else UNKNOWN


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


def length(*path: str) -> Cell:
    """A cell that shows how many items a list or map holds."""

    def cell(obj: Object, now: datetime) -> int:
        return len(dig(obj, *path, default=()))

    return cell


def labels_text(labels: Mapping[str, str] | None) -> str:
    """`a=1,b=2` in the order of the keys, `<none>` when there are none."""
    return ",".join(f"{key}={labels[key]}" for key in sorted(labels)) if labels else NONE


def selector_text(selector: Mapping[str, Any] | None) -> str:
    """A LabelSelector as one line: `app=a,tier in (x,y),!gone`."""
    if not selector:
        return NONE
    parts = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for rule in sorted(selector.get("matchExpressions") or [], key=lambda rule: str(rule.get("key", ""))):
        key, values = rule.get("key", ""), ",".join(sorted(rule.get("values") or []))
        shown = {
            "In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})", "Exists": key, "DoesNotExist": f"!{key}",
        }
        parts.append(shown.get(rule.get("operator", ""), key))
    return ",".join(parts) or NONE


def labels_cell(*path: str) -> Cell:
    return lambda obj, now: labels_text(dig(obj, *path))


def selector_cell(*path: str) -> Cell:
    return lambda obj, now: selector_text(dig(obj, *path))


def container_field(field: str, *path: str) -> Cell:
    """The names or images of the containers of the pod spec at `path`, comma-separated."""

    def cell(obj: Object, now: datetime) -> str:
        return ",".join(str(container.get(field, "")) for container in dig(obj, *path, "containers", default=()))

    return cell


NAME = Column(
    "Name", "string", lambda obj, now: name_of(obj),
    "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a "
    "client to request the generation of an appropriate name automatically. Name is primarily intended for creation "
    "idempotence and configuration definition. Cannot be updated.", format="name",
)
AGE = Column(
    "Age", "string", age,
    "CreationTimestamp is a timestamp representing the server time when this object was created.",
)
NAME_AND_AGE = (NAME, AGE)


def template_columns(selector: Cell | None, *pod_spec: str) -> tuple[Column, ...]:
    """The wide columns of workloads: Containers, Images and, with a selector, Selector."""
    columns = (
        Column("Containers", "string", container_field("name", *pod_spec),
               "Names of each container in the template.", priority=1),
        Column("Images", "string", container_field("image", *pod_spec),
               "Images referenced by each container in the template.", priority=1),
    )
    if selector is None:
        return columns
    return (*columns, Column("Selector", "string", selector,
                             "Which pods belong to it: a label query.", priority=1))
