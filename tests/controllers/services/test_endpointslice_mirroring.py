"""Endpoints written by hand appear as EndpointSlices; what cannot be mirrored is told."""

from __future__ import annotations

from typing import Any

import pytest
from tests.controllers.lab import Lab, on_a_cluster

from sampan.api.resources import ENDPOINT_SLICES, ENDPOINTS, SERVICES
from sampan.apimachinery.object import Object, annotations_of, labels_of
from sampan.controllers.services import endpointslice_mirroring
from sampan.reconcile.plan import Create, Delete, Update

HTTP = [{"name": "http", "port": 80, "protocol": "TCP"}]


def subset(*ready: str, waiting: tuple[str, ...] = (), ports: list[Object] = HTTP) -> Object:
    found: Object = {"addresses": [{"ip": ip} for ip in ready], "ports": ports}
    return found | ({"notReadyAddresses": [{"ip": ip} for ip in waiting]} if waiting else {})


def endpoints(make, *subsets: Object, **metadata: Any) -> Object:
    found = subsets or (subset("10.1.0.1", "fd00::1", waiting=("10.1.0.2",)),)
    return {"metadata": make.meta("db", **metadata), "subsets": list(found)}


def planned(make, found: Object, slices: list[Object] | None = None):
    return endpointslice_mirroring.plan(found, make.service("db", selector=None), slices or [])


def shown(plan: Any) -> list[tuple[str, list[tuple[str, bool]]]]:
    return [
        (one.obj["addressType"], [(e["addresses"][0], e["conditions"]["ready"]) for e in one.obj["endpoints"]])
        for one in plan.steps if isinstance(one, Create)
    ]


def stored(plan: Any) -> list[Object]:
    return [
        {**one.obj, "metadata": {**one.obj["metadata"], "name": f"db-{n}"}} for n, one in enumerate(plan.steps)
    ]


def test_endpoints_without_a_selector_are_mirrored_by_family(make) -> None:
    plan = planned(make, endpoints(make))
    assert shown(plan) == [("IPv4", [("10.1.0.1", True), ("10.1.0.2", False)]), ("IPv6", [("fd00::1", True)])]
    managed = "endpointslice.kubernetes.io/managed-by"
    assert labels_of(plan.steps[0].obj)[managed] == endpointslice_mirroring.MANAGER
    assert not planned(make, endpoints(make), stored(plan))
    changed = endpoints(make, subset("10.1.0.9", waiting=("10.1.0.2",)))
    update, deletion = planned(make, changed, stored(plan)).steps
    assert isinstance(update, Update) and update.obj["endpoints"][0]["addresses"] == ["10.1.0.9"]
    assert isinstance(deletion, Delete) and deletion.name == "db-1"


def test_what_asks_not_to_be_mirrored_is_not(make) -> None:
    slices = [{"metadata": make.meta("db-1")}]
    skipped = endpoints(make, labels={"endpointslice.kubernetes.io/skip-mirror": "true"})
    for found, service in (
        (skipped, make.service("db", selector=None)), (endpoints(make), make.service("db")), (endpoints(make), None),
        (None, make.service("db", selector=None)),
    ):
        assert [step.name for step in endpointslice_mirroring.plan(found, service, slices).steps] == ["db-1"]


def test_no_addresses_make_no_slice_and_subsets_of_the_same_ports_make_one(make) -> None:
    assert not planned(make, endpoints(make, {"ports": HTTP}))
    twice = endpoints(make, subset("10.1.0.1"), subset("10.1.0.3", "10.1.0.1"))
    assert shown(planned(make, twice)) == [("IPv4", [("10.1.0.1", True), ("10.1.0.3", True)])]
    other = [{"name": "http", "port": 8080, "protocol": "TCP"}]
    assert len(shown(planned(make, endpoints(make, subset("10.1.0.1"), subset("10.1.0.1", ports=other))))) == 2


def test_annotations_follow_but_for_those_of_others(make) -> None:
    plain = planned(make, endpoints(make))
    noted = endpoints(make, annotations={
        "note": "x", "endpoints.kubernetes.io/last-change-trigger-time": "t",
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
    })
    updates = planned(make, noted, stored(plain)).steps
    assert [annotations_of(one.obj) for one in updates] == [{"note": "x"}, {"note": "x"}]


