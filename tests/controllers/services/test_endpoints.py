"""Endpoints as upstream's tables have them: subsets, what is left out, and what becomes of them with their Service."""

from __future__ import annotations

import pytest
from tests.controllers.lab import LABELS, Lab, on_a_cluster, workload

from sampan.api.resources import ENDPOINTS, REPLICA_SETS, SERVICES
from sampan.apimachinery.object import Object, annotations_of, labels_of
from sampan.controllers.services import endpoints
from sampan.controllers.services.subsets import repacked
from sampan.reconcile.plan import Create, Update

HEADLESS = "service.kubernetes.io/headless"


def port(name: str, number: int) -> Object:
    return {"name": name, "port": number, "protocol": "TCP"}


def address(name: str) -> Object:
    return {"ip": f"10.0.0.{ord(name) - 96}", "targetRef": {"uid": name}}


def subset(ready: str = "", waiting: str = "", **ports: int) -> Object:
    """Ports by name; who is ready and who is not by a letter each."""
    found: Object = {"ports": [port(name, number) for name, number in ports.items()]} if ports else {}
    found |= {"addresses": [address(name) for name in ready]} if ready else {}
    return found | ({"notReadyAddresses": [address(name) for name in waiting]} if waiting else {})


@pytest.mark.parametrize(("given", "wanted"), [
    ([], []), ([subset(x=1)], []), ([subset("a")], [subset("a")]), ([subset("a", x=1)], [subset("a", x=1)]),
    ([subset("a", y=2, x=1)], [subset("a", x=1, y=2)]), ([subset("ba", x=1)], [subset("ab", x=1)]),
    ([subset("a", x=1), subset("a", x=1)], [subset("a", x=1)]),
    ([subset("a", x=1), subset("a", y=2)], [subset("a", x=1, y=2)]),
    ([subset("a", x=1), subset("b", x=1)], [subset("ab", x=1)]),
    ([subset("a", x=1), subset("b", y=2)], [subset("a", x=1), subset("b", y=2)]),
    ([subset("a", x=1, y=2), subset("b", y=2)], [subset("a", x=1), subset("ab", y=2)]),
    ([subset("a", "b", x=1), subset("b", y=2)], [subset("a", "b", x=1), subset("b", y=2)]),
    ([subset("a", x=1), subset("", "a", x=1)], [subset("", "a", x=1)]),
    ([subset("", "a", x=1), subset("a", x=1)], [subset("", "a", x=1)]),
    ([subset("a", x=1), subset("", "a", y=2)], [subset("a", x=1), subset("", "a", y=2)]),
    ([subset("a"), subset("a", x=1)], [subset("a", x=1)]),
    ([subset("a"), subset("b", x=1)], [subset("a"), subset("b", x=1)]),
    ([subset("a", x=1), subset("a", x=2)], [subset("a", x=1), subset("a", x=2)]),  # upstream: ports of one name twice
])
def test_subsets_have_one_form(given, wanted) -> None:
    assert repacked(given) == wanted == repacked(wanted)


def sizes(*counts: int) -> list[list[Object]]:
    return [[{"ip": f"10.{n}.{m // 250}.{m % 250}"} for m in range(count)] for n, count in enumerate(counts)]


@pytest.mark.parametrize(("ready", "waiting", "ready_kept", "waiting_kept"), [
    ((), (), (), ()), ((50, 100), (50, 100), (50, 100), (50, 100)),
    ((100,) * 5, (100,) * 5, (100,) * 5, (100,) * 5),
    ((90, 110, 50, 10, 20), (101, 200, 200, 201, 298), (90, 110, 50, 10, 20), (73, 144, 144, 145, 214)),
    ((205, 400, 402, 400, 693), (100, 200, 200, 200, 300), (98, 191, 192, 191, 328), (0,) * 5),
    ((997,), (4,), (997,), (3,)), ((1000,), (10,), (1000,), (0,)), ((999,), (0,), (999,), (0,)),
    ((1000,), (0,), (1000,), (0,)), ((1001,), (0,), (1000,), (0,)),
])
def test_of_too_many_addresses_each_subset_keeps_its_share(ready, waiting, ready_kept, waiting_kept) -> None:
    subsets = [
        {"addresses": one, "notReadyAddresses": other}
        for one, other in zip(sizes(*ready), sizes(*waiting), strict=True)
    ]
    kept, cut = endpoints.within_capacity(subsets)
    assert cut is (sum(ready) + sum(waiting) > 1000)
    assert tuple(len(one.get("addresses", ())) for one in kept) == ready_kept
    assert tuple(len(one.get("notReadyAddresses", ())) for one in kept) == waiting_kept


