"""Every loop acts as its own ServiceAccount, and upstream's roles allow exactly what it does."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
from tests.controllers.certificates.test_certificates import CLIENT, request

from sampan.api.resources import (
    CERTIFICATE_SIGNING_REQUESTS,
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    CLUSTER_TRUST_BUNDLES,
    CRON_JOBS,
    DAEMON_SETS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    ENDPOINTS,
    HORIZONTAL_POD_AUTOSCALERS,
    JOBS,
    NAMESPACES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    RESOURCE_CLAIM_TEMPLATES,
    RESOURCE_CLAIMS,
    RESOURCE_QUOTAS,
    SECRETS,
    SERVICE_CIDRS,
    SERVICES,
    STATEFUL_SETS,
    STORAGE_VERSION_MIGRATIONS,
    VOLUME_ATTACHMENTS,
)
from sampan.apimachinery.object import Object, dig
from sampan.apimachinery.resource import Resource
from sampan.apiserver.config import APIServerConfig
from sampan.client.client import Client
from sampan.controllers.config import ControllerManagerConfig
from sampan.pki.authority import CertificateAuthority
from sampan.pki.certificate import KeyPair
from sampan.pki.service_account import SigningKey
from sampan.sim.cluster import SimCluster, SimConfig
from sampan.sim.loop import run
from sampan.sim.node import node_specs
from sampan.sim.stages import EXIT_CODE, RUN_SECONDS

ACCOUNTS = ("system:serviceaccounts", "system:serviceaccounts:kube-system")
SELF_NODE_CLIENT = "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient"
LABELS = {"app": "web"}
MODES = ["ReadWriteOnce"]


def template(**annotations: str) -> Object:
    spec: Object = {"containers": [{"name": "main", "image": "x"}]}
    if annotations:
        spec["restartPolicy"] = "Never"
    return {"metadata": {"labels": LABELS, "annotations": annotations}, "spec": spec}


def workload(**spec: Any) -> Object:
    return {"selector": {"matchLabels": LABELS}, "template": template(), **spec}


def claim_spec(size: str = "1Gi") -> Object:
    return {"accessModes": MODES, "resources": {"requests": {"storage": size}}, "storageClassName": ""}


DEVICES = {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu"}}]}}


async def furnish(client: Client) -> None:
    """One of everything that a loop has to write for."""

    async def create(resource: Resource, name: str, **fields: Any) -> None:
        metadata = {"name": name, **({"namespace": "team"} if resource.namespaced else {}), **fields.pop("meta", {})}
        await client.create(resource, {
            "apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **fields
        })

    await create(NAMESPACES, "team")
    await asyncio.sleep(2)  # for the namespace's default account
    await create(SERVICE_CIDRS, "more", spec={"cidrs": ["10.98.0.0/16"]})
    await create(STORAGE_VERSION_MIGRATIONS, "again", spec={"resource": {"group": "", "resource": "configmaps"}})
    await create(RESOURCE_CLAIM_TEMPLATES, "one-gpu", spec={"spec": DEVICES})
    gated = {"schedulingGates": [{"name": "example.com/wait"}], "containers": [{"name": "main", "image": "x"}]}
    asks = [{"name": "gpu", "resourceClaimTemplateName": "one-gpu"}]
    await create(PODS, "train", spec={**gated, "resourceClaims": asks})
    await create(PERSISTENT_VOLUMES, "csi", spec={
        "accessModes": MODES, "capacity": {"storage": "1Gi"},
        "csi": {"driver": "disk.example.com", "volumeHandle": "h"},
    })
    await create(PERSISTENT_VOLUME_CLAIMS, "csi", spec={**claim_spec(), "volumeName": "csi"})
    mounted = [{"name": "data", "persistentVolumeClaim": {"claimName": "csi"}}]
    await create(PODS, "attached", spec={"containers": gated["containers"], "volumes": mounted})
    for number in range(4):
        await create(PERSISTENT_VOLUMES, f"v{number}", spec={
            "accessModes": MODES, "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/x"}})
    deletes = {"whenDeleted": "Delete", "whenScaled": "Delete"}
    await create(STATEFUL_SETS, "db", spec=workload(
        replicas=2, serviceName="db", persistentVolumeClaimRetentionPolicy=deletes,
        volumeClaimTemplates=[{"metadata": {"name": "data"}, "spec": claim_spec()}]))
    await create(DEPLOYMENTS, "web", spec=workload(replicas=2))
    await create(DAEMON_SETS, "agent", spec=workload())
    await create(POD_DISRUPTION_BUDGETS, "web", spec={"maxUnavailable": 1, "selector": {"matchLabels": LABELS}})
    await create(HORIZONTAL_POD_AUTOSCALERS, "web", spec={"minReplicas": 3, "maxReplicas": 5, "scaleTargetRef": {
        "apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}})
    await create(RESOURCE_QUOTAS, "all", spec={"hard": {"pods": "50", "configmaps": "9"}})
    await create(JOBS, "work", spec={"template": template(**{RUN_SECONDS: "1"}), "ttlSecondsAfterFinished": 5})
    await create(JOBS, "fails", spec={"template": template(**{EXIT_CODE: "1", RUN_SECONDS: "1"}), "backoffLimit": 0})
    await create(CRON_JOBS, "tick", spec={
        "schedule": "* * * * *", "successfulJobsHistoryLimit": 0,
        "jobTemplate": {"spec": {"template": template(**{RUN_SECONDS: "1"})}}})
    ephemeral = {"volumeClaimTemplate": {"spec": claim_spec()}}
    await create(PODS, "scratch", spec={**template()["spec"], "volumes": [{"name": "tmp", "ephemeral": ephemeral}]})
    await create(SERVICES, "old", spec={"ports": [{"port": 80}]})
    await create(SERVICES, "web", spec={"ports": [{"port": 80}], "selector": LABELS})
    await create(ENDPOINTS, "old", subsets=[{"addresses": [{"ip": "10.9.9.9"}], "ports": [{"port": 80}]}])
    selector = {"matchLabels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}}
    await create(CLUSTER_ROLES, "copy", aggregationRule={"clusterRoleSelectors": [selector]}, rules=[])
    await create(SECRETS, "robot", type="kubernetes.io/service-account-token", meta={
        "annotations": {"kubernetes.io/service-account.name": "default"}})
    ended = base64.b64encode(b"2020-01-01T00:00:00Z").decode()
    await create(SECRETS, "bootstrap-token-abcdef", meta={"namespace": "kube-system"},
                 type="bootstrap.kubernetes.io/token", data={"expiration": ended})


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    CertificateAuthority.ensure(KeyPair.named(tmp_path, "ca"), "test")
    SigningKey.ensure(tmp_path)
    return tmp_path


def test_every_loop_may_do_what_it_does(make, authority, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        controllers = ControllerManagerConfig(
            client_for=lambda account: cluster.client_of(f"system:serviceaccount:kube-system:{account}", *ACCOUNTS),
            root_ca=(authority / "ca.crt").read_bytes(),
            signing_cert=authority / "ca.crt", signing_key=authority / "ca.key",
            service_account_key=authority / "sa.key",
        )
        config = SimConfig(node_specs(3), server=APIServerConfig(authorization=True), controllers=controllers)
        cluster = SimCluster(5, config=config)
        async with cluster:
            client = cluster.client
            await furnish(client)
            group = "rbac.authorization.k8s.io"
            await client.create(CLUSTER_ROLE_BINDINGS, {
                "apiVersion": f"{group}/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "rotation"},
                "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": SELF_NODE_CLIENT},
                "subjects": [{"apiGroup": group, "kind": "Group", "name": "system:nodes"}],
            })
            asked = request(make, "kubernetes.io/kube-apiserver-client-kubelet", "system:node:a", "system:nodes",
                            usages=CLIENT)
            node = cluster.client_of("system:node:a", "system:nodes")
            created = await node.create(CERTIFICATE_SIGNING_REQUESTS, {
                "apiVersion": asked["apiVersion"], "kind": asked["kind"], "metadata": {"name": "a"},
                "spec": asked["spec"]})

            async def issued() -> bool:
                found = await client.get(CERTIFICATE_SIGNING_REQUESTS, created["metadata"]["name"])
                return bool(dig(found, "status", "certificate"))

            async def settled() -> bool:
                found = [await client.get(DEPLOYMENTS, "web", "team"), await client.get(STATEFUL_SETS, "db", "team")]
                slices = await client.list(ENDPOINT_SLICES, "team")
                quota = await client.get(RESOURCE_QUOTAS, "all", "team")
                return (
                    [dig(one, "status", "readyReplicas") for one in found] == [3, 2] and len(slices["items"]) == 2
                    and dig(quota, "status", "used", "configmaps") == "1"
                )

            async def all_of(resource: Resource) -> list[Object]:
                return list((await client.list(resource))["items"])

            async def done() -> bool:
                found = [await client.get(SERVICE_CIDRS, "more"), await client.get(STORAGE_VERSION_MIGRATIONS, "again")]
                shown = [{one["type"] for one in dig(each, "status", "conditions", default=())} for each in found]
                made = [await all_of(one) for one in (RESOURCE_CLAIMS, VOLUME_ATTACHMENTS, CLUSTER_TRUST_BUNDLES)]
                return "Ready" in shown[0] and "Succeeded" in shown[1] and all(made)

            await cluster.until(issued, within_s=60)
            await cluster.until(done, within_s=60)
            await cluster.until(settled, within_s=120)
            assert {"token", "ca.crt", "namespace"} <= (await client.get(SECRETS, "robot", "team"))["data"].keys()
            assert (await client.get(CLUSTER_ROLES, "copy"))["rules"]
            await client.patch(STATEFUL_SETS, "db", {"spec": {"replicas": 1}}, "team")
            await asyncio.sleep(150)
            claims = (await client.list(PERSISTENT_VOLUME_CLAIMS, "team"))["items"]
            assert sorted(one["metadata"]["name"] for one in claims) == ["csi", "data-db-0", "scratch-tmp"]
            tokens = (await client.list(SECRETS, "kube-system"))["items"]
            assert not [one for one in tokens if one["type"] == "bootstrap.kubernetes.io/token"]
            jobs = [one["metadata"]["name"] for one in (await client.list(JOBS, "team"))["items"]]
            assert "work" not in jobs
            await client.delete(NAMESPACES, "team")

            async def gone() -> bool:
                names = [one["metadata"]["name"] for one in (await client.list(NAMESPACES))["items"]]
                return "team" not in names

            await cluster.until(gone, within_s=300)

    run(scenario())
    refused = [record.getMessage() for record in caplog.records if "cannot " in record.getMessage()]
    assert not refused
    broken = [record.getMessage() for record in caplog.records if "reconciling failed" in record.getMessage()]
    assert not broken
