"""Jobs and their pods in few letters, and one look of the controller at them.

A pod is a letter and perhaps its completion index: `P` pending, `R` running, `A` running and ready, `S` succeeded, `F`
failed, `T` running and being deleted; `R?` is one whose index is no number. They have ended long ago.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sampan.apimachinery.object import Object
from sampan.controllers.jobs.job import plan
from sampan.controllers.jobs.job_backoff import Backoff
from sampan.controllers.jobs.job_pods import FAILURES, INDEX, TRACKING
from sampan.reconcile.plan import Create, Delete, Parallel, Patch, Plan, Update

ENDED = "2026-01-02T01:00:00Z"
PHASES = {"P": "Pending", "R": "Running", "A": "Running", "S": "Succeeded", "F": "Failed", "T": "Running"}
DISRUPTED = {"type": "DisruptionTarget", "status": "True"}


def job(make: Any, deleted: bool = False, status: Object | None = None, **spec: Any) -> Object:
    """A Job with what the server defaults; None takes a field away."""
    defaults: Object = {
        "parallelism": 2, "completions": 5, "backoffLimit": 6, "selector": {"matchLabels": {"app": "web"}},
        "template": make.template(), "completionMode": "NonIndexed", "suspend": False,
    }
    metadata = make.meta("work", **({"deletionTimestamp": make.now_text} if deleted else {}))
    wanted = {key: value for key, value in {**defaults, **spec}.items() if value is not None}
    if wanted["completionMode"] == "Indexed" and "podReplacementPolicy" not in spec:
        wanted["podReplacementPolicy"] = "Failed" if "podFailurePolicy" in spec else "TerminatingOrFailed"
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": wanted, "status": status or {}}


def a_pod(make: Any, owner: Object, name: str, kind: str = "R", failures: int | None = None, **status: Any) -> Object:
    """One pod, written as above; `failures` are those of its index before it."""
    annotations: Object = {INDEX: kind[1:].replace("?", "none")} if kind[1:] else {}
    if failures is not None:
        annotations[FAILURES] = str(failures)
    going = {"deletionTimestamp": ENDED, "deletionGracePeriodSeconds": 0} if kind[0] == "T" else {}
    pod = make.pod(
        name, owner, phase=PHASES[kind[0]], ready=kind[0] == "A", since=ENDED, finalizers=[TRACKING],
        annotations=annotations, **going,
    )
    if kind[0] in "SF":
        terminated = {"exitCode": int(kind[0] == "F"), "finishedAt": ENDED}
        pod["status"]["containerStatuses"] = [{"name": "c", "state": {"terminated": terminated}}]
    pod["status"] |= status
    return dict(pod)


def pods_of(make: Any, owner: Object, kinds: str) -> list[Object]:
    """As many as there are words in `kinds`: `a` is the first."""
    return [a_pod(make, owner, chr(ord("a") + n), kind) for n, kind in enumerate(kinds.split())]


@dataclass
class Look:
    """What the controller did, and the status when that was done."""

    created: list[Object] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    released: list[str] = field(default_factory=list)
    steps: list[Any] = field(default_factory=list)
    status: Object = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    again_s: float | None = None

    @property
    def indexes(self) -> list[str]:
        return [one["metadata"]["annotations"][INDEX] for one in self.created]

    @property
    def conditions(self) -> dict[str, str]:
        """Those that are true, with their reasons."""
        return {one["type"]: one["reason"] for one in self.status.get("conditions") or () if one["status"] == "True"}

    @property
    def first_status(self) -> Object:
        """What was written at first."""
        return next(one.obj["status"] for one in self.steps if isinstance(one, Update))

    def counts(self, *names: str) -> tuple[int, ...]:
        """Numbers of the status, with pods that were just made among the active ones."""
        return tuple(
            self.status.get(name, 0) + (len(self.created) if name == "active" else 0) for name in names
        )


def look(owner: Object, pods: list[Object], now: datetime, backoff: Backoff | None = None) -> Look:
    """Plan, do it, and plan again until the status stays; only what was done at first is told."""
    found = Look(status=owner["status"])
    owner = {**owner}
    for attempt in range(3):
        decided = plan(owner, pods, now, backoff)
        if not attempt:
            found.again_s = decided.requeue_after_s
        _do(decided, owner, pods, found, first=not attempt)
    found.status = owner["status"]
    return found


def _do(decided: Plan, owner: Object, pods: list[Object], found: Look, *, first: bool) -> None:
    found.events += [note.reason for note in decided.notes]
    for step in decided.steps:
        for write in step.writes if isinstance(step, Parallel) else (step,):
            named = [pod for pod in pods if pod["metadata"]["name"] == getattr(write, "name", "")]
            if first:
                found.steps.append(write)
            if isinstance(write, Create) and first:
                found.created.append(write.obj)
            elif isinstance(write, Delete):
                found.deleted += [write.name] if first else []
                for pod in named:
                    pod["metadata"]["deletionTimestamp"] = ENDED
            elif isinstance(write, Patch):
                found.released += [write.name] if first else []
                for pod in named:
                    pod["metadata"].pop("finalizers", None)
            elif isinstance(write, Update):
                owner["status"] = write.obj["status"]
                found.events += [write.done.reason] if write.done else []
