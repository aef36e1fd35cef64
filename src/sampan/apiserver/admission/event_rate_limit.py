"""EventRateLimit: so many events a second and no more, altogether, a namespace and a user.

Token buckets; those that were not used for longest are forgotten. Off unless enabled, as upstream. The limits come from
the configuration (`eventratelimit.admission.k8s.io/v1alpha1` Configuration); without one they are upstream's documented
example.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import ClassVar, Final

from sampan import effects
from sampan.apimachinery.errors import TooManyRequests
from sampan.apimachinery.field import FieldError, Path, invalid, not_supported
from sampan.apimachinery.object import Object
from sampan.apiserver.admission import configuration
from sampan.apiserver.admission.plugin import Plugin
from sampan.apiserver.seams import AdmissionAttributes, Operation, ServerParts


@dataclass(frozen=True, slots=True)
class Limit:
    """Of one type: Server, Namespace, User or SourceAndObject. `kept` bounds how many buckets are remembered."""

    type: str
    per_second: float
    burst: int
    kept: int = 2000


_TYPES: Final = ("Server", "Namespace", "User", "SourceAndObject")
_KEPT: Final = 4096
LIMITS: Final = (Limit("Server", 50, 500), Limit("Namespace", 50, 100), Limit("User", 10, 50))


class EventRateLimit(Plugin):
    name = "EventRateLimit"
    resources = frozenset({("", "events"), ("events.k8s.io", "events")})
    operations: ClassVar[frozenset[Operation]] = frozenset({"CREATE", "UPDATE"})

    def __init__(self, limits: tuple[Limit, ...] = LIMITS) -> None:
        self._buckets: list[tuple[Limit, OrderedDict[str, tuple[float, float]]]] = [
            (limit, OrderedDict()) for limit in limits
        ]

    async def validate(self, attributes: AdmissionAttributes) -> None:
        if attributes.dry_run:
            return
        for limit, buckets in self._buckets:
            key = _key(limit.type, attributes)
            if not _take(limit, buckets, key):
                raise TooManyRequests(f"limit reached on type {limit.type} for key {key}", retry_after_s=1)


def _key(type: str, attributes: AdmissionAttributes) -> str:
    if type == "Namespace":
        return attributes.namespace
    if type == "User":
        return attributes.user.name
    if type != "SourceAndObject":
        return ""
    event = attributes.object or {}
    source = event.get("source") or event.get("deprecatedSource") or {}
    about = event.get("involvedObject") or event.get("regarding") or {}
    names = ("kind", "namespace", "name", "uid", "apiVersion")
    return "".join([source.get("component", ""), source.get("host", ""), *(about.get(name, "") for name in names)])


def _take(limit: Limit, buckets: OrderedDict[str, tuple[float, float]], key: str) -> bool:
    """Take one token of a bucket (tokens, when they were counted); whether there was one."""
    now = effects.monotonic()
    tokens, counted = buckets.get(key, (float(limit.burst), now))
    tokens = min(float(limit.burst), tokens + (now - counted) * limit.per_second)
    buckets[key] = (tokens - 1 if tokens >= 1 else tokens, now)
    buckets.move_to_end(key)
    if len(buckets) > limit.kept:
        buckets.popitem(last=False)
    return tokens >= 1


def limits(document: Object | None) -> tuple[Limit, ...]:
    """Those of a Configuration. Raises ValueError."""
    if document is None:
        return LIMITS
    configuration.checked(document, "Configuration", ("eventratelimit.admission.k8s.io/v1alpha1",))
    path, wrong = Path("limits"), list[FieldError]()
    given = document.get("limits") or ()
    if not given:
        wrong.append(invalid(path, [], "must not be empty"))
    for position, one in enumerate(given):
        where = path.index(position)
        if one.get("type") not in _TYPES:
            wrong.append(not_supported(where.child("type"), one.get("type"), _TYPES))
        for name in ("qps", "burst"):
            if not _is_count(one.get(name)) or one[name] <= 0:
                wrong.append(invalid(where.child(name), one.get(name), "must be positive"))
        if not _is_count(one.get("cacheSize", 0)) or one.get("cacheSize", 0) < 0:
            wrong.append(invalid(where.child("cacheSize"), one["cacheSize"], "must not be negative"))
    configuration.refuse("EventRateLimit", wrong)
    return tuple(Limit(one["type"], one["qps"], one["burst"], one.get("cacheSize") or _KEPT) for one in given)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def build(parts: ServerParts) -> EventRateLimit:
    return EventRateLimit(limits(configuration.of(parts.config, EventRateLimit.name)))
