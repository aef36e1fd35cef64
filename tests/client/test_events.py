from __future__ import annotations

import orjson
import pytest

from sampan.apimachinery import errors
from sampan.apimachinery.http import Request, Response
from sampan.client.client import Client
from sampan.client.event_correlation import COMBINED, Correlator
from sampan.client.events import EventRecorder

POD = {
    "apiVersion": "v1", "kind": "Pod",
    "metadata": {"name": "web", "namespace": "default", "uid": "u1", "resourceVersion": "7"},
}


class EventServer:
    """Keeps events by name."""

    def __init__(self) -> None:
        self.events: dict[str, dict] = {}
        self.failures: list[errors.APIError] = []

    async def request(self, request: Request) -> Response:
        if self.failures:
            raise self.failures.pop(0)
        body = orjson.loads(request.body)
        if request.method == "POST":
            self.events[body["metadata"]["name"]] = body
            return Response(201, {}, request.body)
        name = request.path.rsplit("/", 1)[1]
        if name not in self.events:
            return Response(404, {}, orjson.dumps(errors.NotFound("no").to_status()))
        self.events[name].update(body)
        return Response(200, {}, orjson.dumps(self.events[name]))

    async def close(self) -> None: ...


@pytest.fixture
def events() -> EventServer:
    return EventServer()


async def test_an_event_names_its_object_and_source(events) -> None:
    async with EventRecorder(Client(events), "kubelet", "node-1") as recorder:
        recorder.event(POD, "Normal", "Started", "Started container web", field_path="spec.containers{web}")
    [event] = events.events.values()
    assert event["involvedObject"] == {
        "kind": "Pod", "namespace": "default", "name": "web", "uid": "u1", "apiVersion": "v1",
        "resourceVersion": "7", "fieldPath": "spec.containers{web}",
    }
    assert event["source"] == {"component": "kubelet", "host": "node-1"}
    assert (event["type"], event["reason"], event["count"]) == ("Normal", "Started", 1)
    assert event["metadata"]["name"].startswith("web.")


async def test_while_the_component_is_busy_its_events_wait(events, until) -> None:
    busy = True
    async with EventRecorder(Client(events), "scheduler", is_busy=lambda: busy) as recorder:
        for number in range(5000):
            recorder.event({**POD, "metadata": {"name": f"p{number}"}}, "Normal", "Scheduled", "here")
        await until(lambda: recorder.counts.written >= 2)
        assert recorder.counts.written < 100
        busy = False
        await until(lambda: recorder.counts.written == 5000)
    assert recorder.counts.dropped == 0


async def test_what_is_repeated_before_it_is_written_is_written_once(events, until) -> None:
    sent: list[bytes] = []
    original = events.request

    async def request(asked):
        sent.append(asked.body)
        return await original(asked)

    events.request = request
    async with EventRecorder(Client(events), "scheduler", is_busy=lambda: True) as recorder:
        for _ in range(7):
            recorder.event(POD, "Warning", "FailedScheduling", "no")
    assert [orjson.loads(body)["count"] for body in sent] == [7]


async def test_repetitions_raise_the_count(events) -> None:
    async with EventRecorder(Client(events), "kubelet") as recorder:
        for _ in range(3):
            recorder.event(POD, "Warning", "BackOff", "Back-off restarting failed container")
    assert [event["count"] for event in events.events.values()] == [3]


async def test_an_event_that_expired_is_written_anew_with_its_count(events, until) -> None:
    async with EventRecorder(Client(events), "kubelet") as recorder:
        recorder.event(POD, "Warning", "BackOff", "again")
        await until(lambda: recorder.counts.written == 1)
        events.events.clear()
        recorder.event(POD, "Warning", "BackOff", "again")
    assert [event["count"] for event in events.events.values()] == [2]


async def test_a_server_that_is_away_is_tried_again(events, until, monkeypatch) -> None:
    monkeypatch.setattr("sampan.client.backoff.Backoff.next", lambda self: 0.001)
    events.failures = [errors.ServiceUnavailable("away"), errors.ServiceUnavailable("away")]
    async with EventRecorder(Client(events), "kubelet") as recorder:
        recorder.event(POD, "Normal", "Pulled", "ok")
        await until(lambda: recorder.counts.written == 1)


async def test_a_refused_event_is_counted_and_forgotten(events) -> None:
    events.failures = [errors.Forbidden("namespace is going")]
    async with EventRecorder(Client(events), "kubelet") as recorder:
        recorder.event(POD, "Normal", "Pulled", "ok")
    assert recorder.counts.failed == 1


async def test_cluster_scoped_objects_have_events_in_default(events) -> None:
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "uid": "n1"}}
    async with EventRecorder(Client(events), "kubelet") as recorder:
        recorder.event(node, "Normal", "NodeReady", "Node n1 status is now: NodeReady")
    assert [event["metadata"]["namespace"] for event in events.events.values()] == ["default"]


def _event(message: str, reason: str = "Failed") -> dict:
    return {
        "involvedObject": {"kind": "Pod", "name": "web"}, "source": {"component": "x"}, "type": "Warning",
        "reason": reason, "message": message, "metadata": {"name": message}, "count": 1, "firstTimestamp": "t",
    }


def test_the_tenth_similar_event_is_combined() -> None:
    correlator = Correlator()
    decisions = [correlator.correlate(_event(f"m{i}"), float(i)) for i in range(11)]
    assert [d.event["message"].startswith(COMBINED) for d in decisions if d] == [False] * 9 + [True] * 2
    assert decisions[9].key == decisions[10].key


def test_floods_are_cut_off_and_the_bucket_refills() -> None:
    correlator = Correlator()
    decisions = [correlator.correlate(_event("m"), 0.0) for _ in range(30)]
    assert sum(decision is None for decision in decisions) == 5
    assert correlator.correlate(_event("m"), 299.0) is None
    assert correlator.correlate(_event("m"), 301.0) is not None


def test_what_a_flood_drops_has_been_counted_when_the_next_is_written() -> None:
    correlator = Correlator()
    first = correlator.correlate(_event("m"), 0.0)
    assert first and first.previous is None
    correlator.written(first.key, first.event)
    assert [correlator.correlate(_event("m"), 1.0) for _ in range(40)].count(None) == 16
    after = correlator.correlate(_event("m"), 302.0)
    assert after and after.previous and after.event["count"] == 42


def test_an_event_whose_first_was_dropped_is_made_with_its_count_and_its_beginning() -> None:
    correlator = Correlator()
    for _ in range(25):
        correlator.correlate(_event("m"), 0.0)
    assert correlator.correlate(_event("other", "Killing"), 1.0) is None
    after = correlator.correlate({**_event("other", "Killing"), "firstTimestamp": "later"}, 302.0)
    assert after and after.previous is None
    assert (after.event["count"], after.event["firstTimestamp"]) == (2, "t")
