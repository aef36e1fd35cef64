"""The arithmetic of requests."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sampan.scheduler.resources import DEFAULT_CPU, DEFAULT_MEMORY, pod_requests, pod_requests_for_scoring


def container(cpu: int | None, *, sidecar: bool = False) -> dict[str, Any]:
    requests = {} if cpu is None else {"cpu": f"{cpu}m"}
    return {"resources": {"requests": requests}, **({"restartPolicy": "Always"} if sidecar else {})}


def cpu_of(**spec: Any) -> int:
    return pod_requests({"spec": spec}).get("cpu", 0)


def test_containers_add_up() -> None:
    assert cpu_of(containers=[container(100), container(200)]) == 300


def test_an_init_container_needs_room_only_while_it_runs() -> None:
    assert cpu_of(containers=[container(100)], initContainers=[container(300), container(200)]) == 300
    assert cpu_of(containers=[container(400)], initContainers=[container(300), container(200)]) == 400


def test_sidecars_run_beside_everything_that_starts_after_them() -> None:
    inits = [container(500), container(100, sidecar=True), container(450), container(50, sidecar=True)]
    assert cpu_of(containers=[container(100)], initContainers=inits) == 550
    assert cpu_of(containers=[container(500)], initContainers=inits) == 650


def test_overhead_is_added_and_pod_level_requests_replace_the_sum() -> None:
    assert cpu_of(containers=[container(100)], overhead={"cpu": "50m"}) == 150
    pod_level = {"requests": {"cpu": "1", "example.com/gpu": "9"}}
    requests = pod_requests({"spec": {"containers": [container(100)], "resources": pod_level}})
    assert requests == {"cpu": 1000}


def test_scoring_assumes_something_of_containers_that_say_nothing() -> None:
    pod = {"spec": {"containers": [container(None), container(300)]}}
    assert pod_requests(pod) == {"cpu": 300}
    assert pod_requests_for_scoring(pod) == {"cpu": DEFAULT_CPU + 300, "memory": 2 * DEFAULT_MEMORY}


@given(st.lists(st.integers(0, 900), min_size=1), st.lists(st.tuples(st.integers(0, 900), st.booleans())))
def test_the_request_is_the_highest_moment_of_a_life(containers: list[int], inits: list[tuple[int, bool]]) -> None:
    running, highest = 0, 0
    for cpu, sidecar in inits:
        highest = max(highest, running + cpu)
        running += cpu if sidecar else 0
    highest = max(highest, running + sum(containers))
    made = [container(cpu, sidecar=sidecar) for cpu, sidecar in inits]
    assert cpu_of(containers=[container(cpu) for cpu in containers], initContainers=made) == highest
