from __future__ import annotations

from collections import Counter

import pytest
from tests.controllers.lab import LABELS, Lab, on_a_cluster, workload

from sampan.api.resources import ENDPOINT_SLICES, NODES, REPLICA_SETS, SERVICES
from sampan.apimachinery.object import meta, name_of
from sampan.controllers.services.endpointslice import Observed, plan
from sampan.controllers.services.topology_hints import MODE, Topology, add_hints


def zoned(make, name: str, zone: str, cpu: str = "4") -> dict:
    node = make.node(name)
    node["metadata"]["labels"] = {"topology.kubernetes.io/zone": zone} if zone else {}
    node["status"]["allocatable"] = {"cpu": cpu}
    return node


def endpoints(*zones: str, ready: bool = True) -> list[dict]:
    return [{"zone": zone, "nodeName": f"node-{zone}", "conditions": {"ready": ready}} for zone in zones]


def zones_hinted(found: list[dict]) -> list[str]:
    return [hint["name"] for one in found for hint in one.get("hints", {}).get("forZones", ())]


def automatic(make) -> dict:
    service = make.service()
    service["metadata"]["annotations"] = {MODE: "Auto"}
    return service


def test_shares_are_those_of_the_ready_workers_cpus(make) -> None:
    control_plane, away = zoned(make, "cp", "a", "64"), zoned(make, "away", "b", "64")
    control_plane["metadata"]["labels"]["node-role.kubernetes.io/control-plane"] = ""
    away["status"]["conditions"][0]["status"] = "False"
    nodes = [control_plane, away, zoned(make, "a1", "a", "6"), zoned(make, "b1", "b", "2")]
    assert Topology.of(nodes).shares == {"a": 0.75, "b": 0.25}
    assert Topology.of([*nodes, zoned(make, "nowhere", "")]).shares == {}


def test_each_endpoint_is_for_its_own_zone_when_that_is_preferred(make) -> None:
    for preference in ("PreferClose", "PreferSameZone"):
        found = endpoints("a", "b")
        assert add_hints(make.service(trafficDistribution=preference), found, Topology()) == ""
        assert zones_hinted(found) == ["a", "b"]


def test_each_endpoint_is_for_its_own_node_when_that_is_preferred(make) -> None:
    found = endpoints("a")
    add_hints(make.service(trafficDistribution="PreferSameNode"), found, Topology())
    assert found[0]["hints"] == {"forNodes": [{"name": "node-a"}], "forZones": [{"name": "a"}]}


def test_endpoints_that_are_not_ready_and_services_that_do_not_ask_have_no_hints(make) -> None:
    unready, plain = endpoints("a", ready=False), endpoints("a")
    add_hints(make.service(trafficDistribution="PreferClose"), unready, Topology())
    add_hints(make.service(), plain, Topology())
    assert "hints" not in unready[0] and "hints" not in plain[0]


def test_a_zone_with_too_many_endpoints_lends_to_one_with_too_few(make) -> None:
    found = endpoints(*"aaaaab")
    assert add_hints(automatic(make), found, Topology(shares={"a": 0.5, "b": 0.5})) == ""
    assert sorted(zones_hinted(found)) == ["a", "a", "a", "b", "b", "b"]


@pytest.mark.parametrize(("nodes", "shares"), [
    ([], {}), ([("a", "1", "")], {"a": 1.0}), ([("a", "1", "")] * 2, {"a": 1.0}),
    ([("a", "1", ""), ("b", "1", "")], {"a": 0.5, "b": 0.5}),
    ([("a", "1", "away"), ("b", "1", "")], {"b": 1.0}), ([("a", "1", ""), ("b", "1", "master")], {"a": 1.0}),
    ([("a", "1", ""), ("b", "1", ""), ("b", "1", "away")], {"a": 0.5, "b": 0.5}),
    ([("a", "1", ""), ("b", "1", ""), ("b", "1", "control-plane")], {"a": 0.5, "b": 0.5}),
    ([*[("a", "1", "")] * 3, ("a", "2", ""), ("b", "3", ""), ("b", "1500m", ""), ("c", "500m", "")],
     {"a": 0.5, "b": 0.45, "c": 0.05}),
    ([("a", "1", ""), ("b", "1", ""), ("b", "0", "")], {}), ([("a", "1", ""), ("b", "1", ""), ("", "1", "")], {}),
])
def test_what_the_nodes_give_to_their_zones(make, nodes, shares) -> None:
    """Each node with its zone, its CPUs, and why it may not count."""
    found = []
    for number, (zone, cpu, why) in enumerate(nodes):
        node = zoned(make, f"n{number}", zone, cpu)
        if why == "away":
            node["status"]["conditions"][0]["status"] = "False"
        elif why:
            node["metadata"]["labels"][f"node-role.kubernetes.io/{why}"] = ""
        found.append(node)
    assert Topology.of(found).shares == shares


