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
