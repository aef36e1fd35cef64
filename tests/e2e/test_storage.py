"""The default StorageClass: a claim gets a volume without anybody making one, and its data outlives its pods."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.e2e.kubectl import Kubectl, eventually
from tests.e2e.pods import apply, container, once, output, pod

MOUNT = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}


def claim(name: str, **spec: Any) -> dict[str, Any]:
    chosen = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}} | spec
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": chosen}


def user(name: str, script: str, claim_name: str) -> dict[str, Any]:
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": claim_name}}]
    return once(name, container(script, **MOUNT), volumes=volumes)


def test_a_claim_waits_for_its_first_pod_keeps_its_data_and_takes_it_along(kubectl: Kubectl) -> None:
    apply(kubectl, claim("data"))
    told = eventually(lambda: kubectl.json("get", "events", "--field-selector=reason=WaitForFirstConsumer")["items"])
    assert told[0]["involvedObject"]["name"] == "data"
    assert kubectl.json("get", "pvc", "data")["spec"]["storageClassName"] == "standard"
    apply(kubectl, user("first", "echo kept > /data/file; busybox id -u", "data"))
    assert output(kubectl, "first") == "0\n"
    apply(kubectl, user("second", "cat /data/file", "data"))
    assert output(kubectl, "second") == "kept\n"
    volume = kubectl.json("get", "pv", kubectl.json("get", "pvc", "data")["spec"]["volumeName"])
    directory = Path(volume["spec"]["local"]["path"])
    assert (directory / "file").read_text() == "kept\n"
    kubectl("delete", "pod", "first", "second")
    kubectl("delete", "pvc", "data")
    eventually(lambda: not directory.exists(), what="the data is gone")
    kubectl("wait", "--for=delete", f"pv/{volume['metadata']['name']}", "--timeout=140s")


def test_what_a_directory_cannot_be_is_told(kubectl: Kubectl) -> None:
    apply(kubectl, claim("shared", accessModes=["ReadWriteMany"]), user("never", "true", "shared"))
    told = eventually(lambda: kubectl.json("get", "events", "--field-selector=reason=ProvisioningFailed")["items"])
    assert "access mode ReadWriteMany is not supported" in told[0]["message"]


def test_a_stateful_sets_pods_come_back_with_their_data(kubectl: Kubectl) -> None:
    script = "test -f /data/who || hostname > /data/who; sleep 3600"
    labels = {"app": "db"}
    template = {"metadata": {"labels": labels}, "spec": pod("db", container(script, **MOUNT))["spec"]}
    claims = [{"metadata": {"name": "data"}, "spec": claim("x")["spec"]}]
    apply(kubectl, {
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"},
        "spec": {
            "replicas": 2, "serviceName": "db", "selector": {"matchLabels": labels}, "template": template,
            "volumeClaimTemplates": claims,
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete", "whenScaled": "Retain"},
        },
    })
    kubectl("rollout", "status", "statefulset/db", "--timeout=140s")
    eventually(lambda: kubectl("exec", "db-1", "--", "cat", "/data/who") == "db-1\n")
    before = kubectl.json("get", "pod", "db-1")["metadata"]["uid"]
    kubectl("exec", "db-1", "--", "sh", "-c", "echo more >> /data/who")
    kubectl("delete", "pod", "db-1")
    eventually(lambda: kubectl.json("get", "pod", "db-1")["metadata"]["uid"] != before)
    kubectl("wait", "pod/db-1", "--for=condition=Ready", "--timeout=140s")
    assert kubectl("exec", "db-1", "--", "cat", "/data/who") == "db-1\nmore\n"
    kubectl("delete", "statefulset", "db")
    eventually(lambda: not kubectl("get", "pvc", "-o", "name"), what="whenDeleted: Delete takes the claims")