@pytest.mark.parametrize(("zones", "shares", "hinted"), [
    ("ab", {"a": 0.45, "b": 0.55}, "ab"),
    ("abccaaabca", {"a": 0.35, "b": 0.35, "c": 0.3}, "bbccaaabca"),  # the first of those that are too many goes
    ("a" * 16, {"a": 5.1 / 16, "b": 5.1 / 16, "c": 5.8 / 16}, {"a": 6, "b": 5, "c": 5}),
    ("a" * 16, {"a": 5 / 16, "b": 5.6 / 16, "c": 5.4 / 16}, {"a": 5, "b": 6, "c": 5}),
    ("b" * 8 + "c" * 8, {"a": 5 / 16, "b": 5.6 / 16, "c": 5.4 / 16}, {"a": 5, "b": 6, "c": 5}),
    ("abcabcabc", {"a": 0.34, "b": 0.33, "c": 0.33}, "abcabcabc"),
    ("a" * 3, {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}, {"a": 1, "b": 1, "c": 1}),
])
def test_endpoints_are_lent_until_each_zone_has_about_its_share(make, zones, shares, hinted) -> None:
    """`hinted`: the zone of each endpoint's hint, or how many there are for each."""
    found = endpoints(*zones)
    found.insert(1, {"zone": "a", "conditions": {"ready": False}})
    found.append({"zone": "b", "conditions": {}})
    assert add_hints(automatic(make), found, Topology(shares=shares)) == ""
    given = zones_hinted(found)
    assert (Counter(given) if isinstance(hinted, dict) else "".join(given)) == hinted
    assert "hints" not in found[1] and "hints" not in found[-1]


@pytest.mark.parametrize(("distribution", "hints"), [
    ("PreferClose", {"forZones": [{"name": "a"}]}), ("PreferSameZone", {"forZones": [{"name": "a"}]}),
    ("PreferSameNode", {"forZones": [{"name": "a"}], "forNodes": [{"name": "n1"}]}), ("Unknown", None), (None, None),
])
def test_wrong_hints_are_put_right_and_others_taken_away(make, distribution, hints) -> None:
    nodes = Topology.of([zoned(make, "n1", "a"), zoned(make, "n2", "b")])
    pods = (make.pod("p", ready=True, ip="10.244.0.1", node="n1"), make.pod("q", ip="10.244.0.2", node="n2"))
    service = make.service(trafficDistribution="PreferClose")
    [create] = plan(Observed(service, pods, (), nodes), make.now).steps
    wrong = {**create.obj, "metadata": make.meta("web-1", service, labels=create.obj["metadata"]["labels"])}
    wrong["endpoints"] = [{**one, "hints": {"forZones": [{"name": "c"}]}} for one in create.obj["endpoints"]]
    asked = make.service(**({"trafficDistribution": distribution} if distribution else {}))
    [update] = plan(Observed(asked, pods, (wrong,), nodes), make.now).steps
    assert [one.get("hints") for one in update.obj["endpoints"]] == [hints, None]
    assert not plan(Observed(asked, pods, (update.obj,), nodes), make.now).steps


def test_that_hints_are_given_is_told_once_and_that_they_are_not_each_time(make) -> None:
    nodes = Topology.of([zoned(make, "n1", "a"), zoned(make, "n2", "b")])
    pods = tuple(make.pod(f"p{n}", ready=True, ip=f"10.244.0.{n}", node=f"n{n}") for n in (1, 2))
    [create] = plan(Observed(automatic(make), pods, (), nodes), make.now).steps
    known = {**create.obj, "metadata": make.meta("web-1", automatic(make), labels=create.obj["metadata"]["labels"])}
    more = (*pods, *(make.pod(f"q{n}", ready=True, ip=f"10.244.1.{n}", node=f"n{n}") for n in (1, 2)))
    grown = plan(Observed(automatic(make), more, (known,), nodes), make.now)
    assert grown.steps and not grown.notes
    fewer = plan(Observed(automatic(make), pods[:1], (known,), nodes), make.now)
    assert [note.reason for note in fewer.notes] == ["TopologyAwareHintsDisabled"]
    assert fewer.notes[0].message == "Insufficient number of endpoints (1 endpoints, 2 zones), addressType: IPv4"
    assert zones_hinted(fewer.steps[0].obj["endpoints"]) == []


