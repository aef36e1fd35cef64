"""Events of events.k8s.io/v1: isomorphic ones become a series (KEP-383)."""

from __future__ import annotations

import asyncio
from typing import Any

from sampan import effects
from sampan.api.resources import CORE_EVENTS, EVENTS
from sampan.apimachinery.object import Object
from sampan.client.event_series import EventSeries
from sampan.client.events import EventRecorder
from sampan.sim.cluster import SimCluster
from sampan.sim.loop import run

POD = {"kind": "Pod", "namespace": "default", "name": "web", "uid": "u1", "apiVersion": "v1", "resourceVersion": "7"}
MINUTE_S = 60.0


def played(scenario: Any) -> None:
    """With a recorder in a simulated cluster; `scenario(note, stored)`."""

    async def play() -> None:
        async with SimCluster(4, nodes=0) as cluster:
            form = EventSeries("default-scheduler", "default-scheduler-n1", {"FailedScheduling": "Scheduling"})
            async with EventRecorder(cluster.client, "default-scheduler", form=form) as recorder:

                async def note(message: str = "no", about: Object = POD) -> None:
                    recorder.event(about, "Warning", "FailedScheduling", message)
                    await asyncio.sleep(1)

                async def stored() -> list[Object]:
                    return list((await cluster.client.list(EVENTS, "default"))["items"])

                await scenario(note, stored, cluster)

    run(play())


def test_an_event_has_the_newer_apis_fields_and_reads_as_a_core_event_too() -> None:
    async def scenario(note: Any, stored: Any, cluster: SimCluster) -> None:
        await note("0/1 nodes are available")
        [event] = await stored()
        assert (event["regarding"], event["note"], event["action"]) == (POD, "0/1 nodes are available", "Scheduling")
        assert event["reportingController"] == "default-scheduler"
        assert event["reportingInstance"] == "default-scheduler-n1"
        assert "series" not in event
        [core] = (await cluster.client.list(CORE_EVENTS, "default"))["items"]
        assert core["involvedObject"] == POD and core["message"] == "0/1 nodes are available"

    played(scenario)


def test_the_second_makes_a_series_and_further_ones_are_only_counted() -> None:
    async def scenario(note: Any, stored: Any, cluster: SimCluster) -> None:
        await note("first")
        await note("second")
        second = effects.now()
        [event] = await stored()
        version = event["metadata"]["resourceVersion"]
        assert event["series"]["count"] == 2 and event["note"] == "first"
        assert event["series"]["lastObservedTime"] < second.isoformat(timespec="microseconds")
        for _ in range(5):
            await note()
        [event] = await stored()
        assert event["metadata"]["resourceVersion"] == version, "nothing was written"

    played(scenario)


def test_a_series_ends_six_minutes_after_its_last_event_with_the_whole_count() -> None:
    async def scenario(note: Any, stored: Any, cluster: SimCluster) -> None:
        for _ in range(4):
            await note()
        await asyncio.sleep(13 * MINUTE_S)
        [event] = await stored()
        assert event["series"]["count"] == 4
        await note()
        assert sorted(one.get("series", {}).get("count", 1) for one in await stored()) == [1, 4]

    played(scenario)


def test_a_series_that_goes_on_is_written_every_half_hour() -> None:
    async def scenario(note: Any, stored: Any, cluster: SimCluster) -> None:
        counts = []
        for _ in range(40):
            await note()
            await asyncio.sleep(2 * MINUTE_S)
            counts.append(sum(one.get("series", {}).get("count", 1) for one in await stored()))
        assert len(await stored()) == 1
        assert counts[12] == 2 and counts[-1] > 20

    played(scenario)


def test_an_event_alone_is_over_after_six_minutes_and_other_objects_have_their_own() -> None:
    async def scenario(note: Any, stored: Any, cluster: SimCluster) -> None:
        await note()
        await note(about={**POD, "name": "other", "uid": "u2"})
        await asyncio.sleep(13 * MINUTE_S)
        await note()
        assert [one.get("series") for one in await stored()] == [None, None, None]

    played(scenario)


def test_a_series_whose_event_expired_is_written_whole() -> None:
    async def scenario(note: Any, stored: Any, cluster: SimCluster) -> None:
        await note("first")
        [event] = await stored()
        await cluster.client.delete(EVENTS, event["metadata"]["name"], "default")
        await note("second")
        [event] = await stored()
        assert event["series"]["count"] == 2 and event["note"] == "first"

    played(scenario)
