"""A Deployment's sizes: how many pods each of its ReplicaSets should have next.

All functions are pure and take and give `Sizes`: what each ReplicaSet is to become. Rules and rounding are those of the
Deployment's API documentation ("proportional scaling", maxSurge rounds up, maxUnavailable rounds down).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sampan.api.resources import REPLICA_SETS
from sampan.apimachinery.object import Object, annotations_of, dig, meta, name_of, uid_of
from sampan.client.events import NORMAL
from sampan.controllers.workloads.deployment_revisions import DESIRED, MAX, by_age
from sampan.reconcile.plan import Note, Update


def size_of(rs: Object) -> int:
    return int(dig(rs, "spec", "replicas", default=0))


def available_of(rs: Object) -> int:
    return int(dig(rs, "status", "availableReplicas", default=0))


def pods_of(rs: Object) -> int:
    return int(dig(rs, "status", "replicas", default=0))


def total(sets: Iterable[Object]) -> int:
    return sum(map(size_of, sets))


def active(sets: Iterable[Object]) -> list[Object]:
    """Those that should have pods."""
    return [rs for rs in sets if size_of(rs) > 0]


def resolve(value: Any, whole: int, *, up: bool) -> int:
    """An IntOrString: a number, or a percentage of `whole`."""
    if isinstance(value, str):
        share = int(value.rstrip("%")) * whole
        return -(-share // 100) if up else share // 100
    return int(value or 0)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a rolling update may go: `desired` pods, `surge` more, `unavailable` fewer."""

    desired: int
    surge: int = 0
    unavailable: int = 0

    @property
    def most(self) -> int:
        return self.desired + self.surge

    @property
    def fewest(self) -> int:
        return self.desired - self.unavailable


def is_rolling(deployment: Object) -> bool:
    return bool(dig(deployment, "spec", "strategy", "type", default="RollingUpdate") == "RollingUpdate")


def bounds_of(deployment: Object) -> Bounds:
    """The bounds; a Recreate deployment has neither surge nor unavailable pods to speak of."""
    desired = int(dig(deployment, "spec", "replicas", default=1))
    if not is_rolling(deployment):
        return Bounds(desired)
    rolling = dig(deployment, "spec", "strategy", "rollingUpdate", default={})
    surge = resolve(rolling.get("maxSurge", "25%"), desired, up=True)
    unavailable = resolve(rolling.get("maxUnavailable", "25%"), desired, up=False)
    if not surge and not unavailable:  # or nothing could ever move
        unavailable = 1
    return Bounds(desired, surge, min(unavailable, desired))


def first_size(deployment: Object, sets: Sequence[Object], present: int = 0) -> int:
    """How large the new ReplicaSet, `present` large now, may be, next to all `sets` (it included)."""
    bounds = bounds_of(deployment)
    if not is_rolling(deployment):
        return bounds.desired
    room = bounds.most - total(sets)
    return present + min(room, bounds.desired - present) if room > 0 else present


@dataclass(frozen=True, slots=True)
class Resize:
    """A ReplicaSet and the size it is to have; with the annotations that tell what it was sized for."""

    rs: Object
    size: int

    def step(self, deployment: Object) -> Update | None:
        """The write, with its Event if the size changes; None if everything is so already."""
        bounds, before = bounds_of(deployment), size_of(self.rs)
        wanted = {DESIRED: str(bounds.desired), MAX: str(bounds.most)}
        if before == self.size and wanted.items() <= annotations_of(self.rs).items():
            return None
        way = "up" if self.size > before else "down"
        text = f"Scaled {way} replica set {name_of(self.rs)} from {before} to {self.size}"
        note = Note(deployment, NORMAL, "ScalingReplicaSet", text) if before != self.size else None
        return Update(REPLICA_SETS, self.resized(wanted), done=note)

    def resized(self, annotations: dict[str, str] | None = None) -> Object:
        metadata = {**meta(self.rs), "annotations": {**annotations_of(self.rs), **(annotations or {})}}
        return {**self.rs, "metadata": metadata, "spec": {**self.rs["spec"], "replicas": self.size}}


def needs_scaling(deployment: Object, sets: Iterable[Object]) -> bool:
    """Whether `spec.replicas` changed since the active ReplicaSets were sized."""
    desired = str(dig(deployment, "spec", "replicas", default=1))
    return any(annotations_of(rs).get(DESIRED, desired) != desired for rs in active(sets))


