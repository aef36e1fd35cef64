"""Two controllers of times to live: of Jobs that are over, and of what kubelets remember."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.controllers.lab import Lab, on_a_cluster

from sampan.api.resources import NODES
from sampan.apimachinery.object import annotations_of
from sampan.controllers.jobs import ttl_after_finished
from sampan.controllers.nodes import node_ttl
from sampan.reconcile.plan import NOTHING, Delete


@pytest.mark.parametrize(("ended", "ago_s", "ttl_s", "left_s"), [
    ("", 0, 100, None),
    ("Complete", 0, None, None), ("Complete", 0, 0, 0), ("Complete", 0, 10, 10), ("Complete", 10, 15, 5),
    ("Failed", 0, None, None), ("Failed", 0, 0, 0), ("Failed", 0, 10, 10), ("Failed", 10, 15, 5),
    ("Failed", 30, 15, -15),
])
def test_a_job_goes_when_its_time_after_its_end_is_over(make, ended, ago_s, ttl_s, left_s) -> None:
    at = (make.now - timedelta(seconds=ago_s)).strftime("%Y-%m-%dT%H:%M:%SZ")
    found = [{"type": ended, "status": "True", "lastTransitionTime": at}] if ended else []
    job = {"metadata": make.meta("work"), "spec": {"ttlSecondsAfterFinished": ttl_s}, "status": {"conditions": found}}
    ends_at = ttl_after_finished.expires_at(job)
    assert ends_at == (None if left_s is None else make.now + timedelta(seconds=left_s))
    decided = ttl_after_finished.plan(job, make.now)
    if left_s is None:
        assert decided is NOTHING
    elif left_s > 0:
        assert not decided.steps and decided.requeue_after_s == left_s
    else:
        [delete] = decided.steps
        assert isinstance(delete, Delete) and (delete.uid, delete.propagation) == ("uid-work", "Foreground")


@pytest.mark.parametrize("condition", [
    {"type": "Complete", "status": "False", "lastTransitionTime": "2026-01-02T03:00:00Z"},
    {"type": "SuccessCriteriaMet", "status": "True", "lastTransitionTime": "2026-01-02T03:00:00Z"},
    {"type": "Complete", "status": "True"},
])
def test_a_job_that_does_not_say_when_it_ended_stays(make, condition) -> None:
    job = {
        "metadata": make.meta("work"), "spec": {"ttlSecondsAfterFinished": 1}, "status": {"conditions": [condition]}
    }
    assert ttl_after_finished.plan(job, make.now) is NOTHING


@pytest.mark.parametrize(("count", "before_s", "after_s"), [
    (1, 0, 0), (100, 0, 0), (101, 0, 15),
    (100, 15, 15), (90, 15, 15), (92, 15, 15), (89, 15, 0),
    (500, 15, 15), (501, 15, 30), (450, 30, 30), (449, 30, 15),
    (1000, 30, 30), (1001, 30, 60), (900, 60, 60), (899, 60, 30),
    (2000, 60, 60), (2001, 60, 300), (10000, 300, 300), (1800, 300, 300), (1799, 300, 60),
])
def test_the_more_nodes_the_longer_a_kubelet_remembers_and_back_a_little_later(count, before_s, after_s) -> None:
    times_s = [step.ttl_s for step in node_ttl.STEPS]
    assert times_s[node_ttl.step_for(count, times_s.index(before_s))] == after_s


@pytest.mark.parametrize(("annotations", "ttl_s", "patched"), [
    ({}, 0, True), ({}, 10, True), ({"other": "x"}, 10, True), ({node_ttl.ANNOTATION: "60"}, 10, True),
    ({node_ttl.ANNOTATION: "60"}, 60, False), ({node_ttl.ANNOTATION: "what"}, 30, True),
])
def test_a_node_says_the_time_that_holds_for_all(make, annotations, ttl_s, patched) -> None:
    node = make.node()
    node["metadata"]["annotations"] = annotations
    decided = node_ttl.plan(node, ttl_s)
    if not patched:
        assert decided is NOTHING
        return
    [patch] = decided.steps
    assert patch.patch["metadata"]["annotations"] == {node_ttl.ANNOTATION: str(ttl_s)}


def test_on_a_cluster_nodes_say_how_long_for_as_many_as_there_are() -> None:
    """TestTTLAnnotations"""

    async def scenario(lab: Lab) -> None:
        async def make(*numbers: int) -> None:
            for number in numbers:
                await lab.client.create(NODES, {"metadata": {"name": f"node-{number}"}})

        async def delete(*numbers: int) -> None:
            for number in numbers:
                await lab.client.delete(NODES, f"node-{number}")

        async def say(count: int, ttl_s: int) -> None:
            async def check() -> bool:
                found = (await lab.client.list(NODES))["items"]
                told = [annotations_of(node).get(node_ttl.ANNOTATION) for node in found]
                return told == [str(ttl_s)] * count

            await lab.until(check, what=f"{count} nodes say {ttl_s}")

        await make(*range(100))
        await say(100, 0)
        await make(100)
        await say(101, 15)
        await delete(*range(90, 101))
        await say(90, 15)
        await delete(89)
        await say(89, 0)

    on_a_cluster(scenario, nodes=0, controllers="ttl-controller")
