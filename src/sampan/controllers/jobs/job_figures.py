"""What the Job controller counts of its own work (`job_controller_*`), as upstream does.

Observed: what became of the writes of a plan. A finished pod, index or Job is counted once the status that tells of it
has been written; a pod once it was created, or refused. How many pods have ended and still wait to be counted is heard
from the pods themselves.
"""

from __future__ import annotations

from collections.abc import Callable

from sampan import effects
from sampan.api.resources import JOBS
from sampan.apimachinery.object import Object, dig, uid_of
from sampan.controllers import conditions
from sampan.controllers.jobs.job_pods import expanded_indexes, is_tracked, replaces_only_failed
from sampan.controllers.jobs.job_status import COMPLETE, FAILED
from sampan.controllers.pods import is_finished
from sampan.reconcile.measures import Measure, Spread, Tally, exponential
from sampan.reconcile.plan import Account, Create, Delete, Update

_PREFIX = "job_controller_"


class JobFigures:
    """Counters since the controller began."""

    def __init__(self) -> None:
        mode = "completion_mode"
        self.sync_s = Spread(
            f"{_PREFIX}job_sync_duration_seconds", "The time it took to sync a job", exponential(0.004, 2, 15),
            (mode, "result", "action"))
        self.syncs = _tally("job_syncs_total", "The number of job syncs", mode, "result", "action")
        self.jobs = _tally("jobs_finished_total", "The number of finished jobs", mode, "result", "reason")
        self.pods = _tally(
            "job_pods_finished_total", "The number of finished Pods that are fully tracked", mode, "result")
        self.indexes = _tally(
            "job_finished_indexes_total", "The number of finished indexes.", "status", "backoffLimit")
        self.rulings = _tally(
            "pod_failures_handled_by_failure_policy_total",
            "The number of failed Pods handled by failure policy, by the action of the rule.", "action")
        self.created = _tally(
            "job_pods_creation_total", "The number of Pods created by the Job controller, by why.", "reason", "status")
        self.ended = _tally(
            "terminated_pods_tracking_finalizer_total",
            "The number of terminated pods that have the finalizer batch.kubernetes.io/job-tracking", "event")
        self.foreign = _tally(
            "jobs_by_external_controller_total", "The number of Jobs managed by an external controller",
            "controller_name")
        self._foreign: dict[str, str] = {}

    def all(self) -> list[Measure]:
        return [
            self.sync_s, self.syncs, self.jobs, self.pods, self.indexes, self.rulings, self.created, self.ended,
            self.foreign,
        ]

    def on(self, job: Object, rulings: list[str]) -> Callable[[Account], None]:
        """To be told what becomes of a plan for `job` that is carried out from now on."""
        began_s = effects.monotonic()

        def tell(account: Account) -> None:
            done = (mode_of(job), "error" if account.error else "success", _action(account))
            self.syncs.add(*done)
            self.sync_s.observe(effects.monotonic() - began_s, *done)
            for write in account.done:
                if isinstance(write, Update) and write.resource is JOBS:
                    self._written(job, write.obj["status"])
                    for action in rulings:
                        self.rulings.add(action)
            for status, some in (("succeeded", account.done), ("failed", account.refused)):
                made = sum(isinstance(write, Create) for write in some)
                _more(self.created, made, _reason(job, account), status)

        return tell

    def seen_foreign(self, key: str, job: Object) -> None:
        """Another controller manages this Job; each is counted once."""
        if self._foreign.get(key) != uid_of(job):
            self._foreign[key] = uid_of(job)
            self.foreign.add(job["spec"]["managedBy"])

    def gone(self, key: str) -> None:
        self._foreign.pop(key, None)

    def heard(self, old: Object | None, new: Object | None) -> None:
        """A pod has changed."""
        before = old is not None and is_finished(old) and is_tracked(old)
        after = new is not None and is_finished(new) and is_tracked(new)
        if before != after:
            self.ended.add("add" if after else "delete")

    def _written(self, job: Object, new: Object) -> None:
        old, mode = job.get("status") or {}, mode_of(job)
        for result in ("succeeded", "failed"):
            _more(self.pods, int(new.get(result) or 0) - int(old.get(result) or 0), mode, result)
        limit = "global" if dig(job, "spec", "backoffLimitPerIndex") is None else "perIndex"
        for result, field in (("succeeded", "completedIndexes"), ("failed", "failedIndexes")):
            more = set(expanded_indexes(new.get(field) or "")) - set(expanded_indexes(old.get(field) or ""))
            _more(self.indexes, len(more), result, limit)
        for kind, result in ((COMPLETE, "succeeded"), (FAILED, "failed")):
            found = conditions.find(new.get("conditions") or (), kind)
            if found is not None and found.get("status") == "True":
                self.jobs.add(mode, result, found["reason"] if kind == FAILED else "")


def _tally(name: str, text: str, *labels: str) -> Tally:
    return Tally(f"{_PREFIX}{name}", text, labels)


def _more(tally: Tally, number: int, *values: str) -> None:
    if number > 0:
        tally.add(*values, amount=number)


def mode_of(job: Object) -> str:
    return str(dig(job, "spec", "completionMode", default="NonIndexed"))


def _action(account: Account) -> str:
    kinds = {type(write) for write in (*account.done, *account.refused)}
    return "pods_created" if Create in kinds else "pods_deleted" if Delete in kinds else "tracking"


def _reason(job: Object, account: Account) -> str:
    """Why pods are created: the first of the Job, or in the place of others."""
    told = [write.obj["status"] for write in account.done if isinstance(write, Update)]
    status = told[0] if told else job.get("status") or {}
    failed = status.get("failed") or dig(status, "uncountedTerminatedPods", "failed")
    if replaces_only_failed(job):
        return "recreate_failed" if failed else "new"
    return "recreate_terminating_or_failed" if failed or status.get("terminating") else "new"
