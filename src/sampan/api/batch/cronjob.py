"""CronJob: Jobs on a schedule."""

from __future__ import annotations

from sampan.api.columns import NAME_AND_AGE
from sampan.api.kind import Kind
from sampan.api.resources import CRON_JOBS
from sampan.api.strategy import create_with_generation, status_subresource, update_with_generation

CRON_JOB = Kind(
    resource=CRON_JOBS,
    definition="io.k8s.api.batch.v1.CronJob",
    singular="cronjob",
    short_names=("cj",),
    categories=("all",),
    prepare_create=create_with_generation,
    prepare_update=update_with_generation,
    columns=NAME_AND_AGE,
    subresources=status_subresource(),
)
