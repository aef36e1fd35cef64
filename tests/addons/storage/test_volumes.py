from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sampan.addons.storage import volumes
from sampan.addons.storage.objects import PROVISIONER, STORAGE_CLASS
from sampan.addons.storage.volumes import FINALIZER, PROVISIONER_OF_CLAIM, Place
from sampan.api.core.volume_matching import SELECTED_NODE
from sampan.apimachinery.object import Object
from sampan.reconcile.plan import NOTHING, Create, Delete, Patch

PLACE = Place("n1", Path("/volumes"))


def claim(node: str = "n1", **spec: Any) -> Object:
    annotations = {PROVISIONER_OF_CLAIM: PROVISIONER, SELECTED_NODE: node}
    defaults = {
        "accessModes": ["ReadWriteOnce"], "storageClassName": "standard", "volumeMode": "Filesystem",
        "resources": {"requests": {"storage": "1Gi"}},
    }
    metadata = {"name": "data", "namespace": "team", "uid": "42", "resourceVersion": "7", "annotations": annotations}
    return {"metadata": metadata, "spec": {**defaults, **spec}}


def volume(phase: str = "Bound", **metadata: Any) -> Object:
    found = volumes.new_volume(claim(), STORAGE_CLASS, PLACE)
    return {**found, "metadata": {**found["metadata"], "uid": "u", **metadata}, "status": {"phase": phase}}


def test_a_claim_is_made_where_its_pod_goes_and_only_once() -> None:
    assert volumes.is_asked_for(claim(), PLACE)
    assert not volumes.is_asked_for(claim("n2"), PLACE)
    assert not volumes.is_asked_for(claim(volumeName="v"), PLACE)
    stranger = claim()
    stranger["metadata"]["annotations"][PROVISIONER_OF_CLAIM] = "example.com/other"
    assert not volumes.is_asked_for(stranger, PLACE)


def test_the_volume_is_a_directory_of_the_node_bound_to_its_claim() -> None:
    [create] = volumes.provision(claim(), STORAGE_CLASS, PLACE).steps
    assert isinstance(create, Create)
    made = create.obj
    assert made["metadata"] == {
        "name": "pvc-42", "annotations": {"pv.kubernetes.io/provisioned-by": PROVISIONER}, "finalizers": [FINALIZER],
    }
    assert made["spec"]["local"] == {"path": "/volumes/pvc-42_team_data"}
    assert made["spec"]["claimRef"]["uid"] == "42"
    assert made["spec"]["persistentVolumeReclaimPolicy"] == "Delete"
    [term] = made["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert term["matchExpressions"][0]["values"] == ["n1"]


@pytest.mark.parametrize(("spec", "word"), [
    ({"volumeMode": "Block"}, "block device"), ({"accessModes": ["ReadWriteMany"]}, "ReadWriteMany"),
    ({"dataSource": {"kind": "VolumeSnapshot", "name": "s"}}, "data source"),
])
def test_what_a_directory_cannot_be_is_refused_in_words(spec: Object, word: str) -> None:
    [note] = volumes.refusal(claim(**spec), volumes.problem_with(claim(**spec))).notes
    assert note.reason == "ProvisioningFailed" and word in note.message
    assert volumes.problem_with(claim()) == ""


def test_a_volume_whose_claim_is_gone_is_emptied_unless_it_is_to_be_kept() -> None:
    assert volumes.is_to_be_emptied(volume("Released"))
    assert not volumes.is_to_be_emptied(volume("Bound"))
    kept = volume("Released")
    kept["spec"]["persistentVolumeReclaimPolicy"] = "Retain"
    assert not volumes.is_to_be_emptied(kept) and volumes.let_go(kept) == NOTHING
    [delete] = volumes.let_go(volume("Released")).steps
    assert isinstance(delete, Delete) and delete.uid == "u"


def test_a_volume_that_goes_is_held_until_its_data_is_decided_on() -> None:
    going = {"deletionTimestamp": "2026-01-02T03:04:05Z"}
    assert volumes.let_go(volume("Bound", **going)) == NOTHING
    [patch] = volumes.let_go(volume("Released", **going)).steps
    assert isinstance(patch, Patch) and patch.patch["metadata"]["finalizers"] is None


def test_only_directories_of_its_own_are_touched() -> None:
    assert volumes.is_here(volume(), PLACE)
    assert not volumes.is_here(volume(), Place("n1", Path("/elsewhere")))
    for path in ("/volumes/../etc", "/volumes", "/etc", "/volumes/a/b", ""):
        forged = volume()
        forged["spec"]["local"]["path"] = path
        assert not volumes.is_here(forged, PLACE), path
    foreign = volume()
    foreign["metadata"]["annotations"] = {}
    assert not volumes.is_here(foreign, PLACE)