@pytest.mark.parametrize(("count", "before", "wanted"), [
    (999, "truncated", None), (1000, "truncated", None), (1000, "warning", None), (1001, "invalid", "truncated"),
    (1001, "warning", "truncated"), (1001, None, "truncated"), (0, None, None),
])
def test_an_annotation_says_that_some_are_left_out(make, count, before, wanted) -> None:
    pods = tuple(make.pod(f"p{n:04}", ready=True, ip=f"10.1.{n // 250}.{n % 250}") for n in range(count))
    [create] = endpoints.plan(make.service(), pods, None).steps
    annotations = {endpoints.OVER_CAPACITY: before} if before else {}
    known = {**create.obj, "metadata": {**create.obj["metadata"], "annotations": annotations}}
    steps = endpoints.plan(make.service(), pods, known).steps
    assert bool(steps) is (before != wanted)
    assert annotations_of(steps[0].obj if steps else known).get(endpoints.OVER_CAPACITY) == wanted


@pytest.mark.parametrize(("families", "addresses", "wanted"), [
    (["IPv4"], ["10.0.0.1"], ["10.0.0.1"]), (["IPv4"], ["10.0.0.1", "fd00::1"], ["10.0.0.1"]),
    (["IPv4"], ["fd00::1", "10.0.0.1"], ["10.0.0.1"]), (["IPv6"], ["10.0.0.1", "FD00::01"], ["fd00::1"]),
    (["IPv6"], ["fd00::1"], ["fd00::1"]), (["IPv6"], ["10.0.0.1"], []), (["IPv4"], ["fd00::1"], []),
    (["IPv6", "IPv4"], ["10.0.0.1", "fd00::1"], ["fd00::1"]), (["IPv4", "IPv6"], ["fd00::1"], []),
])
@pytest.mark.parametrize("cluster_ip", ["None", "10.96.0.20"])
def test_addresses_are_of_the_services_first_family(make, families, addresses, wanted, cluster_ip) -> None:
    pod = make.pod("a", ready=True, ip=addresses[0])
    pod["status"]["podIPs"] = [{"ip": ip} for ip in addresses]
    [create] = endpoints.plan(make.service(ipFamilies=families, clusterIP=cluster_ip), (pod,), None).steps
    assert [one["ip"] for found in create.obj["subsets"] for one in found["addresses"]] == wanted


@pytest.mark.parametrize(("phase", "ready", "publish", "going", "field"), [
    ("Running", True, False, False, "addresses"), ("Running", False, False, False, "notReadyAddresses"),
    ("Running", False, True, False, "addresses"), ("Running", True, False, True, None),
    ("Running", True, True, True, "addresses"), ("Failed", False, False, False, None),
    ("Succeeded", False, True, False, None), ("Pending", False, False, False, "notReadyAddresses"),
])
def test_where_a_pod_stands(make, phase, ready, publish, going, field) -> None:
    pod = make.pod("a", ready=ready, ip="10.0.0.1", phase=phase)
    if going:
        pod["metadata"]["deletionTimestamp"] = make.now_text
    [create] = endpoints.plan(make.service(publishNotReadyAddresses=publish), (pod,), None).steps
    assert [next(iter(found)) for found in create.obj["subsets"]] == ([field] if field else [])


def test_pods_of_several_ports_are_sorted_by_them(make) -> None:
    pods = []
    for name, numbers in (("a", {"x": 1, "y": 2}), ("b", {"y": 2})):
        pods.append(make.pod(name, ready=True, ip=f"10.0.0.{len(pods)}"))
        ports = [{"name": port, "containerPort": number} for port, number in numbers.items()]
        pods[-1]["spec"]["containers"] = [{"name": "c", "ports": ports}]
    service = make.service(ports=[{"name": name, "port": 80, "targetPort": name} for name in "xy"])
    first, second = endpoints.subsets_of(service, tuple(pods))
    assert [one["port"] for one in (*first["ports"], *second["ports"])] == [1, 2]
    assert [one["ip"] for one in first["addresses"]] == ["10.0.0.0"]
    assert [one["ip"] for one in second["addresses"]] == ["10.0.0.0", "10.0.0.1"]


@pytest.mark.parametrize(("cluster_ip", "ports", "subsets"), [
    ("None", [], 1), ("10.96.0.20", [], 0), ("None", [{"name": "x", "port": 1, "targetPort": "no"}], 0),
])
def test_only_a_headless_service_does_without_ports(make, cluster_ip, ports, subsets) -> None:
    service = make.service(clusterIP=cluster_ip, ports=ports)
    found = endpoints.subsets_of(service, (make.pod("a", ready=True, ip="10.0.0.1"),))
    assert len(found) == subsets and not any("ports" in one for one in found)


