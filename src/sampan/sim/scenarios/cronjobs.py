"""CronJobs of every concurrency policy; with --hours 24 a whole day of them."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api.resources import CRON_JOBS
from sampan.apimachinery.object import Object, dig, uid_of
from sampan.sim.actions import delete_pod, set_spec
from sampan.sim.documents import document, job
from sampan.sim.scenario import Scenario
from sampan.sim.world import World, controller_uid, title


def cron_job(name: str, schedule: str, policy: str, seconds: int) -> Object:
    template = job(name, 1, 1, seconds=seconds)["spec"]
    return document("CronJob", "batch/v1", name, spec={
        "schedule": schedule, "concurrencyPolicy": policy, "jobTemplate": {"spec": template},
        "successfulJobsHistoryLimit": 2, "failedJobsHistoryLimit": 1, "startingDeadlineSeconds": 90,
    })


def histories(world: World) -> Sequence[str]:
    """No more finished Jobs are kept than the limits say."""
    wrong = []
    for owner in world.all("batch", "cronjobs"):
        jobs = [one for one in world.all("batch", "jobs") if controller_uid(one) == uid_of(owner)]
        done = [one for one in jobs if dig(one, "status", "completionTime")]
        if len(done) > 2:
            wrong.append(f"{title(owner)} keeps {len(done)} jobs that succeeded")
    return wrong


SCENARIO = Scenario(
    name="cronjobs",
    about="cron jobs that allow, forbid and replace, whatever the clock does",
    apart=("cronjob-controller", "job-controller"),
    objects=(
        (CRON_JOBS, cron_job("often", "* * * * *", "Forbid", 20)),
        (CRON_JOBS, cron_job("long", "*/2 * * * *", "Forbid", 150)),
        (CRON_JOBS, cron_job("newest", "* * * * *", "Replace", 90)),
        (CRON_JOBS, cron_job("any", "*/3 * * * *", "Allow", 30)),
    ),
    actions=(
        (2, set_spec(CRON_JOBS, "often", {"suspend": True}, {"suspend": False}, {"suspend": False})),
        (1, set_spec(CRON_JOBS, "any", {"schedule": "*/2 * * * *"}, {"schedule": "*/3 * * * *"})),
        (2, delete_pod("newest")),
        (1, delete_pod("often")),
    ),
    finale=tuple(
        set_spec(CRON_JOBS, name, {"suspend": True}) for name in ("often", "long", "newest", "any")
    ),
    settled=histories,
    minutes=10,
    every_s=30,
)
