"""What has a name, a time or data of its own: StatefulSet, volumes, disruption budgets, CronJob, certificates."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.e2e.kubectl import Kubectl, eventually
from tests.e2e.pods import FOREVER, apply, container, events, pod

WRITE_ONCE = "test -f /data/who || hostname > /data/who; sleep 3600"


@pytest.fixture
def directory(kubectl: Kubectl, tmp_path: Path) -> Iterator[Path]:
    """A directory of the node (which is this machine) that pods may write to."""
    tmp_path.chmod(0o777)
    yield tmp_path
    kubectl("delete", "pv", "-l", f"test={kubectl.namespace}", "--wait=false")


def volume(kubectl: Kubectl, directory: Path, number: int, size: str = "1Gi") -> dict[str, Any]:
    path = directory / f"disk-{number}"
    path.mkdir(exist_ok=True)
    path.chmod(0o777)
    name = f"{kubectl.namespace}-{number}"[-60:].strip("-")
    return {
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name, "labels": {
            "test": kubectl.namespace}},
        "spec": {
            "accessModes": ["ReadWriteOnce"], "capacity": {"storage": size}, "hostPath": {"path": str(path)},
            "storageClassName": kubectl.namespace,
        },
    }


def stateful_set(name: str, replicas: int, main: dict[str, Any], **spec: Any) -> dict[str, Any]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": pod(name, main)["spec"]}
    chosen = {"replicas": replicas, "serviceName": name, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name}, "spec": chosen | spec}


def claim_template(kubectl: Kubectl) -> dict[str, Any]:
    spec = {
        "accessModes": ["ReadWriteOnce"], "storageClassName": kubectl.namespace,
        "resources": {"requests": {"storage": "1Gi"}},
    }
    return {"metadata": {"name": "data"}, "spec": spec}


def names(kubectl: Kubectl) -> list[str]:
    return sorted(kubectl("get", "pods", "-o", "name").split())


def created_in_order(kubectl: Kubectl) -> list[str]:
    """Pods by when the server took them: resourceVersions of their first events grow with time."""
    found = kubectl.json("get", "events", "--field-selector=involvedObject.kind=Pod,reason=Scheduled")["items"]
    found.sort(key=lambda event: int(event["metadata"]["resourceVersion"]))
    return [event["involvedObject"]["name"] for event in found]


def test_a_statefulset_goes_up_in_order_keeps_its_data_and_goes_down_in_reverse(
    kubectl: Kubectl, directory: Path
) -> None:
    apply(kubectl, *(volume(kubectl, directory, number) for number in range(3)))
    claims = [claim_template(kubectl)]
    main = container(WRITE_ONCE, volumeMounts=[{"name": "data", "mountPath": "/data"}])
    apply(kubectl, stateful_set("db", 3, main, volumeClaimTemplates=claims))
    kubectl("rollout", "status", "statefulset/db", "--timeout=140s")
    assert names(kubectl) == ["pod/db-0", "pod/db-1", "pod/db-2"]
    made = eventually(lambda: len(found := created_in_order(kubectl)) >= 3 and found, what="an event of each")
    assert made == ["db-0", "db-1", "db-2"]
    who = eventually(lambda: kubectl("exec", "db-1", "--", "cat", "/data/who").strip())
    assert who == "db-1"
    before = kubectl.json("get", "pod", "db-1")["metadata"]["uid"]
    claimed = kubectl.json("get", "pvc", "data-db-1")["spec"]["volumeName"]
    kubectl("delete", "pod", "db-1")
    eventually(lambda: kubectl.json("get", "pod", "db-1")["metadata"]["uid"] != before)
    kubectl("wait", "pod/db-1", "--for=condition=Ready", "--timeout=140s")
    assert kubectl("exec", "db-1", "--", "cat", "/data/who").strip() == "db-1"
    assert kubectl.json("get", "pvc", "data-db-1")["spec"]["volumeName"] == claimed
    seen: list[list[str]] = []

    def down(left: list[str]) -> bool:
        if not seen or seen[-1] != names(kubectl):
            seen.append(names(kubectl))
        return seen[-1] == left

    kubectl("scale", "statefulset", "db", "--replicas=0")
    eventually(lambda: down([]))
    allowed = [[f"pod/db-{number}" for number in range(count)] for count in (3, 2, 1, 0)]
    assert all(one in allowed for one in seen), seen
    phases = kubectl("get", "pvc", "-o", "jsonpath={.items[*].status.phase}").split()
    assert phases == ["Bound"] * 3


def test_a_claim_in_use_is_kept_and_its_volume_released_afterwards(kubectl: Kubectl, directory: Path) -> None:
    disk = volume(kubectl, directory, 7)
    template = claim_template(kubectl)
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", **template}
    user = pod("user", container("echo kept > /data/x; sleep 3600", volumeMounts=[{
        "name": "v", "mountPath": "/data"}]), volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}])
    apply(kubectl, claim, user)
    eventually(lambda: "not found" in events(kubectl, "data").get("ProvisioningFailed", ""))
    apply(kubectl, disk)
    kubectl("wait", "pod/user", "--for=condition=Ready", "--timeout=140s")
    eventually(lambda: (directory / "disk-7" / "x").read_text() == "kept\n")
    kubectl("delete", "pvc", "data", "--wait=false")
    assert "Terminating" in kubectl("get", "pvc", "data")
    kubectl("delete", "pod", "user")
    kubectl("wait", "pvc/data", "--for=delete", "--timeout=140s")
    eventually(lambda: kubectl.json("get", "pv", disk["metadata"]["name"])["status"]["phase"] == "Released")
    assert (directory / "disk-7" / "x").read_text() == "kept\n"


def test_a_disruption_budget_refuses_an_eviction_with_429(kubectl: Kubectl) -> None:
    apply(kubectl, stateful_set("web", 2, container(FOREVER), podManagementPolicy="Parallel"), {
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"},
        "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}},
    })
    kubectl("rollout", "status", "statefulset/web", "--timeout=140s")
    eventually(lambda: kubectl.json("get", "pdb", "web")["status"]["currentHealthy"] == 2)
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {
        "name": "web-0", "namespace": kubectl.namespace}}
    path = f"/api/v1/namespaces/{kubectl.namespace}/pods/web-0/eviction"
    refused = kubectl.fails("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
    assert "violate the pod's disruption budget" in refused
    kubectl("patch", "pdb", "web", "--type=merge", "-p", '{"spec":{"minAvailable":1}}')
    eventually(lambda: kubectl.json("get", "pdb", "web")["status"]["disruptionsAllowed"] == 1)
    kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))


def test_a_cronjob_in_a_time_zone_makes_jobs_that_are_named_after_their_time(kubectl: Kubectl) -> None:
    spec = pod("tick", container("echo tick"))["spec"] | {"restartPolicy": "OnFailure"}
    apply(kubectl, {
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "tick"},
        "spec": {"schedule": "* * * * *", "timeZone": "Asia/Kolkata", "jobTemplate": {"spec": {"template": {
            "spec": spec}}}},
    })
    assert "Asia/Kolkata" in kubectl("get", "cronjob", "tick")
    [job] = eventually(lambda: kubectl.json("get", "jobs")["items"], timeout_s=150)
    at = job["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"]
    assert at.endswith(":00+05:30") and job["metadata"]["name"].startswith("tick-")
    kubectl("wait", f"job/{job['metadata']['name']}", "--for=condition=Complete", "--timeout=140s")
    eventually(lambda: "lastSuccessfulTime" in kubectl.json("get", "cronjob", "tick")["status"])


def test_a_claim_waits_for_its_first_pod_and_then_both_stay_together(kubectl: Kubectl, directory: Path) -> None:
    [node] = kubectl.json("get", "nodes")["items"]
    disk = volume(kubectl, directory, 3)
    hostname = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node["metadata"]["name"]]}
    disk["spec"] |= {
        "local": {"path": disk["spec"].pop("hostPath")["path"]},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [hostname]}]}},
    }
    late = {
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": kubectl.namespace},
        "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer",
    }
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", **claim_template(kubectl)}
    apply(kubectl, late, disk, claim)
    try:
        eventually(lambda: "WaitForFirstConsumer" in events(kubectl, "data"))
        assert kubectl.json("get", "pvc", "data")["status"]["phase"] == "Pending"
        mounts = [{"name": "v", "mountPath": "/data"}]
        apply(kubectl, pod("user", container("echo here > /data/x; sleep 3600", volumeMounts=mounts), volumes=[
            {"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]))
        kubectl("wait", "pod/user", "--for=condition=Ready", "--timeout=140s")
        assert kubectl.json("get", "pvc", "data")["spec"]["volumeName"] == disk["metadata"]["name"]
        eventually(lambda: (directory / "disk-3" / "x").read_text() == "here\n")
    finally:
        kubectl("delete", "storageclass", kubectl.namespace)


def test_a_certificate_is_approved_and_issued_and_a_token_kept_in_a_secret(
    kubectl: Kubectl, tmp_path: Path
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "anna")])
    pem = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    asked = base64.b64encode(pem.public_bytes(serialization.Encoding.PEM)).decode()
    csr = kubectl.namespace
    apply(kubectl, {
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": csr},
        "spec": {"request": asked, "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"]},
    })
    try:
        assert "Pending" in kubectl("get", "csr", csr)
        kubectl("certificate", "approve", csr)
        issued = eventually(lambda: kubectl.json("get", "csr", csr)["status"].get("certificate"))
        found = x509.load_pem_x509_certificate(base64.b64decode(issued))
        assert found.subject == name and "Approved,Issued" in kubectl("get", "csr", csr)
    finally:
        kubectl("delete", "csr", csr)
    kubectl("create", "serviceaccount", "robot")
    apply(kubectl, {
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
        "metadata": {"name": "robot", "annotations": {"kubernetes.io/service-account.name": "robot"}},
    })
    data = eventually(lambda: kubectl.json("get", "secret", "robot").get("data"))
    token = base64.b64decode(data["token"]).decode()
    config = str(_without_user(kubectl, tmp_path))
    who = kubectl("auth", "whoami", "--token", token, "-o", "json", "--kubeconfig", config)
    assert json.loads(who)["status"]["userInfo"]["username"] == f"system:serviceaccount:{kubectl.namespace}:robot"
    kubectl("delete", "serviceaccount", "robot")
    eventually(lambda: "robot" not in kubectl("get", "secrets"))


def _without_user(kubectl: Kubectl, directory: Path) -> Path:
    """The kubeconfig without the administrator's certificate, which would win over a token."""
    config = yaml.safe_load(kubectl.kubeconfig.read_text())
    for user in config["users"]:
        user["user"] = {}
    path = directory / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path