def test_endpoints_of_a_zone_without_nodes_are_lent_too(make) -> None:
    found = endpoints(*"abcc")
    assert add_hints(automatic(make), found, Topology(shares={"a": 0.5, "b": 0.5})) == ""
    assert sorted(zones_hinted(found)) == ["a", "a", "b", "b"]


def test_sharing_is_given_up_where_it_cannot_be_done_well(make) -> None:
    halves = Topology(shares={"a": 0.5, "b": 0.5})
    for found, topology, why in (
        (endpoints("a"), halves, "Insufficient number of endpoints"),
        (endpoints(*"aa"), Topology(shares={"a": 1.0}), "Insufficient Node information"),
        ([*endpoints(*"aab"), {"conditions": {"ready": True}}], halves, "One or more endpoints do not have a zone"),
        (endpoints(*"abb"), halves, "Unable to allocate minimum required endpoints"),
        (endpoints(*"ab"), Topology(), "Insufficient Node information"), ([], Topology(), "Insufficient Node"),
        (endpoints(*"ab"), Topology(shares={"a": 0.3, "b": 0.4, "c": 0.3}), "Insufficient number of endpoints"),
    ):
        assert add_hints(automatic(make), found, topology).startswith(why)
        assert zones_hinted(found) == []


def test_hints_are_in_the_slices_and_told_of(make) -> None:
    nodes = [zoned(make, "n1", "a"), zoned(make, "n2", "b")]
    pods = tuple(make.pod(f"p{n}", ready=True, ip=f"10.244.0.{n}", node=f"n{n}") for n in (1, 2))
    decided = plan(Observed(automatic(make), pods, (), Topology.of(nodes)), make.now)
    [create] = decided.steps
    assert zones_hinted(create.obj["endpoints"]) == ["a", "b"]
    assert [note.reason for note in decided.notes] == ["TopologyAwareHintsEnabled"]


def test_a_pod_whose_node_is_gone_is_no_endpoint_unless_everything_is_published(make) -> None:
    pods = (make.pod("p", ready=True, ip="10.244.0.1", node="gone"),)
    decided = plan(Observed(make.service(), pods, (), Topology()), make.now)
    assert decided.steps[0].obj["endpoints"] == [] and decided.requeue_after_s
    published = make.service(publishNotReadyAddresses=True)
    assert plan(Observed(published, pods, (), Topology()), make.now).steps[0].obj["endpoints"]


def test_what_is_known_of_nodes_follows_their_labels_on_a_cluster() -> None:
    async def scenario(lab: Lab) -> None:
        ports = [{"name": "http", "port": 80}]
        await lab.create(SERVICES, "web", spec={
            "selector": LABELS, "ports": ports, "trafficDistribution": "PreferSameZone",
        })
        await lab.create(REPLICA_SETS, "web", spec=workload(replicas=1))
        await lab.running(1)

        async def hints() -> list[list[str]]:
            found = [one for each in await lab.list(ENDPOINT_SLICES) for one in each.get("endpoints") or []
                     if meta(each)["labels"].get("kubernetes.io/service-name") == "web"]
            return [zones_hinted([one]) for one in found if one["conditions"]["ready"]]

        async def elsewhere() -> bool:
            return await hints() not in ([], [["z"]])

        await lab.until(elsewhere)
        for node in (await lab.client.list(NODES))["items"]:
            labels = {"topology.kubernetes.io/zone": "z"}
            await lab.client.patch(NODES, name_of(node), {"metadata": {"labels": labels}}, type="merge")
        await lab.patch(REPLICA_SETS, "web", spec={"replicas": 2})

        async def with_zones() -> bool:
            return await hints() == [["z"], ["z"]]

        await lab.until(with_zones)

    on_a_cluster(scenario)
