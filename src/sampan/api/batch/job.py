"""Job: pods that run to completion."""

from __future__ import annotations

from datetime import datetime

from sampan.api.batch.job_rules import validate, validate_status, validate_update
from sampan.api.columns import AGE, NAME, parse_time, selector_cell, template_columns
from sampan.api.core.pod_template import default_template
from sampan.api.kind import Column, Kind
from sampan.api.resources import JOBS
from sampan.api.strategy import (
    create_with_generation,
    ensure,
    setdefault,
    status_subresource,
    update_with_generation,
)
from sampan.api.warnings import workloads
from sampan.apimachinery.duration import human_duration
from sampan.apimachinery.object import Object, dig, is_being_deleted, name_of, uid_of

CONTROLLER_UID = "batch.kubernetes.io/controller-uid"
JOB_NAME = "batch.kubernetes.io/job-name"
_MAX_INT32 = 2**31 - 1
_STATES = (("Complete", "Complete"), ("Failed", "Failed"))
_LATER_STATES = ("Suspended", "FailureTarget", "SuccessCriteriaMet")


def default(obj: Object) -> None:
    spec = ensure(obj, "spec")
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    setdefault(spec, "parallelism", 1)
    setdefault(spec, "backoffLimit", 6 if spec.get("backoffLimitPerIndex") is None else _MAX_INT32)
    _label(obj)
    setdefault(spec, "completionMode", "NonIndexed")
    setdefault(spec, "suspend", False)
    replacement = "TerminatingOrFailed" if spec.get("podFailurePolicy") is None else "Failed"
    setdefault(spec, "podReplacementPolicy", replacement)
    setdefault(spec, "manualSelector", False)
    default_job_spec(spec)


def default_job_spec(spec: Object) -> None:
    """What the template of a CronJob gets too."""
    for rule in dig(spec, "podFailurePolicy", "rules", default=()):
        for pattern in rule.get("onPodConditions") or ():
            if not pattern.get("status"):
                pattern["status"] = "True"
    default_template(ensure(spec, "template"))


def prepare_create(obj: Object) -> None:
    create_with_generation(obj)
    _tie_pods(obj)
    _label(obj)


def _label(obj: Object) -> None:
    """A job without labels has those of its pods."""
    labels = dig(obj, "spec", "template", "metadata", "labels")
    metadata = ensure(obj, "metadata")
    if labels and not metadata.get("labels"):
        metadata["labels"] = dict(labels)


def _tie_pods(obj: Object) -> None:
    """Unless `manualSelector` is set, the job's own uid selects its pods."""
    spec = ensure(obj, "spec")
    if spec.get("manualSelector"):
        return
    template = ensure(ensure(spec, "template"), "metadata")
    labels = dict(template.get("labels") or {})
    for prefix in ("", "batch.kubernetes.io/"):
        labels[f"{prefix}controller-uid"] = uid_of(obj)
        labels[f"{prefix}job-name"] = name_of(obj)
    template["labels"] = labels
    selector = ensure(spec, "selector")
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), CONTROLLER_UID: uid_of(obj)}


def selectable(obj: Object) -> dict[str, str]:
    return {"status.successful": str(dig(obj, "status", "succeeded", default=0))}


def status_text(obj: Object, now: datetime) -> str:
    true = {condition.get("type") for condition in dig(obj, "status", "conditions", default=())
            if condition.get("status") == "True"}
    for condition, text in _STATES:
        if condition in true:
            return text
    if is_being_deleted(obj):
        return "Terminating"
    return next((state for state in _LATER_STATES if state in true), "Running")


def completions_text(obj: Object, now: datetime) -> str:
    done, wanted = dig(obj, "status", "succeeded", default=0), dig(obj, "spec", "completions")
    parallel = dig(obj, "spec", "parallelism", default=0)
    if wanted is not None:
        return f"{done}/{wanted}"
    return f"{done}/1 of {parallel}" if parallel > 1 else f"{done}/1"


def duration_text(obj: Object, now: datetime) -> str:
    started, ended = parse_time(dig(obj, "status", "startTime")), parse_time(dig(obj, "status", "completionTime"))
    return human_duration(((ended or now) - started).total_seconds()) if started else ""


JOB = Kind(
    resource=JOBS,
    definition="io.k8s.api.batch.v1.Job",
    singular="job",
    categories=("all",),
    default=default,
    prepare_create=prepare_create,
    prepare_update=update_with_generation,
    validate=validate,
    validate_update=validate_update,
    field_names=("status.successful",),
    fields=selectable,
    warnings=workloads.job,
    columns=(
        NAME,
        Column("Status", "string", status_text, "Status of the job."),
        Column("Completions", "string", completions_text, doc="batch.v1.JobStatus#succeeded"),
        Column("Duration", "string", duration_text, "Time required to complete the job."),
        AGE,
        *template_columns(selector_cell("spec", "selector"), "spec", "template", "spec",
                           doc="batch.v1.JobSpec#selector"),
    ),
    subresources=status_subresource(validate_status, default=_label),
)
