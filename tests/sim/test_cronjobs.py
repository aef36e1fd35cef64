"""CronJobs on virtual time: a night in which the clocks change passes in seconds, and all runs when it should."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import orjson

from sampan.api.resources import CRON_JOBS
from sampan.sim.cause import Cause
from sampan.sim.cluster import SimCluster
from sampan.sim.loop import run
from sampan.sim.scenarios.cronjobs import cron_job
from sampan.sim.source import EPOCH
from sampan.storage.store import Event

NIGHT = datetime(2026, 3, 29, 0, 20, tzinfo=UTC)
"""At 01:00 UTC it becomes 03:00 in Berlin where it would have been 02:00."""


def test_a_time_zone_that_changes_to_summer_moves_its_jobs_by_an_hour_and_no_others() -> None:
    runs: dict[str, list[str]] = {"breakfast": [], "hourly": []}

    def listen(event: Event, cause: Cause) -> None:
        if event.kv.key.startswith("/registry/batch/jobs/") and event.previous is None:
            job = orjson.loads(event.kv.value)
            runs[job["metadata"]["ownerReferences"][0]["name"]].append(job["metadata"]["creationTimestamp"][11:16])

    async def main() -> None:
        async with SimCluster(1, nodes=1) as cluster:
            cluster.source.clock_offset = NIGHT - EPOCH
            cluster.store.listeners.append(listen)
            breakfast = cron_job("breakfast", "30 8 * * *", "Forbid", 5)
            hourly = cron_job("hourly", "0 * * * *", "Forbid", 5)
            breakfast["spec"]["timeZone"] = "Europe/Berlin"
            for one in (breakfast, hourly):
                await cluster.client.create(CRON_JOBS, one)
            await asyncio.sleep(7.5 * 3600)

    run(main())
    assert runs == {
        "breakfast": ["06:30"],
        "hourly": ["01:00", "02:00", "03:00", "04:00", "05:00", "06:00", "07:00"],
    }
