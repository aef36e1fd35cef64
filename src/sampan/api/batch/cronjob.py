"""CronJob: Jobs on a schedule."""

from __future__ import annotations

import re
import zoneinfo
from datetime import datetime

from cronsim import CronSim, CronSimError

from sampan.api.batch.job import default_job_spec
from sampan.api.batch.job_rules import validate_job_spec
from sampan.api.columns import AGE, NAME, NONE, at, length, selector_cell, since, template_columns
from sampan.api.counts import not_negative
from sampan.api.kind import Column, Kind
from sampan.api.resources import CRON_JOBS
from sampan.api.strategy import (
    create_with_generation,
    ensure,
    no_defaults,
    setdefault,
    status_subresource,
    update_with_generation,
)
from sampan.api.warnings import workloads
from sampan.apimachinery.field import FieldError, Path, invalid, not_supported, required
from sampan.apimachinery.names import dns1123_subdomain
from sampan.apimachinery.object import Object, dig

MAX_NAME_BYTES = 52
_CONCURRENCY = ("Allow", "Forbid", "Replace")
_MACROS = frozenset({"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"})
_EVERY = re.compile(r"@every ([0-9.]+(ns|us|µs|ms|s|m|h))+")
_ANY_DAY = datetime(2000, 1, 1)


def default(obj: Object) -> None:
    spec = ensure(obj, "spec")
    if not spec.get("concurrencyPolicy"):
        spec["concurrencyPolicy"] = "Allow"
    setdefault(spec, "suspend", False)
    setdefault(spec, "successfulJobsHistoryLimit", 3)
    setdefault(spec, "failedJobsHistoryLimit", 1)
    template = ensure(spec, "jobTemplate")
    ensure(template, "metadata")
    default_job_spec(ensure(template, "spec"))


def valid_name(name: str) -> list[str]:
    """Room for the eleven characters that name each Job."""
    if len(name) > MAX_NAME_BYTES:
        return ["must be no more than 52 characters"]
    return dns1123_subdomain(name)


def validate(obj: Object) -> list[FieldError]:
    spec, path = obj.get("spec") or {}, Path("spec")
    errors = _schedule(spec.get("schedule") or "", spec.get("timeZone"), path)
    policy = spec.get("concurrencyPolicy") or ""
    if not policy:
        errors.append(required(path.child("concurrencyPolicy")))
    elif policy not in _CONCURRENCY:
        errors.append(not_supported(path.child("concurrencyPolicy"), policy, _CONCURRENCY))
    for key in ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        errors += not_negative(spec.get(key), path.child(key))
    template, where = dig(spec, "jobTemplate", "spec", default={}), path.child("jobTemplate", "spec")
    if template.get("manualSelector"):
        errors.append(not_supported(where.child("manualSelector"), True, ["nil", "false"]))
    return errors + validate_job_spec(template, where)


def _schedule(text: str, zone: str | None, path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    if not text:
        errors.append(required(path.child("schedule")))
    elif text.startswith(("TZ=", "CRON_TZ=")):
        errors.append(invalid(path.child("schedule"), text, "cannot use TZ or CRON_TZ in schedule, use timeZone field "
                                                            "instead"))
    else:
        errors += _cron(text, path.child("schedule"))
    if zone is not None:
        errors += _zone(zone, path.child("timeZone"))
    return errors


def _cron(text: str, path: Path) -> list[FieldError]:
    if text in _MACROS or _EVERY.fullmatch(text):
        return []
    fields = text.split()
    if len(fields) != 5:
        return [invalid(path, text, f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]")]
    try:
        CronSim(text.replace("?", "*"), _ANY_DAY)
    except CronSimError as problem:
        return [invalid(path, text, f"failed to parse: {problem}")]
    return []


def _zone(name: str, path: Path) -> list[FieldError]:
    if not name:
        return [invalid(path, name, "timeZone must be nil or non-empty string")]
    if name.lower() == "local":
        return [invalid(path, name, "timeZone must be an explicit time zone as defined in "
                                    "https://www.iana.org/time-zones")]
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return [invalid(path, name, f"unknown time zone {name}")]
    return []


def last_text(obj: Object, now: datetime) -> str:
    last = dig(obj, "status", "lastScheduleTime")
    return since(last, now) if last else NONE


def suspend_text(obj: Object, now: datetime) -> str:
    suspended = dig(obj, "spec", "suspend")
    return "<unset>" if suspended is None else str(bool(suspended))


CRON_JOB = Kind(
    resource=CRON_JOBS,
    definition="io.k8s.api.batch.v1.CronJob",
    singular="cronjob",
    short_names=("cj",),
    categories=("all",),
    default=default,
    prepare_create=create_with_generation,
    prepare_update=update_with_generation,
    validate=validate,
    valid_name=valid_name,
    warnings=workloads.cron_job,
    columns=(
        NAME,
        Column("Schedule", "string", at("spec", "schedule"), doc="batch.v1.CronJobSpec#schedule"),
        Column("Timezone", "string", at("spec", "timeZone", default=NONE), doc="batch.v1.CronJobSpec#timeZone"),
        Column("Suspend", "boolean", suspend_text, doc="batch.v1.CronJobSpec#suspend"),
        Column("Active", "integer", length("status", "active"), doc="batch.v1.CronJobStatus#active"),
        Column("Last Schedule", "string", last_text, doc="batch.v1.CronJobStatus#lastScheduleTime"),
        AGE,
        *template_columns(selector_cell("spec", "jobTemplate", "spec", "selector"),
                          "spec", "jobTemplate", "spec", "template", "spec", doc="batch.v1.JobSpec#selector"),
    ),
    subresources=status_subresource(default=no_defaults),
)
