"""EventRateLimit: so many events a second and no more, altogether, a namespace and a user.

Token buckets; those that were not used for longest are forgotten. Off unless enabled, as upstream, whose documented
example are the limits here.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import ClassVar, Final

from sampan import effects
from sampan.apimachinery.errors import TooManyRequests
from sampan.apiserver.admission.plugin import Plugin
from sampan.apiserver.seams import AdmissionAttributes, Operation, ServerParts


@dataclass(frozen=True, slots=True)
class Limit:
    """Of one type: Server, Namespace or User. `kept` bounds how many buckets are remembered."""

    type: str
    per_second: float
    burst: int
    kept: int = 2000


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
            key = {"Namespace": attributes.namespace, "User": attributes.user.name}.get(limit.type, "")
            if not _take(limit, buckets, key):
                raise TooManyRequests(f"limit reached on type {limit.type} for key {key}", retry_after_s=1)


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


def build(parts: ServerParts) -> EventRateLimit:
    return EventRateLimit()
