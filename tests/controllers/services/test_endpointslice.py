from __future__ import annotations

import pytest

from sampan.apimachinery.object import name_of
from sampan.controllers.services import endpoints
from sampan.controllers.services.endpointslice import LIMIT, Observed, plan
from sampan.controllers.services.topology_hints import Topology
from sampan.reconcile.plan import NOTHING, Create, Delete, Update


def stored(create: Create, name: str = "web-abc") -> dict:
    document = create.obj
    return {**document, "metadata": {**document["metadata"], "name": name, "uid": f"uid-{name}"}}


def test_each_pod_is_an_endpoint_with_its_conditions(make) -> None:
    pods = (
        make.pod("a", ready=True, ip="10.244.0.5"), make.pod("b", ip="10.244.0.6"),
        make.pod("c", ready=True, ip="10.244.0.7", deletionTimestamp=make.now_text),
        make.pod("no-address"), make.pod("done", ip="10.244.0.8", phase="Succeeded"),
    )
    [create] = plan(Observed(make.service(), pods, (), Topology({"n1": "zone-a"})), make.now).steps
    document = create.obj
    assert document["addressType"] == "IPv4"
    assert document["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    assert document["metadata"]["generateName"] == "web-"
    assert document["metadata"]["labels"] == {
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    assert document["endpoints"][0] == {
        "addresses": ["10.244.0.5"], "conditions": {"ready": True, "serving": True, "terminating": False},
        "targetRef": {"kind": "Pod", "namespace": "default", "name": "a", "uid": "uid-a"}, "nodeName": "n1",
        "zone": "zone-a",
    }
    assert [one["conditions"] for one in document["endpoints"][1:]] == [
        {"ready": False, "serving": False, "terminating": False},
        {"ready": False, "serving": True, "terminating": True},
    ]


def test_a_true_slice_is_left_alone(make) -> None:
    service, pods = make.service(), (make.pod("a", ready=True, ip="10.244.0.5"),)
    [create] = plan(Observed(service, pods, ()), make.now).steps
    assert plan(Observed(service, pods, (stored(create),)), make.now).steps == ()


def test_named_ports_make_a_slice_for_each_number(make) -> None:
    service = make.service(ports=[{"name": "http", "port": 80, "targetPort": "web"}])
    old, new = make.pod("a", ready=True, ip="10.244.0.5"), make.pod("b", ready=True, ip="10.244.0.6")
    old["spec"]["containers"][0]["ports"] = [{"name": "web", "containerPort": 8080}]
    new["spec"]["containers"][0]["ports"] = [{"name": "web", "containerPort": 9090}]
    creates = plan(Observed(service, (old, new), ()), make.now).steps
    assert [create.obj["ports"][0]["port"] for create in creates] == [8080, 9090]


def test_publishing_not_ready_addresses_makes_every_endpoint_ready(make) -> None:
    service = make.service(publishNotReadyAddresses=True)
    [create] = plan(Observed(service, (make.pod("a", ip="10.244.0.5"),), ()), make.now).steps
    assert create.obj["endpoints"][0]["conditions"] == {"ready": True, "serving": False, "terminating": False}


def test_a_service_without_pods_has_an_empty_slice(make) -> None:
    [create] = plan(Observed(make.service(), (), ()), make.now).steps
    assert (create.obj["endpoints"], create.obj["ports"]) == ([], [])
    assert plan(Observed(make.service(), (), (stored(create),)), make.now).steps == ()


def test_the_last_pod_leaves_an_empty_slice(make) -> None:
    service = make.service()
    [create] = plan(Observed(service, (make.pod("a", ready=True, ip="10.244.0.5"),), ()), make.now).steps
    [update] = plan(Observed(service, (), (stored(create),)), make.now).steps
    assert isinstance(update, Update)
    assert update.obj["endpoints"] == []


def test_slices_hold_100_and_endpoints_stay_where_they_are(make) -> None:
    service = make.service()
    pods = tuple(make.pod(f"p{n:03}", ready=True, ip=f"10.244.{n // 250}.{n % 250 + 1}") for n in range(250))
    creates = plan(Observed(service, pods, ()), make.now).steps
    assert [len(create.obj["endpoints"]) for create in creates] == [LIMIT, LIMIT, 50]
    slices = tuple(stored(create, f"s{n}") for n, create in enumerate(creates))
    fewer = (*pods[1:], make.pod("new", ready=True, ip="10.245.0.1"))
    writes = plan(Observed(service, fewer, slices), make.now).steps
    assert [name_of(write.obj) for write in writes] == ["s0"]
    assert len(writes[0].obj["endpoints"]) == LIMIT


def test_a_slice_of_ports_that_are_no_more_becomes_one_of_the_present_ports(make) -> None:
    service, pods = make.service(), (make.pod("a", ready=True, ip="10.244.0.5"),)
    [create] = plan(Observed(service, pods, ()), make.now).steps
    service["spec"]["ports"][0]["targetPort"] = 9090
    [update] = plan(Observed(service, pods, (stored(create),)), make.now).steps
    assert isinstance(update, Update) and update.obj["ports"][0]["port"] == 9090
    assert [one["addresses"] for one in update.obj["endpoints"]] == [["10.244.0.5"]]


def test_headless_services_say_so_and_carry_hostnames(make) -> None:
    service = make.service(clusterIP="None")
    pod = make.pod("web-0", ready=True, ip="10.244.0.5")
    pod["spec"] |= {"hostname": "web-0", "subdomain": "web"}
    [create] = plan(Observed(service, (pod,), ()), make.now).steps
    assert create.obj["metadata"]["labels"]["service.kubernetes.io/headless"] == ""
    assert create.obj["endpoints"][0]["hostname"] == "web-0"


def test_endpoints_list_ready_and_other_pods(make) -> None:
    pods = (
        make.pod("a", ready=True, ip="10.244.0.6"), make.pod("b", ready=True, ip="10.244.0.5"),
        make.pod("c", ip="10.244.0.7"), make.pod("d", ready=True, ip="10.244.0.8", deletionTimestamp=make.now_text),
    )
    [create] = endpoints.plan(make.service(), pods, None, make.now).steps
    [subset] = create.obj["subsets"]
    assert [one["ip"] for one in subset["addresses"]] == ["10.244.0.5", "10.244.0.6"]
    assert [one["ip"] for one in subset["notReadyAddresses"]] == ["10.244.0.7"]
    assert subset["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    assert endpoints.plan(make.service(), pods, create.obj, make.now) == NOTHING


def test_endpoints_beyond_their_capacity_are_cut_and_marked(make) -> None:
    pods = tuple(make.pod(f"p{n:04}", ready=True, ip=f"10.244.{n // 250}.{n % 250 + 1}") for n in range(1100))
    [create] = endpoints.plan(make.service(), pods, None, make.now).steps
    assert sum(len(subset["addresses"]) for subset in create.obj["subsets"]) == 1000
    assert create.obj["metadata"]["annotations"]["endpoints.kubernetes.io/over-capacity"] == "truncated"


def test_what_cannot_be_written_is_told(make) -> None:
    pods = (make.pod("a", ready=True, ip="10.244.0.5"),)
    [create] = plan(Observed(make.service(), pods, ())).steps
    assert (create.failed.about["kind"], create.failed.reason) == ("Service", "FailedToUpdateEndpointSlices")
    [update] = plan(Observed(make.service(), (), (stored(create),))).steps
    assert update.failed.message.startswith("Error updating Endpoint Slices for Service default/web: failed to update ")
    [create] = endpoints.plan(make.service(), pods, None).steps
    assert (create.failed.about["kind"], create.failed.reason) == ("Endpoints", "FailedToCreateEndpoint")
    [update] = endpoints.plan(make.service(), (), create.obj).steps
    assert update.failed.reason == "FailedToUpdateEndpoint"


def filled(make, *sizes: int, first: int = 0) -> tuple[list, list]:
    """Slices of these sizes, and the pods in them."""
    pods, slices = [], []
    for number, size in enumerate(sizes):
        own = [make.pod(f"p{first + n}", ready=True, ip=f"10.{number}.{n // 250}.{n % 250 + 1}") for n in range(size)]
        [create] = plan(Observed(make.service(), tuple(own), ())).steps
        slices.append(stored(create))
        slices[-1]["metadata"]["name"] = slices[-1]["metadata"]["uid"] = f"web-{number}"
        first += size
        pods += own
    return pods, slices


def sizes_after(make, pods: list, slices: list) -> tuple[list[int], list[int], int]:
    """The sizes of slices that are made, those of slices that change, and how many go."""
    steps = plan(Observed(make.service(), tuple(pods), tuple(slices))).steps
    made, changed = (
        sorted(len(step.obj["endpoints"]) for step in steps if isinstance(step, kind)) for kind in (Create, Update)
    )
    return made, changed, sum(isinstance(step, Delete) for step in steps)


def more(make, count: int) -> list:
    return [make.pod(f"new{n}", ready=True, ip=f"10.9.{n // 250}.{n % 250 + 1}") for n in range(count)]


@pytest.mark.parametrize(("sizes", "new", "made", "changed"), [
    ((62, 61), 127, [100], [89]),  # a full new one, and what is left fits into the fuller of the others
    ((95, 95), 10, [10], []),  # rather a new one than two that change
    ((95, 80), 10, [], [90]),
    ((95, 90), 5, [], [100]),
    ((100,), 1, [1], []),
    ((0,), 7, [], [7]),
    ((50,), 100, [100], []),
])
def test_new_endpoints_change_as_few_slices_as_possible(make, sizes, new, made, changed) -> None:
    pods, slices = filled(make, *sizes)
    assert sizes_after(make, [*pods, *more(make, new)], slices) == (made, changed, 0)


def test_slices_that_change_in_any_case_are_filled_first(make) -> None:
    pods, slices = filled(make, 60, 70)
    pods[0]["status"]["conditions"][0]["status"] = "False"
    assert sizes_after(make, [*pods, *more(make, 35)], slices) == ([], [95], 0)
    assert sizes_after(make, [*pods, *more(make, 50)], slices) == ([], [80, 100], 0)


def test_a_slice_that_would_go_takes_the_endpoints_of_one_that_would_come(make) -> None:
    _, slices = filled(make, 100)
    assert sizes_after(make, more(make, 100), slices) == ([], [100], 0)
    pods, slices = filled(make, 40, 30)
    assert sizes_after(make, pods[:40], slices) == ([], [], 1)
