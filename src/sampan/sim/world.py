"""World: what the store holds at this very moment, parsed and indexed, one change after the other.

Fed by the store's commits, so it is never behind and never ahead. Invariants read it; what they need often (the pods
of an owner, of a node, of a namespace) is kept, not searched. It also remembers what is not in any object: who created
a pod, which uids ever lived, how large a number was a while ago.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import orjson

from sampan import effects
from sampan.apimachinery.object import Object, controller_of, dig, is_being_deleted, name_of, namespace_of, uid_of
from sampan.sim.cause import Cause
from sampan.storage.store import Event, EventKind

GroupResource: TypeAlias = tuple[str, str]
Present: TypeAlias = dict[str, Object]

PODS: Final = ("core", "pods")
UNREAD: Final = frozenset({("core", "events"), ("events.k8s.io", "events"), ("core", "nodeportclaims")})
"""Kinds that no invariant reads."""
FINISHED: Final = ("Succeeded", "Failed")
RECENT_WRITES: Final = 4000


@dataclass(slots=True, eq=False)
class Change:
    """One commit. `old` and `new` are the object before and after, None where there is none."""

    revision: int
    at_s: float
    resource: GroupResource
    key: str
    old: Object | None
    new: Object | None
    cause: Cause

    @property
    def obj(self) -> Object:
        """The object as it is now, or was last."""
        found = self.new if self.new is not None else self.old
        assert found is not None
        return found

    @property
    def verb(self) -> str:
        return "create" if self.old is None else "delete" if self.new is None else "update"


@dataclass(slots=True, eq=False)
class Known:
    """An object that lived: its kind and name, and when it went (None: it is there)."""

    resource: GroupResource
    key: str
    born_by: Cause
    born_at_s: float
    gone_at_s: float | None = None


class Past:
    """The values that something had, with their times, so that `since(t)` gives those it has had from t on."""

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values: deque[tuple[float, Any]] = deque()

    def note(self, at_s: float, value: Any) -> None:
        if not self._values or self._values[-1][1] != value:
            self._values.append((at_s, value))

    def since(self, t: float) -> list[Any]:
        found = []
        for at, value in reversed(self._values):  # a day's values are many, and few of them are asked for
            found.append(value)
            if at < t:
                break
        found.reverse()
        return found


class World:
    """See above. `informed_until(component, now)` says up to when a component surely knows everything."""

    def __init__(self, informed_until: Callable[[str, float], float]) -> None:
        self.objects: defaultdict[GroupResource, Present] = defaultdict(dict)
        self.pods_of: defaultdict[str, Present] = defaultdict(dict)
        self.pods_on: defaultdict[str, Present] = defaultdict(dict)
        self.pods_in: defaultdict[str, Present] = defaultdict(dict)
        self.known: dict[str, Known] = {}
        self.recent: deque[Change] = deque(maxlen=RECENT_WRITES)
        self.revision = 0
        self.disturbed_at_s: dict[str, float] = {}
        """When a pod of an owner (by uid) last stopped being available though no controller wanted it."""
        self._pasts: defaultdict[tuple[str, str], Past] = defaultdict(Past)
        self._informed_until = informed_until

    def take(self, event: Event, cause: Cause) -> Change | None:
        """Apply a commit; the change, or None for kinds that nobody reads."""
        kv = event.kv
        self.revision = kv.mod_revision
        _, _, group, plural, key = kv.key.split("/", 4)
        resource = (group, plural)
        if resource in UNREAD:
            return None
        old = self.objects[resource].get(key)
        new = None if event.kind is EventKind.DELETE else orjson.loads(kv.value)
        change = Change(kv.mod_revision, effects.monotonic(), resource, key, old, new, cause)
        self._index(change)
        if plural != "leases":
            self.recent.append(change)
        return change

    def get(self, resource: GroupResource, key: str) -> Object | None:
        return self.objects[resource].get(key)

    def all(self, *resource: str) -> Iterator[Object]:
        group, plural = resource
        yield from self.objects[(group, plural)].values()

    def owner(self, obj: Object, resource: GroupResource) -> Object | None:
        """The object's controller, if it is there and of this resource."""
        reference = controller_of(obj)
        if reference is None:
            return None
        namespace = namespace_of(obj)
        found = self.get(resource, f"{namespace}/{reference['name']}" if namespace else str(reference["name"]))
        return found if found is not None and uid_of(found) == reference.get("uid") else None

    def born_by(self, obj: Object) -> Cause:
        return self.known[uid_of(obj)].born_by

    def unacknowledged(self, pods: Present) -> int:
        """How many of these were made by somebody who does not know it."""
        return sum(1 for pod in pods.values() if self.born_by(pod).lost)

    def informed_until_s(self, cause: Cause) -> float:
        """Whoever wrote this knew everything that was written before this time."""
        return self._informed_until(cause.life.component, cause.sent_at_s)

    def informed_until_of(self, component: str, at_s: float) -> float:
        """What a component knew, at the least, at a time."""
        return self._informed_until(component, at_s)

    def note(self, uid: str, what: str, value: Any) -> None:
        """Remember that something of an object has this value from now on."""
        self._pasts[(uid, what)].note(effects.monotonic(), value)

    def noted(self, uid: str, what: str) -> bool:
        """Whether anything was ever noted."""
        return (uid, what) in self._pasts

    def lately(self, uid: str, what: str, since_s: float) -> list[Any]:
        """The values that something had since a time, the one it had then included."""
        return self._pasts[(uid, what)].since(since_s)

    def _index(self, change: Change) -> None:
        present = self.objects[change.resource]
        if change.new is None:
            present.pop(change.key, None)
        else:
            present[change.key] = change.new
        self._remember(change)
        if change.resource == PODS:
            self._index_pod(change)

    def _remember(self, change: Change) -> None:
        before = None if change.old is None else uid_of(change.old)
        after = None if change.new is None else uid_of(change.new)
        if before == after:
            return
        gone = None if before is None else self.known.get(before)
        if gone is not None:
            gone.gone_at_s = change.at_s
        if after is not None:
            self.known.setdefault(after, Known(change.resource, change.key, change.cause, change.at_s))

    def _index_pod(self, change: Change) -> None:
        old, new = change.old, change.new
        if old is not None:
            for index, place in ((self.pods_of, controller_uid(old)), (self.pods_on, node_of(old))):
                index[place].pop(change.key, None)
            self.pods_in[namespace_of(old)].pop(change.key, None)
        if new is not None:
            for index, place in ((self.pods_of, controller_uid(new)), (self.pods_on, node_of(new))):
                if place:
                    index[place][change.key] = new
            self.pods_in[namespace_of(new)][change.key] = new


def controller_uid(obj: Object) -> str:
    reference = controller_of(obj)
    return str(reference.get("uid", "")) if reference else ""


def node_of(pod: Object) -> str:
    return (pod.get("spec") or {}).get("nodeName") or ""


def phase_of(pod: Object) -> str:
    return (pod.get("status") or {}).get("phase") or "Pending"


def is_finished(pod: Object) -> bool:
    return phase_of(pod) in FINISHED


def is_active(pod: Object) -> bool:
    """Neither finished nor on its way out: what a controller counts as there."""
    return not is_finished(pod) and not is_being_deleted(pod)


def is_ready(pod: Object) -> bool:
    conditions = dig(pod, "status", "conditions", default=[])
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def title(obj: Object) -> str:
    """`Pod default/web-1`"""
    namespace = namespace_of(obj)
    return f"{obj.get('kind', '?')} {f'{namespace}/' if namespace else ''}{name_of(obj)}"
