"""What a person is shown of a trial: a summary, and for a violation the timeline that leads to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sampan.apimachinery.object import Object, controller_of, dig, is_being_deleted, name_of, namespace_of, uid_of
from sampan.sim.play import Outcome
from sampan.sim.world import Change, is_ready

RELEVANT_WRITES: Final = 24
COMPARED: Final = (
    ("spec", "replicas"), ("spec", "nodeName"), ("spec", "suspend"), ("status", "phase"), ("status", "replicas"),
    ("status", "readyReplicas"), ("status", "active"), ("status", "succeeded"), ("status", "failed"),
    ("status", "observedGeneration"), ("spec", "holderIdentity"), ("spec", "volumeName"),
)


def summary(outcome: Outcome, cpu_s: float) -> str:
    """One line."""
    trial, speed = outcome.trial, outcome.virtual_s / cpu_s if cpu_s else 0.0
    verdict = f"VIOLATION {outcome.violation}" if outcome.violation else "no violation"
    return (
        f"{trial.scenario.name} seed {trial.seed}: {outcome.virtual_s:.0f} s of virtual time ({speed:.0f} × real), "
        f"{outcome.writes} writes, {outcome.faults} faults, {outcome.checks} checks: {verdict}"
    )


def timeline(outcome: Outcome) -> str:
    """The faults that struck and the last writes that concern the violation, in the order of time."""
    violation = outcome.violation
    assert violation is not None
    entries = [(at, 0, f"FAULT {text}") for at, text in outcome.diary]
    entries += [(change.at_s, change.revision, _line(change)) for change in _relevant(outcome)]
    lines = [f"{at:10.3f}  {text}" for at, _, text in sorted(entries)]
    return "\n".join([*lines, f"{violation.at_s:10.3f}  VIOLATED {violation}"])


def _relevant(outcome: Outcome) -> list[Change]:
    """The last changes of the object in question, of what owns it, of what it owns, and of its siblings."""
    violation = outcome.violation
    assert violation is not None
    family = _family(outcome.recent, violation.keys)
    return [change for change in outcome.recent if family & _uids(change)][-RELEVANT_WRITES:]


def _family(changes: list[Change], keys: tuple[str, ...]) -> set[str]:
    """Uids: two steps up and down from the objects with these keys."""
    family = {uid_of(change.obj) for change in changes if change.key in keys}
    owners = {uid_of(change.obj): _owner_uid(change.obj) for change in changes}
    for _ in range(2):
        family |= {owners.get(uid, "") for uid in family}
    family.discard("")
    return family


def _uids(change: Change) -> set[str]:
    return {uid_of(change.obj), _owner_uid(change.obj)} - {""}


def _owner_uid(obj: Object) -> str:
    reference = controller_of(obj)
    return str(reference.get("uid", "")) if reference else ""


def _line(change: Change) -> str:
    obj = change.obj
    namespace = namespace_of(obj)
    name = f"{namespace}/{name_of(obj)}" if namespace else name_of(obj)
    what = ", ".join(_differences(change))
    return f"r{change.revision} {change.verb} {obj.get('kind')} {name}{f' ({what})' if what else ''} by {change.cause}"


def _differences(change: Change) -> Iterator[str]:
    """The fields that matter, as they were and are."""
    for path in COMPARED:
        before, now = dig(change.old, *path), dig(change.new, *path)
        if now is not None and before != now:
            yield f"{path[-1]} {now}" if before is None else f"{path[-1]} {before}→{now}"
    if change.new is not None:
        old = change.old or {}
        if is_being_deleted(change.new) and not is_being_deleted(old):
            yield "being deleted"
        if is_ready(change.new) != is_ready(old):
            yield "ready" if is_ready(change.new) else "not ready"
