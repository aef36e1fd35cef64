from __future__ import annotations

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


def test_endpoints_of_a_zone_without_nodes_are_lent_too(make) -> None:
    found = endpoints(*"abcc")
    assert add_hints(automatic(make), found, Topology(shares={"a": 0.5, "b": 0.5})) == ""
    assert sorted(zones_hinted(found)) == ["a", "a", "b", "b"]


def test_sharing_is_given_up_where_it_cannot_be_done_well(make) -> None:
    halves = Topology(shares={"a": 0.5, "b": 0.5})
    for found, topology, why in (
        (endpoints("a"), halves, "Insufficient number of endpoints"),
        (endpoints(*"aa"), Topology(shares={"a": 1.0}), "Insufficient Node information"),
        ([*endpoints(*"ab"), {"conditions": {"ready": True}}], halves, "One or more endpoints do not have a zone"),
        (endpoints(*"abb"), halves, "Unable to allocate minimum required endpoints"),
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
