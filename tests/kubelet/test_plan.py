"""The plan for a pod: pure, from spec and state to what to do."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.kubelet.world import pod

from sampan.cri.runtime import ContainerState, ContainerStatus, Sandbox, SandboxState, SandboxStatus
from sampan.kubelet.plan import ProbeFacts, plan_pod
from sampan.kubelet.pod_state import PodContainer, PodState, pod_state


def box(attempt: int = 0, state: SandboxState = "READY", ips: tuple[str, ...] = ("10.0.0.1",)) -> SandboxStatus:
    return SandboxStatus(Sandbox(f"box{attempt}", "web", "default", "uid-web", attempt, state, attempt), ips)


def run(
    name: str, state: ContainerState = "RUNNING", code: int = 0, attempt: int = 0, sandbox: int = 0
) -> PodContainer:
    status = ContainerStatus(f"{name}{attempt}", name, attempt, state, attempt, 1, 2, code, "app:1", "sha256:app")
    return PodContainer(status, f"box{sandbox}")


def state(*parts: SandboxStatus | PodContainer) -> PodState:
    boxes = [part for part in parts if isinstance(part, SandboxStatus)]
    return pod_state("uid-web", boxes, [part for part in parts if isinstance(part, PodContainer)])


def planned(
    document: dict[str, Any], present: PodState, facts: ProbeFacts | None = None
) -> tuple[bool, list[str], list[str]]:
    """(whether a sandbox is made, who is killed, who is started)"""
    plan = plan_pod(document, present, facts or ProbeFacts())
    return plan.create_sandbox, [kill.container.name for kill in plan.kills], list(plan.start)


TWO = [{"name": "a"}, {"name": "b"}]


def test_a_new_pod_gets_a_sandbox_and_all_its_containers() -> None:
    assert planned(pod(containers=list(TWO)), state()) == (True, [], ["a", "b"])


def test_what_runs_is_left_alone() -> None:
    assert planned(pod(containers=list(TWO)), state(box(), run("a"), run("b"))) == (False, [], [])


def test_only_what_ended_is_started_again_and_only_if_its_policy_says_so() -> None:
    ended = state(box(), run("a", "EXITED", 1), run("b"))
    assert planned(pod(containers=list(TWO)), ended) == (False, [], ["a"])
    assert planned(pod(containers=list(TWO), restartPolicy="Never"), ended) == (False, [], [])
    done = state(box(), run("a", "EXITED", 0), run("b"))
    assert planned(pod(containers=list(TWO), restartPolicy="OnFailure"), done) == (False, [], [])
    own = [{"name": "a", "restartPolicy": "OnFailure"}, {"name": "b"}]
    assert planned(pod(containers=own, restartPolicy="Never"), ended) == (False, [], ["a"])


def test_a_dead_sandbox_is_replaced_unless_nothing_would_run_in_it() -> None:
    dead = state(box(state="NOTREADY"), run("a", "EXITED", 137))
    made = plan_pod(pod(containers=[{"name": "a"}]), dead, ProbeFacts())
    assert made.create_sandbox and made.attempt == 1 and made.start == ("a",)
    assert plan_pod(pod(containers=[{"name": "a"}], restartPolicy="Never"), dead, ProbeFacts()).is_empty


def test_two_ready_sandboxes_or_one_without_an_address_are_replaced() -> None:
    assert planned(pod(), state(box(0), box(1)))[0]
    assert planned(pod(), state(box(ips=())))[0]
    assert planned(pod(hostNetwork=True), state(box()))[0]


def test_init_containers_go_one_by_one_in_this_sandbox_only() -> None:
    inits = [{"name": "i", "image": "x"}, {"name": "j", "image": "x"}]
    document = pod(containers=[{"name": "a"}], initContainers=inits)
    assert planned(document, state()) == (True, [], ["i"])
    assert planned(document, state(box(), run("i"))) == (False, [], [])
    assert planned(document, state(box(), run("i", "EXITED"))) == (False, [], ["j"])
    assert planned(document, state(box(), run("i", "EXITED"), run("j", "EXITED", 1))) == (False, [], ["j"])
    assert planned(document, state(box(), run("i", "EXITED"), run("j", "EXITED"))) == (False, [], ["a"])
    renewed = state(box(0, "NOTREADY"), box(1), run("i", "EXITED"), run("j", "EXITED"), run("a", "EXITED"))
    assert planned(document, renewed) == (False, [], ["i"])


def test_a_sidecar_must_have_started_and_is_kept_running() -> None:
    side = {"name": "s", "image": "x", "restartPolicy": "Always"}
    document = pod(containers=[{"name": "a"}], initContainers=[side])
    assert planned(document, state(box(), run("s"))) == (False, [], [])
    assert planned(document, state(box(), run("s")), ProbeFacts(frozenset({"s0"}))) == (False, [], ["a"])
    assert planned(document, state(box(), run("s", "EXITED", 1), run("a"))) == (False, [], ["s"])


def test_a_failed_probe_kills_and_starts_again_or_only_kills() -> None:
    present, facts = state(box(), run("a")), ProbeFacts(failed={"a0": "liveness"})
    assert planned(pod(containers=[{"name": "a"}]), present, facts) == (False, ["a"], ["a"])
    assert planned(pod(containers=[{"name": "a"}], restartPolicy="Never"), present, facts) == (False, ["a"], [])


def test_an_ephemeral_container_starts_once() -> None:
    document = pod(containers=[{"name": "a"}], ephemeralContainers=[{"name": "e", "image": "x"}])
    assert planned(document, state(box(), run("a"))) == (False, [], ["e"])
    assert planned(document, state(box(), run("a"), run("e", "EXITED", 1))) == (False, [], [])


STATES = st.sampled_from(["CREATED", "RUNNING", "EXITED", "UNKNOWN"])
RUNS = st.lists(st.tuples(st.sampled_from("abis"), STATES, st.sampled_from([0, 1]), st.integers(0, 1)), max_size=8)


@given(RUNS, st.sampled_from(["Always", "OnFailure", "Never"]), st.sampled_from(["READY", "NOTREADY"]))
def test_no_state_leads_to_a_container_started_twice_or_beside_its_running_self(
    runs: list[tuple[str, ContainerState, int, int]], policy: str, sandbox: SandboxState
) -> None:
    document = pod(
        containers=[{"name": "a"}, {"name": "b"}], restartPolicy=policy,
        initContainers=[{"name": "i", "image": "x"}, {"name": "s", "image": "x", "restartPolicy": "Always"}],
    )
    present = state(box(0, "NOTREADY"), box(1, sandbox), *(
        run(name, status, code, attempt, where) for attempt, (name, status, code, where) in enumerate(runs)
    ))
    plan = plan_pod(document, present, ProbeFacts())
    assert len(set(plan.start)) == len(plan.start)
    killed = {kill.container.id for kill in plan.kills}
    for name in plan.start:
        latest = present.latest_in(plan.sandbox_id, name) if plan.sandbox_id else None
        assert latest is None or not latest.is_running or latest.id in killed
    assert plan.create_sandbox or not plan.start or plan.sandbox_id == "box1"