def scale(deployment: Object, new: Object | None, old: Sequence[Object]) -> list[Resize]:
    """Follow `spec.replicas` without rolling: what a paused or just rescaled Deployment does."""
    bounds = bounds_of(deployment)
    only = _active_or_latest(new, old)
    if only is not None:
        return [Resize(only, bounds.desired)] if size_of(only) != bounds.desired else []
    if new is not None and _is_saturated(deployment, new):
        return [Resize(rs, 0) for rs in active(old)]
    if not is_rolling(deployment):
        return []
    return _proportional(deployment, [*active(old), *active([new] if new else [])])


def _active_or_latest(new: Object | None, old: Sequence[Object]) -> Object | None:
    found = active([*old, *([new] if new else [])])
    if len(found) == 1:
        return found[0]
    if found:
        return None
    return new or (by_age(old)[-1] if old else None)


def _is_saturated(deployment: Object, new: Object) -> bool:
    desired = int(dig(deployment, "spec", "replicas", default=1))
    sized_for = annotations_of(new).get(DESIRED) == str(desired)
    return sized_for and size_of(new) == desired and available_of(new) == desired


def _proportional(deployment: Object, sets: list[Object]) -> list[Resize]:
    """Spread what is to be added or removed over all ReplicaSets by their sizes; the largest gets the rest."""
    bounds = bounds_of(deployment)
    allowed = bounds.most if bounds.desired > 0 else 0
    to_add = allowed - total(sets)
    ordered = by_age(sets)
    if to_add > 0:
        ordered.reverse()
    ordered.sort(key=size_of, reverse=True)
    sizes: list[int] = []
    added = 0
    for rs in ordered:
        share = _share(deployment, rs, to_add, added) if to_add else 0
        sizes.append(size_of(rs) + share)
        added += share
    if sizes and to_add:
        sizes[0] = max(sizes[0] + to_add - added, 0)
    return [Resize(rs, size) for rs, size in zip(ordered, sizes, strict=True)]


def _share(deployment: Object, rs: Object, to_add: int, added: int) -> int:
    if not size_of(rs) or to_add == added:
        return 0
    fraction, allowed = _fraction(deployment, rs), to_add - added
    return min(fraction, allowed) if to_add > 0 else max(fraction, allowed)


def _fraction(deployment: Object, rs: Object) -> int:
    bounds = bounds_of(deployment)
    if bounds.desired == 0:
        return -size_of(rs)
    text = annotations_of(rs).get(MAX, "")
    before = int(text) if text.isdigit() else int(dig(deployment, "status", "replicas", default=0))
    if not before:
        return 0
    return math.floor(size_of(rs) * bounds.most / before + 0.5) - size_of(rs)


def grow_new(deployment: Object, new: Object, sets: Sequence[Object]) -> list[Resize]:
    """One step of a rollout for the new ReplicaSet: as large as the surge allows, never larger than desired."""
    desired, present = bounds_of(deployment).desired, size_of(new)
    size = desired if present > desired else first_size(deployment, sets, present)
    return [Resize(new, size)] if size != present else []


def shrink_old(deployment: Object, new: Object, old: Sequence[Object]) -> list[Resize]:
    """One step of a rollout for the old ones: unavailable pods go first, then as many as availability allows."""
    bounds = bounds_of(deployment)
    shrinking = {uid_of(rs): rs for rs in active(old)}
    if not shrinking:
        return []
    not_available = size_of(new) - available_of(new)
    spare = total([*old, new]) - bounds.fewest - not_available
    if spare <= 0:
        return []
    before = dict(shrinking)
    for rs in by_age(list(shrinking.values())):
        cut = min(spare, max(size_of(rs) - available_of(rs), 0))
        shrinking[uid_of(rs)] = Resize(rs, size_of(rs) - cut).resized()
        spare -= cut
    # A set that is being shrunk may still report more available pods than it is to keep; those are spoken for.
    spare = sum(min(available_of(rs), size_of(rs)) for rs in [*old, new]) - bounds.fewest
    for rs in by_age(list(shrinking.values())):
        cut = min(max(spare, 0), size_of(rs))
        shrinking[uid_of(rs)] = Resize(rs, size_of(rs) - cut).resized()
        spare -= cut
    return [
        Resize(before[uid], size_of(rs)) for uid, rs in shrinking.items() if size_of(rs) != size_of(before[uid])
    ]