@pytest.mark.parametrize("labels", [{}, {"a": "b"}, {HEADLESS: ""}])
@pytest.mark.parametrize("headless", [True, False])
def test_labels_are_the_services_and_say_whether_it_is_headless(make, labels, headless) -> None:
    service = make.service(clusterIP="None" if headless else "10.96.0.20")
    service["metadata"]["labels"] = labels
    [create] = endpoints.plan(service, (), None).steps
    assert isinstance(create, Create)
    wanted = {**labels, endpoints.MANAGED_BY: endpoints.MANAGER}
    wanted.pop(HEADLESS, None)
    assert labels_of(create.obj) == (wanted | {HEADLESS: ""} if headless else wanted)
    assert not endpoints.plan(service, (), create.obj).steps
    service["metadata"]["labels"] = {"new": "1"}
    [update] = endpoints.plan(service, (), create.obj).steps
    assert isinstance(update, Update) and labels_of(update.obj)["new"] == "1" and "a" not in labels_of(update.obj)


@pytest.mark.parametrize(("labels", "annotations", "deleted", "goes"), [
    ({endpoints.MANAGED_BY: endpoints.MANAGER}, {}, False, True), ({}, {}, False, False), ({}, {}, True, True),
    ({}, {endpoints.LEADER: "x"}, True, False),
])
def test_which_endpoints_go_that_have_no_service(make, labels, annotations, deleted, goes) -> None:
    existing = {"metadata": make.meta("web", labels=labels, annotations=annotations)}
    assert bool(endpoints.leftover(existing, deleted=deleted).steps) is goes
    assert not endpoints.leftover(None, deleted=deleted).steps


def test_on_a_cluster_endpoints_written_by_hand_stay_with_their_service_and_go_with_it() -> None:
    async def scenario(lab: Lab) -> None:
        found = [{"addresses": [{"ip": "10.1.0.1"}], "ports": [port("x", 1)]}]
        await lab.create(ENDPOINTS, "alone", subsets=found)
        await lab.create(ENDPOINTS, "web", subsets=found)
        await lab.create(SERVICES, "web", spec={"ports": [{"port": 80}]})
        await lab.create(SERVICES, "other", spec={"selector": LABELS, "ports": [{"port": 80}]})

        def there(*names: str):
            async def check() -> bool:
                return sorted(
                    one["metadata"]["name"] for one in await lab.list(ENDPOINTS)
                    if one["metadata"]["name"] != "kubernetes"
                ) == list(names)

            return check

        await lab.until(there("alone", "other", "web"))
        for name in ("web", "other"):
            await lab.client.delete(SERVICES, name, "default")
        await lab.until(there("alone"))

    on_a_cluster(scenario, nodes=0)


def test_on_a_cluster_a_service_that_gets_an_address_has_endpoints_and_what_did_not_change_is_not_written() -> None:
    async def scenario(lab: Lab) -> None:
        await lab.create(REPLICA_SETS, "web", spec=workload(replicas=1))
        await lab.running(1)
        ports = [{"name": "x", "port": 1338}, {"name": "y", "port": 1337}]
        await lab.create(SERVICES, "web", spec={
            "type": "ExternalName", "externalName": "example.com", "selector": LABELS, "ports": ports,
        })
        await lab.create(SERVICES, "second", spec={"selector": LABELS, "ports": ports})

        async def has(name: str) -> bool:
            return any(
                one["metadata"]["name"] == name and "addresses" in (one.get("subsets") or [{}])[0]
                for one in await lab.list(ENDPOINTS)
            )

        await lab.until(lambda: has("second"))
        assert not await has("web")
        await lab.patch(SERVICES, "web", spec={"type": "ClusterIP", "externalName": None})
        await lab.until(lambda: has("web"))
        assert HEADLESS not in labels_of(await lab.get(ENDPOINTS, "web"))
        before = (await lab.get(ENDPOINTS, "second"))["metadata"]["resourceVersion"]
        await lab.patch(SERVICES, "second", metadata={"annotations": {"foo": "bar"}})
        await lab.create(SERVICES, "third", spec={"selector": LABELS, "ports": ports})
        await lab.until(lambda: has("third"))
        assert (await lab.get(ENDPOINTS, "second"))["metadata"]["resourceVersion"] == before

    on_a_cluster(scenario, nodes=1)
