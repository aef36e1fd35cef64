"""The moment that a change of endpoints goes back to, as upstream's tracker finds it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.controllers.lab import LABELS, Lab, on_a_cluster, workload

from sampan.api.resources import ENDPOINT_SLICES, ENDPOINTS, REPLICA_SETS, SERVICES
from sampan.apimachinery.object import annotations_of, labels_of
from sampan.controllers.services.trigger_times import ANNOTATION, TriggerTimes, stamped

T = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=n) for n in range(6)]


def text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def service(make, at: datetime):
    found = make.service()
    found["metadata"]["creationTimestamp"] = text(at)
    return found


def pod(make, name: str, at: datetime):
    return make.pod(name, ready=True, since=text(at))


def test_a_new_service_has_the_time_of_its_creation(make) -> None:
    assert TriggerTimes().of("a", service(make, T[0]), []) == T[0]
    assert TriggerTimes().of("a", service(make, T[2]), [pod(make, "p", T[1]), pod(make, "q", T[3])]) == T[2]


def test_then_the_earliest_pod_that_changed_counts(make) -> None:
    tracker, owner = TriggerTimes(), service(make, T[0])
    tracker.of("a", owner, [pod(make, "p", T[1])])
    assert tracker.of("a", owner, [pod(make, "p", T[1])]) is None
    assert tracker.of("a", owner, [pod(make, "p", T[3]), pod(make, "q", T[2])]) == T[2]
    assert tracker.of("a", owner, [pod(make, "p", T[3])]) is None, "a pod that went has no time"
    assert tracker.of("a", owner, [pod(make, "p", T[3]), pod(make, "q", T[2])]) == T[2], "it is new again"


def test_a_service_made_anew_counts_and_one_that_is_forgotten_begins_again(make) -> None:
    tracker = TriggerTimes()
    tracker.of("a", service(make, T[0]), [pod(make, "p", T[1])])
    assert tracker.of("a", service(make, T[2]), [pod(make, "p", T[1])]) == T[2]
    assert tracker.of("a", service(make, T[3]), [pod(make, "p", T[4])]) == T[3]
    tracker.forget("a")
    assert tracker.of("a", service(make, T[0]), [pod(make, "p", T[5])]) == T[0]
    assert tracker.of("b", service(make, T[1]), []) == T[1], "each for itself"


def test_a_pod_without_conditions_has_no_time(make) -> None:
    tracker, owner, silent = TriggerTimes(), service(make, T[0]), make.pod("p")
    silent["status"]["conditions"] = []
    tracker.of("a", owner, [])
    assert tracker.of("a", owner, [silent]) is None


def test_the_annotation_is_written_or_taken_away() -> None:
    assert stamped({"a": "b"}, T[1]) == {"a": "b", ANNOTATION: text(T[1])}
    assert stamped({"a": "b", ANNOTATION: "x"}, None) == {"a": "b"}


def test_on_a_cluster_both_forms_have_the_time_at_which_the_pod_became_ready() -> None:
    async def scenario(lab: Lab) -> None:
        for node in lab.cluster.fleet.nodes:
            lab.cluster.fleet.stop_node(node)  # a kubelet may be too quick for whole seconds: the test speaks for it
        await lab.create(SERVICES, "web", spec={"selector": LABELS, "ports": [{"port": 80}]})
        await lab.create(REPLICA_SETS, "web", spec=workload(replicas=1))

        async def is_bound() -> bool:
            return [bool(one["spec"].get("nodeName")) for one in (await lab.pods()).values()] == [True]

        await lab.until(is_bound)
        [name] = await lab.pods()
        await lab.set_phase("Running", name, podIP="10.0.0.1", podIPs=[{"ip": "10.0.0.1"}])
        await lab.make_ready(name)
        [pod] = (await lab.pods()).values()
        [since] = [one["lastTransitionTime"] for one in pod["status"]["conditions"] if one["type"] == "Ready"]

        async def settled() -> bool:
            slices = [one for one in await lab.list(ENDPOINT_SLICES)
                      if labels_of(one).get("kubernetes.io/service-name") == "web"]
            found = [annotations_of(one).get(ANNOTATION) for one in [*slices, await lab.get(ENDPOINTS, "web")]]
            return found == [since, since]

        await lab.until(settled)

    on_a_cluster(scenario, nodes=1)