def test_invalid_addresses_are_left_out_and_told(make) -> None:
    plan = planned(make, endpoints(make, subset("10.1.0.1", "no-address"), subset("also.none", "10.1.0.2")))
    assert shown(plan) == [("IPv4", [("10.1.0.1", True), ("10.1.0.2", True)])]
    assert [(one.type, one.reason, one.message) for one in plan.notes] == [
        ("Warning", "InvalidIPAddress", "Skipped 2 invalid IP addresses when mirroring to EndpointSlices"),
    ]


@pytest.mark.parametrize(("text", "family", "shown_as"), [
    ("FD00::0:1", "IPv6", "fd00::1"), ("010.1.0.01", "IPv4", "10.1.0.1"), ("::ffff:10.1.0.1", "IPv4", "10.1.0.1"),
])
def test_addresses_are_mirrored_in_their_usual_form(make, text, family, shown_as) -> None:
    assert shown(planned(make, endpoints(make, subset(text)))) == [(family, [(shown_as, True)])]


def port(name: str, number: int, **more: str) -> Object:
    return {"name": name, "port": number, "protocol": "TCP", **more}


@pytest.mark.parametrize(("subsets", "slices"), [
    ([subset("10.1.0.1", ports=[port("a", 80)]), subset("10.1.0.1", ports=[port("b", 90)])], [("ab", "1")]),
    ([subset("10.1.0.1", ports=[port("a", 80)]), subset("10.1.0.2", ports=[port("b", 90)])], [("a", "1"), ("b", "2")]),
    ([subset("10.1.0.1", ports=[port("a", 80)]), subset("10.1.0.1", "10.1.0.2", ports=[port("b", 90)])],
     [("a", "1"), ("b", "12")]),
    ([subset("10.1.0.1", ports=[port("a", 80)]), subset("10.1.0.2", ports=[port("a", 80)])], [("a", "12")]),
    ([subset("10.1.0.1", "10.1.0.2", ports=[port("a", 80), port("b", 90)])], [("ab", "12")]),
    ([subset("10.1.0.1", ports=[])], [("", "1")]),
])
def test_ports_of_the_same_addresses_are_in_one_slice(make, subsets, slices) -> None:
    plan = planned(make, endpoints(make, *subsets))
    ports = ["".join(port["name"] for port in one.obj["ports"]) for one in plan.steps]
    addresses = ["".join(e["addresses"][0][-1] for e in one.obj["endpoints"]) for one in plan.steps]
    assert list(zip(ports, addresses, strict=True)) == slices
    assert not planned(make, endpoints(make, *subsets), stored(plan))


def test_who_is_not_ready_somewhere_is_not_ready(make) -> None:
    twice = endpoints(make, subset("10.1.0.1"), subset("10.1.0.2", waiting=("10.1.0.1",)), subset("10.1.0.1"))
    assert shown(planned(make, twice)) == [("IPv4", [("10.1.0.2", True), ("10.1.0.1", False)])]


def test_the_protocol_of_an_application_is_mirrored_and_so_is_its_change(make) -> None:
    plain = planned(make, endpoints(make, subset("10.1.0.1", ports=[port("a", 80)])))
    spoken = endpoints(make, subset("10.1.0.1", ports=[port("a", 80, appProtocol="http")]))
    [update] = planned(make, spoken, stored(plain)).steps
    assert isinstance(update, Update) and update.obj["ports"] == [port("a", 80, appProtocol="http")]


def test_two_objects_with_one_address_are_both_mirrored(make) -> None:
    addresses = [{"ip": "10.1.0.1", "targetRef": {"kind": "Pod", "name": name, "uid": name}} for name in "ab"]
    plan = planned(make, endpoints(make, {"addresses": addresses, "ports": HTTP}))
    assert [one["targetRef"]["name"] for one in plan.steps[0].obj["endpoints"]] == ["a", "b"]


def test_a_slice_that_is_not_needed_becomes_one_that_is_missing(make) -> None:
    found = stored(planned(make, endpoints(make)))
    other = endpoints(make, subset("10.1.0.1", ports=[port("x", 1)]), subset("10.1.0.2", ports=[port("y", 2)]))
    update, create, deletion = planned(make, other, found).steps
    assert isinstance(update, Update) and update.obj["metadata"]["name"] == "db-0"
    assert [one["name"] for one in update.obj["ports"]] == ["x"]
    assert isinstance(create, Create) and isinstance(deletion, Delete) and deletion.name == "db-1"


