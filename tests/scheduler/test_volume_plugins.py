"""Zones of volumes, volumes for one pod alone, limits of drivers, and where a volume can be made."""

from __future__ import annotations

import pytest
from tests.scheduler.conftest import World
from tests.scheduler.volumes import claim, known, storage_class, uses, volume

from sampan.apimachinery.object import Object
from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.pod_info import parse

ZONE = "topology.kubernetes.io/zone"
BETA = "failure-domain.beta.kubernetes.io/zone"


@pytest.mark.parametrize(("volume_label", "node_label"), [(ZONE, ZONE), (BETA, ZONE), (ZONE, BETA)])
def test_a_pod_goes_to_the_zone_of_its_volume(world: World, volume_label: str, node_label: str) -> None:
    known(world, claim("data", "pv"), volume("pv", {volume_label: "a"}))
    world.node("in-a", labels={node_label: "a"})
    world.node("in-b", labels={node_label: "b"})
    assert world.possible(volumes=uses("data")) == {"in-a"}


def test_a_volume_of_several_zones_can_be_had_in_each(world: World) -> None:
    known(world, claim("data", "pv"), volume("pv", {ZONE: "a__b"}))
    for zone in "abc":
        world.node(f"in-{zone}", labels={ZONE: zone})
    assert world.possible(volumes=uses("data")) == {"in-a", "in-b"}


def test_a_node_without_zones_takes_every_volume(world: World) -> None:
    known(world, claim("data", "pv"), volume("pv", {ZONE: "a"}))
    world.node("anywhere")
    world.node("in-b", labels={ZONE: "b"})
    assert world.possible(volumes=uses("data")) == {"anywhere"}


def test_a_zone_without_nodes_is_told(world: World) -> None:
    known(world, claim("data", "pv"), volume("pv", {ZONE: "a"}))
    world.node("in-b", labels={ZONE: "b"})
    message = "0/1 nodes are available: 1 node(s) had no available volume zone."
    assert world.why(volumes=uses("data")).startswith(message)


def test_a_claim_for_one_pod_alone_is_not_given_to_a_second(world: World) -> None:
    known(world, claim("data", "pv", accessModes=["ReadWriteOncePod"]), volume("pv"))
    world.node("a")
    world.node("b")
    world.run("a", name="first", volumes=uses("data"))
    assert "2 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode" in (
        world.why(volumes=uses("data"))
    )
    world.snapshot.remove_pod("default/first")
    assert world.possible(volumes=uses("data")) == {"a", "b"}
    assert not world.snapshot.claim_users


def test_a_more_important_pod_takes_the_claim_from_another(world: World) -> None:
    known(world, claim("data", "pv", accessModes=["ReadWriteOncePod"]), volume("pv"))
    world.node("a")
    world.run("a", name="first", volumes=uses("data"))
    decision = world.decide(priority=10, volumes=uses("data"))
    result = world.framework.post_filter(decision.state, decision.pod, decision.diagnosis.statuses)
    assert result.nominated_node == "a"


@pytest.mark.parametrize(("mine", "theirs", "fits"), [
    ({"gcePersistentDisk": {"pdName": "d"}}, {"gcePersistentDisk": {"pdName": "d"}}, False),
    ({"gcePersistentDisk": {"pdName": "d", "readOnly": True}}, {"gcePersistentDisk": {"pdName": "d", "readOnly": True}},
     True),
    ({"gcePersistentDisk": {"pdName": "d"}}, {"gcePersistentDisk": {"pdName": "e"}}, True),
    ({"awsElasticBlockStore": {"volumeID": "d"}}, {"awsElasticBlockStore": {"volumeID": "d"}}, False),
    ({"iscsi": {"iqn": "d", "readOnly": True}}, {"iscsi": {"iqn": "d", "readOnly": True}}, True),
    ({"rbd": {"monitors": ["a", "b"], "image": "i"}}, {"rbd": {"monitors": ["b"], "image": "i", "pool": "rbd"}}, False),
    ({"rbd": {"monitors": ["a"], "image": "i"}}, {"rbd": {"monitors": ["b"], "image": "i"}}, True),
])
def test_a_disk_is_shared_on_a_node_as_far_as_its_kind_allows(
    world: World, mine: Object, theirs: Object, fits: bool
) -> None:
    world.node("a")
    world.run("a", volumes=[{"name": "v", **theirs}])
    assert world.possible(volumes=[{"name": "v", **mine}]) == ({"a"} if fits else set())


