"""Admission plugins, one by one, on plain documents."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sampan.api.resources import (
    CERTIFICATE_SIGNING_REQUESTS,
    CLUSTER_ROLES,
    LIMIT_RANGES,
    NAMESPACES,
    PODS,
    PRIORITY_CLASSES,
    SERVICE_ACCOUNTS,
    STORAGE_CLASSES,
)
from sampan.apimachinery.errors import Forbidden, NotFound
from sampan.apimachinery.http import UserInfo
from sampan.apimachinery.resource import Resource
from sampan.apiserver.admission.certificates import CertificateRequestor
from sampan.apiserver.admission.default_storage_class import DefaultStorageClass
from sampan.apiserver.admission.default_toleration_seconds import DefaultTolerationSeconds
from sampan.apiserver.admission.limit_ranger import LimitRanger
from sampan.apiserver.admission.namespace_lifecycle import NamespaceLifecycle
from sampan.apiserver.admission.node_restriction import NodeRestriction
from sampan.apiserver.admission.priority import Priority
from sampan.apiserver.admission.rbac_escalation import RBACEscalation
from sampan.apiserver.admission.service_account import ServiceAccount
from sampan.apiserver.admission.table import ADMISSION
from sampan.apiserver.authz.rbac_bootstrap.documents import cluster_role_binding, rule
from sampan.apiserver.config import APIServerConfig
from sampan.apiserver.seams import AdmissionAttributes, Decision, Verdict

JANE = UserInfo("jane", groups=("devs",))
NODE = UserInfo("system:node:n1", groups=("system:nodes",))


def write(
    resource: Resource, obj: Any, operation: Any = "CREATE", user: UserInfo = JANE, old: Any = None, **more: Any
) -> AdmissionAttributes:
    kind: Any = SimpleNamespace(resource=resource)
    namespace = "ns" if resource.namespaced else ""
    name = more.pop("name", ((obj or old)["metadata"]).get("name", ""))
    return AdmissionAttributes(operation, kind, resource, name, namespace, user, obj, old, **more)


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "web", "namespace": "ns"}, "spec": {"containers": [{"name": "app"}], **spec}}


def parts_of(reader: Any, decision: Decision = Decision.NO_OPINION) -> Any:
    """As much of a server as plugins ask for; its authorisers all say the same."""
    async def authorize(attributes: Any) -> Verdict:
        return Verdict(decision)

    return SimpleNamespace(reader=reader, authorize=authorize)


async def run(plugin: Any, attributes: AdmissionAttributes) -> Any:
    if plugin.interested(attributes):
        await plugin.admit(attributes)
        await plugin.validate(attributes)
    return attributes.object


async def test_namespaces_must_exist_and_live(reader: Any) -> None:
    plugin = NamespaceLifecycle(reader)
    with pytest.raises(NotFound, match='namespaces "ns" not found'):
        await run(plugin, write(PODS, pod()))
    await run(plugin, write(PODS, pod(), "UPDATE", old=pod()))
    await run(plugin, write(PODS, None, "DELETE", old=pod()))
    reader.put(NAMESPACES, {"metadata": {"name": "ns", "deletionTimestamp": "2026-01-01T00:00:00Z"}})
    with pytest.raises(Forbidden) as refused:
        await run(plugin, write(PODS, pod()))
    assert refused.value.message == (
        'pods "web" is forbidden: unable to create new content in namespace ns because it is being terminated'
    )
    assert (refused.value.details or {})["causes"][0]["reason"] == "NamespaceTerminating"
    await run(plugin, write(PODS, pod(), "UPDATE", old=pod()))
    for name, refusal in (("default", True), ("mine", False)):
        gone = write(NAMESPACES, None, "DELETE", old={"metadata": {"name": name}})
        if refusal:
            with pytest.raises(Forbidden, match="this namespace may not be deleted"):
                await run(plugin, gone)
        else:
            await run(plugin, gone)


async def test_a_pod_gets_its_account_and_token(reader: Any) -> None:
    account = {"metadata": {"name": "default", "namespace": "ns"}, "imagePullSecrets": [{"name": "pull"}]}
    reader.put(SERVICE_ACCOUNTS, account)
    found = (await run(ServiceAccount(reader), write(PODS, pod(initContainers=[{"name": "init"}]))))["spec"]
    assert (found["serviceAccountName"], found["serviceAccount"]) == ("default", "default")
    assert found["imagePullSecrets"] == [{"name": "pull"}]
    (volume,) = found["volumes"]
    assert volume["name"].startswith("kube-api-access-")
    assert [next(iter(source)) for source in volume["projected"]["sources"]] == [
        "serviceAccountToken", "configMap", "downwardAPI",
    ]
    mount = {"name": volume["name"], "readOnly": True, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
    assert found["containers"][0]["volumeMounts"] == [mount]
    assert found["initContainers"][0]["volumeMounts"] == [mount]


@pytest.mark.parametrize("where", ["pod", "account"])
async def test_a_token_can_be_declined(reader: Any, where: str) -> None:
    declined = {"automountServiceAccountToken": False}
    reader.put(SERVICE_ACCOUNTS, {
        "metadata": {"name": "default", "namespace": "ns"}, **(declined if where == "account" else {}),
    })
    found = await run(ServiceAccount(reader), write(PODS, pod(**(declined if where == "pod" else {}))))
    assert "volumes" not in found["spec"]


async def test_a_missing_account_is_named(reader: Any) -> None:
    with pytest.raises(Forbidden) as refused:
        await run(ServiceAccount(reader), write(PODS, pod(serviceAccountName="bot")))
    assert refused.value.message == (
        'pods "web" is forbidden: error looking up service account ns/bot: serviceaccount "bot" not found'
    )


async def test_priorities(reader: Any) -> None:
    plugin = Priority(reader)
    assert (await run(plugin, write(PODS, pod())))["spec"]["priority"] == 0
    reader.put(PRIORITY_CLASSES, {"metadata": {"name": "high"}, "value": 7, "preemptionPolicy": "Never"})
    found = (await run(plugin, write(PODS, pod(priorityClassName="high"))))["spec"]
    assert (found["priority"], found["preemptionPolicy"]) == (7, "Never")
    with pytest.raises(Forbidden, match="no PriorityClass with name nope was found"):
        await run(plugin, write(PODS, pod(priorityClassName="nope")))
    with pytest.raises(Forbidden, match=r"the integer value of priority \(3\) must not be provided"):
        await run(plugin, write(PODS, pod(priority=3)))
    reader.put(PRIORITY_CLASSES, {"metadata": {"name": "usual"}, "value": 5, "globalDefault": True})
    found = (await run(plugin, write(PODS, pod())))["spec"]
    assert (found["priorityClassName"], found["priority"]) == ("usual", 5)
    second = {"metadata": {"name": "other"}, "value": 1, "globalDefault": True}
    with pytest.raises(Forbidden, match="PriorityClass usual is already marked as default"):
        await run(plugin, write(PRIORITY_CLASSES, second))


async def test_tolerations_for_a_lost_node() -> None:
    plugin = DefaultTolerationSeconds()
    found = (await run(plugin, write(PODS, pod())))["spec"]["tolerations"]
    assert [one["key"].rpartition("/")[2] for one in found] == ["not-ready", "unreachable"]
    own = [{"operator": "Exists"}]
    assert (await run(plugin, write(PODS, pod(tolerations=own))))["spec"]["tolerations"] == own


@pytest.mark.parametrize(("attributes", "why"), [
    (write(PODS, pod(nodeName="n1"), user=NODE), "can only create mirror pods"),
    (write(PODS, None, "DELETE", NODE, old=pod(nodeName="n2")),
     "can only delete pods with spec.nodeName set to itself"),
    (write(PODS, pod(nodeName="n2"), "UPDATE", NODE, old=pod(nodeName="n2"), subresource="status"),
     "can only update pod status for pods with spec.nodeName set to itself"),
    (write(Resource("", "v1", "nodes", "Node", False), {"metadata": {"name": "n2"}}, user=NODE),
     'is not allowed to modify node "n2"'),
    (write(Resource("", "v1", "nodes", "Node", False),
           {"metadata": {"name": "n1", "labels": {"node-role.kubernetes.io/master": ""}}}, user=NODE),
     "is not allowed to set the following labels: node-role.kubernetes.io/master"),
    (write(Resource("", "v1", "nodes", "Node", False), {"metadata": {"name": "n1"}, "spec": {"taints": []}}, "UPDATE",
           NODE, old={"metadata": {"name": "n1"}, "spec": {"taints": [{"key": "a"}]}}),
     "is not allowed to modify taints"),
])
async def test_what_a_kubelet_may_not_write(reader: Any, attributes: AdmissionAttributes, why: str) -> None:
    with pytest.raises(Forbidden, match=why):
        await run(NodeRestriction(parts_of(reader)), attributes)


async def test_what_a_kubelet_may_write(reader: Any) -> None:
    plugin = NodeRestriction(parts_of(reader))
    labels = {"kubernetes.io/hostname": "n1", "kubernetes.io/os": "linux", "mine": "x"}
    node = {"metadata": {"name": "n1", "labels": labels}}
    await run(plugin, write(Resource("", "v1", "nodes", "Node", False), node, user=NODE))
    await run(plugin, write(PODS, pod(nodeName="n1"), "UPDATE", NODE, old=pod(nodeName="n1"), subresource="status"))
    await run(plugin, write(PODS, None, "DELETE", NODE, old=pod(nodeName="n1")))


async def test_limits_are_filled_in_and_kept(reader: Any) -> None:
    reader.put(LIMIT_RANGES, {"metadata": {"name": "lr", "namespace": "ns"}, "spec": {"limits": [{
        "type": "Container", "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "100m"}, "max": {"cpu": "1"},
        "min": {"cpu": "50m"},
    }]}})
    plugin = LimitRanger(reader)
    found = await run(plugin, write(PODS, pod()))
    assert found["spec"]["containers"][0]["resources"] == {"limits": {"cpu": "500m"}, "requests": {"cpu": "100m"}}
    assert found["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == (
        "LimitRanger plugin set: cpu limit for container app; cpu request for container app"
    )
    big = {"limits": {"cpu": "2"}, "requests": {"cpu": "10m"}}
    with pytest.raises(Forbidden) as refused:
        await run(plugin, write(PODS, pod(containers=[{"name": "app", "resources": big}])))
    assert refused.value.message == (
        'pods "web" is forbidden: [minimum cpu usage per Container is 50m, but request is 10m, '
        "maximum cpu usage per Container is 1, but limit is 2]"
    )


async def test_a_claim_gets_the_default_class(reader: Any) -> None:
    claims = Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"}
    reader.put(STORAGE_CLASSES, {"metadata": {"name": "fast", "annotations": annotations}})
    plugin = DefaultStorageClass(reader)
    claim: dict[str, Any] = {"metadata": {"name": "c"}, "spec": {}}
    assert (await run(plugin, write(claims, claim)))["spec"] == {"storageClassName": "fast"}
    claim = {"metadata": {"name": "c"}, "spec": {"storageClassName": ""}}
    assert (await run(plugin, write(claims, claim)))["spec"] == {"storageClassName": ""}


async def test_nobody_grants_what_they_do_not_have(reader: Any) -> None:
    class Parts:
        may: frozenset[str] = frozenset()

        def __init__(self) -> None:
            self.reader = reader

        async def authorize(self, attributes: Any) -> Verdict:
            return Verdict(Decision.ALLOW if attributes.verb in self.may else Decision.NO_OPINION)

    parts: Any = Parts()
    plugin = RBACEscalation(parts)
    role = {"metadata": {"name": "r"}, "rules": [rule("get delete", "core", "pods")]}
    with pytest.raises(Forbidden) as refused:
        await run(plugin, write(CLUSTER_ROLES, role))
    assert refused.value.message == (
        'clusterroles.rbac.authorization.k8s.io "r" is forbidden: user "jane" (groups=["devs"]) is attempting to grant '
        'RBAC permissions not currently held:\n{APIGroups:[""], Resources:["pods"], Verbs:["delete" "get"]}'
    )
    reader.put(CLUSTER_ROLES, {"metadata": {"name": "held"}, "rules": [rule("*", "core", "pods")]})
    bindings = Resource("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", False)
    reader.put(bindings, cluster_role_binding("held", "group:devs"))
    await run(plugin, write(CLUSTER_ROLES, role))
    reader.put(CLUSTER_ROLES, {"metadata": {"name": "root"}, "rules": [rule("*", "*", "*")]})
    grab = cluster_role_binding("grab", "user:jane", "root")
    with pytest.raises(Forbidden, match="attempting to grant RBAC permissions not currently held"):
        await run(plugin, write(bindings, grab))
    parts.may = frozenset({"bind"})
    await run(plugin, write(bindings, grab))


def test_every_plugin_has_a_name_of_its_own(reader: Any) -> None:
    parts: Any = SimpleNamespace(reader=reader, config=APIServerConfig())
    names = [plugin.name for build in ADMISSION if (plugin := build(parts)) is not None]
    assert len(set(names)) == len(names) and all(names)


async def test_nobody_asks_for_a_certificate_as_somebody_else() -> None:
    forged = {"username": "system:node:x", "groups": ["system:masters"], "extra": {"k": ["v"]}, "uid": "1"}
    request = {"metadata": {"name": "c"}, "spec": {"signerName": "example.com/s", **forged}}
    obj = await run(CertificateRequestor(), write(CERTIFICATE_SIGNING_REQUESTS, request))
    assert obj["spec"] == {"signerName": "example.com/s", "username": "jane", "groups": ["devs"]}