def test_endpoints_made_anew_take_their_slices_over(make) -> None:
    found = stored(planned(make, endpoints(make)))
    again = endpoints(make, uid="uid-again")
    updates = planned(make, again, found).steps
    assert [one.obj["metadata"]["ownerReferences"][0]["uid"] for one in updates] == ["uid-again"] * 2


def test_what_is_being_deleted_gets_no_new_slices(make) -> None:
    going = endpoints(make, deletionTimestamp=make.now_text)
    assert not planned(make, going)
    found = stored(planned(make, endpoints(make, subset("10.1.0.9"))))
    [update] = planned(make, going, found).steps
    assert isinstance(update, Update), "what is there goes on saying the truth"
    service = make.service("db", selector=None)
    service["metadata"]["deletionTimestamp"] = make.now_text
    assert shown(endpointslice_mirroring.plan(endpoints(make), service, [])), "the Service is served until it is gone"
    held = [{**one, "metadata": {**one["metadata"], "deletionTimestamp": make.now_text}} for one in found]
    assert len(shown(planned(make, endpoints(make), held))) == 2


@pytest.mark.parametrize(("field", "key", "value", "mirrored"), [
    ("labels", endpointslice_mirroring.SKIP, "true", False), ("labels", endpointslice_mirroring.SKIP, "false", True),
    ("labels", endpointslice_mirroring.SKIP, "invalid", True), ("annotations", "a", "b", True),
    ("annotations", "control-plane.alpha.kubernetes.io/leader", "", False),
])
def test_which_endpoints_are_mirrored(make, field, key, value, mirrored) -> None:
    assert bool(planned(make, endpoints(make, **{field: {key: value}})).steps) is mirrored


def test_on_a_cluster_slices_are_mirrored_as_long_as_there_is_no_selector() -> None:
    async def scenario(lab: Lab) -> None:
        await lab.create(SERVICES, "db", spec={"ports": [{"name": "a", "port": 80}]})
        await lab.create(ENDPOINTS, "db", subsets=[
            subset("10.1.0.1", ports=[port("a", 80)]), subset("10.1.0.1", ports=[port("b", 90)]),
        ])

        def mirrored(count: int):
            async def check() -> bool:
                managers = [labels_of(one)["endpointslice.kubernetes.io/managed-by"] for one in
                            await lab.list(ENDPOINT_SLICES)]
                return managers == [endpointslice_mirroring.MANAGER] * count

            return check

        await lab.until(mirrored(1))
        await lab.patch(SERVICES, "db", spec={"selector": {"app": "db"}})
        await lab.until(mirrored(0))
        await lab.patch(SERVICES, "db", spec={"selector": None})
        await lab.until(mirrored(1))
        await lab.client.delete(SERVICES, "db", "default")
        await lab.until(mirrored(0))

    on_a_cluster(scenario, nodes=0, controllers="endpointslice-mirroring-controller")


@pytest.mark.parametrize("families", [1, 2])
def test_of_a_subset_a_thousand_addresses_are_taken_and_the_rest_told(make, families) -> None:
    addresses = [f"10.1.{n // 250}.{n % 250 + 1}" if n % families == 0 else f"fd00::{n:x}" for n in range(1003)]
    plan = planned(make, endpoints(make, subset(*addresses[:700], waiting=tuple(addresses[700:]))))
    assert sum(len(found) for _, found in shown(plan)) == 1000
    [note] = plan.notes
    assert note.reason == "TooManyAddressesToMirror" and note.message == (
        "A max of 1000 addresses can be mirrored to EndpointSlices per Endpoints subset. 3 addresses were skipped"
    )


def test_on_a_cluster_slices_follow_and_the_event_is_on_the_endpoints() -> None:
    async def scenario(lab: Lab) -> None:
        await lab.create(SERVICES, "db", spec={"ports": [{"name": "http", "port": 80}]})
        many = [f"10.1.{n // 250}.{n % 250 + 1}" for n in range(1001)]
        await lab.create(ENDPOINTS, "db", subsets=[subset(*many)])

        async def told() -> bool:
            return "TooManyAddressesToMirror" in await lab.reasons("db")

        await lab.until(told)
        [one] = await lab.list(ENDPOINT_SLICES)
        assert len(one["endpoints"]) == 1000

    on_a_cluster(scenario, nodes=0)