def csi_node(name: str, count: int) -> Object:
    driver = {"name": "csi.example.com", "nodeID": name, "allocatable": {"count": count}}
    return {
        "apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "metadata": {"name": name}, "spec": {"drivers": [driver]},
    }


def attachment(node: str, volume: str) -> Object:
    return {
        "apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment", "metadata": {"name": f"{node}-{volume}"},
        "spec": {"attacher": "csi.example.com", "nodeName": node, "source": {"persistentVolumeName": volume}},
    }


def disks(*names: str) -> list[Object]:
    objects: list[Object] = []
    for name in names:
        objects += [claim(name, f"pv-{name}"), volume(f"pv-{name}", driver="csi.example.com")]
    return objects


def test_a_driver_attaches_no_more_volumes_than_it_can(world: World) -> None:
    known(world, *disks("a", "b", "c"), csi_node("full", 2), csi_node("free", 3))
    world.node("full")
    world.node("free")
    for node in ("full", "free"):
        world.run(node, volumes=uses("a", "b"))
    assert world.possible(volumes=uses("c")) == {"free"}
    assert world.possible(volumes=uses("a")) == {"full", "free"}


def test_what_is_still_attached_counts_though_its_pod_is_gone(world: World) -> None:
    known(world, *disks("a", "b"), csi_node("n", 1), attachment("n", "pv-a"))
    world.node("n")
    assert "1 node(s) exceed max volume count" in world.why(volumes=uses("b"))
    assert world.possible(volumes=uses("a")) == {"n"}


def test_claims_that_are_to_be_provisioned_count_by_their_class(world: World) -> None:
    waiting = [claim(name, storage_class="late") for name in "abc"]
    known(world, *waiting, storage_class("late"), csi_node("n", 2))
    world.node("n")
    assert world.possible(volumes=uses("a", "b")) == {"n"}
    assert world.possible(volumes=uses("a", "b", "c")) == set()


def test_a_volume_is_made_only_where_its_class_allows_it(world: World) -> None:
    allowed = [{"matchLabelExpressions": [{"key": ZONE, "values": ["a"]}]}]
    known(world, claim("data", storage_class="late"), storage_class("late", allowedTopologies=allowed))
    world.node("in-a", labels={ZONE: "a"})
    world.node("in-b", labels={ZONE: "b"})
    assert world.possible(volumes=uses("data")) == {"in-a"}


def capacity(zone: str, **fields: str) -> Object:
    return {
        "apiVersion": "storage.k8s.io/v1", "kind": "CSIStorageCapacity",
        "metadata": {"name": f"capacity-{zone}", "namespace": "kube-system"},
        "storageClassName": "late", "nodeTopology": {"matchLabels": {ZONE: zone}}, **fields,
    }


def test_a_volume_is_made_where_its_driver_says_that_there_is_room(world: World) -> None:
    driver: Object = {
        "apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": "csi.example.com"},
        "spec": {"storageCapacity": True},
    }
    known(
        world, claim("data", storage_class="late"), storage_class("late"), driver, capacity("a", capacity="10Gi"),
        capacity("b", capacity="10Mi"), capacity("c", capacity="10Gi", maximumVolumeSize="1Mi"),
    )
    for zone in "abcd":
        world.node(f"in-{zone}", labels={ZONE: zone})
    assert world.possible(volumes=uses("data")) == {"in-a"}
    world.snapshot.remove_node("in-a")
    assert "3 node(s) did not have enough free storage" in world.why(volumes=uses("data"))


def test_a_pod_that_goes_helps_only_who_waits_for_its_volumes(world: World) -> None:
    restrictions = world.framework
    waiting, gone = parse(world.pod(volumes=uses("data"))), parse(world.pod(volumes=uses("other")))
    same = parse(world.pod(volumes=uses("data")))
    assert restrictions.hint("VolumeRestrictions", waiting, ClusterEvent.POD_FREED, same, None)
    assert not restrictions.hint("VolumeRestrictions", waiting, ClusterEvent.POD_FREED, gone, None)
    assert not restrictions.hint("NodeVolumeLimits", waiting, ClusterEvent.POD_FREED, parse(world.pod()), None)
