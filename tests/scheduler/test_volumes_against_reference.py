"""Where pods with volumes may run, against the reference, in generated clusters."""

from __future__ import annotations

import random
from typing import Any

import pytest
from tests.scheduler.conftest import World
from tests.scheduler.reference.volumes import Volumes
from tests.scheduler.volumes import known

from sampan.api.core.volume_matching import BIND_COMPLETED
from sampan.apimachinery.object import Object
from sampan.scheduler.cycle import verdicts
from sampan.scheduler.framework.framework import SKIPPED
from sampan.scheduler.pod_info import parse

ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
PROVISIONER = "disk.example.com"
SEEDS = 150


class Generated:
    """A cluster from a seed: nodes in zones, volumes, claims that are bound or wait, and pods that use them."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.nodes = [f"n{n}" for n in range(self.rng.randint(1, 8))]
        self.labels = {name: self._labels(name) for name in self.nodes}
        self.objects = [*self._classes(), *(self._volume(n) for n in range(self.rng.randint(0, 5)))]
        self.claims = [self._claim(n) for n in range(4)]
        self.objects += [*self.claims, *(self._capacity(n) for n in range(2))]
        if self.rng.random() < 0.5:
            driver = {"kind": "CSIDriver", "metadata": {"name": PROVISIONER}, "spec": {"storageCapacity": True}}
            self.objects.append(driver)

    def _labels(self, name: str) -> dict[str, str]:
        found = {HOST: name, "size": str(self.rng.randint(1, 3))}
        if self.rng.random() < 0.8:
            found[ZONE] = self.rng.choice(("z1", "z2"))
        return found

    def _classes(self) -> list[Object]:
        topology = {"matchLabelExpressions": [{"key": ZONE, "values": ["z1"]}]}
        return [
            {"kind": "StorageClass", "metadata": {"name": "now"}, "provisioner": PROVISIONER,
             "volumeBindingMode": "Immediate"},
            {"kind": "StorageClass", "metadata": {"name": "late"}, "provisioner": PROVISIONER,
             "volumeBindingMode": "WaitForFirstConsumer",
             "allowedTopologies": self.rng.choice(([], [topology], [topology, topology]))},
            {"kind": "StorageClass", "metadata": {"name": "local"}, "provisioner": "kubernetes.io/no-provisioner",
             "volumeBindingMode": "WaitForFirstConsumer"},
        ]

    def _term(self) -> Object:
        rng = self.rng
        return rng.choice((
            {"matchExpressions": [{"key": HOST, "operator": "In", "values": rng.sample(self.nodes, 1)}]},
            {"matchExpressions": [{"key": ZONE, "operator": "In", "values": rng.sample(("z1", "z2", "z3"), 2)}]},
            {"matchExpressions": [{"key": ZONE, "operator": "NotIn", "values": ["z1"]},
                                  {"key": HOST, "operator": "Exists"}]},
            {"matchExpressions": [{"key": ZONE, "operator": "DoesNotExist"}]},
            {"matchExpressions": [{"key": "size", "operator": "Gt", "values": ["1"]}]},
            {"matchFields": [{"key": "metadata.name", "operator": "In", "values": rng.sample(self.nodes, 1)}]},
            {},
        ))

    def _volume(self, number: int) -> Object:
        rng = self.rng
        spec: Object = {
            "storageClassName": rng.choice(("local", "late")), "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": f"{rng.randint(1, 3)}Gi"},
        }
        if rng.random() < 0.8:
            spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": [
                self._term() for _ in range(rng.randint(1, 2))
            ]}}
        labels = {ZONE: rng.choice(("z1", "z2", "z1__z2"))} if rng.random() < 0.3 else {}
        return {
            "kind": "PersistentVolume", "metadata": {"name": f"v{number}", "labels": labels}, "spec": spec,
            "status": {"phase": rng.choice(("Available", "Available", "Released"))},
        }

    def _claim(self, number: int) -> Object:
        volumes = [one["metadata"]["name"] for one in self.objects if one["kind"] == "PersistentVolume"]
        spec: Object = {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": f"{self.rng.randint(1, 2)}Gi"}},
            "storageClassName": self.rng.choice(("local", "local", "late", "late", "now")),
        }
        metadata: Object = {"name": f"c{number}", "namespace": "default", "uid": f"c{number}"}
        if volumes and self.rng.random() < 0.4:
            spec["volumeName"] = self.rng.choice(volumes)
            metadata["annotations"] = {BIND_COMPLETED: "yes"}
        return {"kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}

    def _capacity(self, number: int) -> Object:
        return {
            "kind": "CSIStorageCapacity", "metadata": {"name": f"k{number}", "namespace": "default"},
            "storageClassName": "late", "capacity": f"{self.rng.randint(1, 2)}Gi",
            "nodeTopology": {"matchLabels": {ZONE: self.rng.choice(("z1", "z2"))}},
        }

    def pods(self) -> list[list[Object]]:
        """The volumes of each."""
        return [
            [{"name": one["metadata"]["name"], "persistentVolumeClaim": {"claimName": one["metadata"]["name"]}}
             for one in self.rng.sample(self.claims, self.rng.randint(1, 3))]
            for _ in range(4)
        ]


@pytest.mark.parametrize("seed", range(SEEDS))
def test_the_same_nodes_fit(seed: int) -> None:
    generated, world = Generated(seed), World()
    for name in generated.nodes:
        world.node(name, labels=generated.labels[name])
    known(world, *generated.objects)
    reference = Volumes(*generated.objects)
    for volumes in generated.pods():
        pod = world.pod(volumes=volumes)
        refused = verdicts(world.framework, world.snapshot, parse(pod)).keys()
        nodes: list[Any] = [node.node for node in world.snapshot.nodes()]
        expected = {node["metadata"]["name"] for node in nodes if reference.fits(pod, node)}
        assert set(generated.nodes) - set(refused) == expected
        assert one_by_one(world, pod) == expected


def one_by_one(world: World, pod: Object) -> set[str]:
    """The same, by the filters' simple form."""
    info, state = parse(pod), {}
    before, _ = world.framework.pre_filter(state, info)
    if before.rejection is not None:
        return set()
    assert SKIPPED in state
    return {node.name for node in world.snapshot.nodes() if world.framework.filter(state, info, node) is None}


def test_masks_follow_the_nodes() -> None:
    world = World()
    world.node("a", labels={ZONE: "z1"})
    masks_of = {"nodeSelectorTerms": [{"matchExpressions": [{"key": ZONE, "operator": "In", "values": ["z1"]}]}]}
    volume = {
        "kind": "PersistentVolume", "metadata": {"name": "v"}, "status": {"phase": "Bound"},
        "spec": {"nodeAffinity": {"required": masks_of}},
    }
    claim = {
        "kind": "PersistentVolumeClaim", "spec": {"volumeName": "v"},
        "metadata": {"name": "c", "namespace": "default", "uid": "c", "annotations": {BIND_COMPLETED: "yes"}},
    }
    known(world, volume, claim)
    uses = [{"name": "c", "persistentVolumeClaim": {"claimName": "c"}}]
    assert world.possible(volumes=uses) == {"a"}
    world.node("b", labels={ZONE: "z1"})
    world.node("a", labels={ZONE: "z2"})
    assert world.possible(volumes=uses) == {"b"}
    world.snapshot.remove_node("b")
    assert world.possible(volumes=uses) == set()
