"""A storm of Jobs: plain and indexed ones, some whose pods fail, resized, suspended, and robbed of pods."""

from __future__ import annotations

from typing import Any, Final

from sampan.api.resources import JOBS
from sampan.sim.actions import create_some, delete_pod, set_spec
from sampan.sim.documents import job
from sampan.sim.scenario import Scenario

INDEXED: Final[dict[str, Any]] = {"completionMode": "Indexed"}

SCENARIO = Scenario(
    name="jobs",
    about="jobs, indexed and plain, whose pods fail or are deleted, complete exactly",
    apart=("job-controller",),
    objects=(
        (JOBS, job("first", 12, 3, **INDEXED)),
        (JOBS, job("flaky", 8, 3, fail_percent=30, **INDEXED)),
        (JOBS, job("plain", 10, 4, fail_percent=20)),
        (JOBS, job("doomed", 3, 2, exit_code=1, backoffLimit=3)),
    ),
    actions=(
        (3, create_some(JOBS, lambda n: job(
            f"more-{n}", 6, 3, fail_percent=15, ttlSecondsAfterFinished=30, **(INDEXED if n % 2 else {})
        ), 8)),
        (2, set_spec(JOBS, "first", {"parallelism": 1}, {"parallelism": 5}, {"parallelism": 3})),
        (2, set_spec(JOBS, "plain", {"suspend": True}, {"suspend": False})),
        (2, delete_pod("first")),
        (2, delete_pod("plain")),
        (1, delete_pod("flaky", by_force=True)),
    ),
    finale=(set_spec(JOBS, "plain", {"suspend": False}), set_spec(JOBS, "first", {"parallelism": 3})),
    minutes=4,
    rest_within_s=2400,
)
