"""Status conditions: set one in a list the way upstream's controllers do.

A condition whose status and reason stay is left alone entirely; one whose status stays keeps its lastTransitionTime.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sampan.apimachinery.object import Object
from sampan.controllers import times


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition as a controller would have it now."""

    type: str
    status: bool
    reason: str
    message: str


def find(conditions: Sequence[Object], type: str) -> Object | None:
    for condition in conditions:
        if condition.get("type") == type:
            return condition
    return None


def without(conditions: Sequence[Object], type: str) -> list[Object]:
    return [condition for condition in conditions if condition.get("type") != type]


def with_condition(
    conditions: Sequence[Object], new: Condition, now: datetime, *, updated: bool = False
) -> list[Object]:
    """`conditions` with `new` in it, last if it changed. `updated`: the kind has lastUpdateTime (Deployment)."""
    known = find(conditions, new.type)
    status = "True" if new.status else "False"
    if known is not None and known.get("status") == status and known.get("reason") == new.reason:
        return list(conditions)
    moment = times.text(now)
    document = {"type": new.type, "status": status}
    if updated:
        document["lastUpdateTime"] = moment
    same_status = known is not None and known.get("status") == status
    document["lastTransitionTime"] = (known or {}).get("lastTransitionTime", moment) if same_status else moment
    document |= {"reason": new.reason, "message": new.message}
    return [*without(conditions, new.type), document]
