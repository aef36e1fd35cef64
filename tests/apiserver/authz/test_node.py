"""The Node authoriser: what a kubelet may read and write."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.api.resources import PERSISTENT_VOLUMES, POD_CERTIFICATE_REQUESTS, PODS, VOLUME_ATTACHMENTS
from sampan.apimachinery.http import UserInfo
from sampan.apimachinery.selectors import parse_fields
from sampan.apiserver.authz.node import Node
from sampan.apiserver.seams import Attributes, Decision

NODE = UserInfo("system:node:n1", groups=("system:nodes",))

UNRELATED = "no relationship found between node 'n1' and this object"

POD = {
    "metadata": {"name": "web", "namespace": "ns"},
    "spec": {
        "nodeName": "n1", "serviceAccountName": "bot", "imagePullSecrets": [{"name": "pull"}],
        "containers": [{
            "envFrom": [{"configMapRef": {"name": "from"}}],
            "env": [{"valueFrom": {"secretKeyRef": {"name": "env"}}}],
        }],
        "volumes": [
            {"secret": {"secretName": "vol"}}, {"persistentVolumeClaim": {"claimName": "claim"}},
            {"projected": {"sources": [{"configMap": {"name": "root"}}]}},
        ],
    },
}


def asks(verb: str, resource: str, name: str = "", namespace: str = "ns", **more: Any) -> Attributes:
    plural, _, subresource = resource.partition("/")
    return Attributes(NODE, verb, resource=plural, subresource=subresource, namespace=namespace, name=name, **more)


@pytest.mark.parametrize(("question", "allowed"), [
    (asks("get", "secrets", "pull"), True),
    (asks("get", "secrets", "env"), True),
    (asks("watch", "secrets", "vol"), True),
    (asks("get", "secrets", "other"), False),
    (asks("get", "secrets", "vol", "elsewhere"), False),
    (asks("list", "secrets"), False),
    (asks("update", "secrets", "vol"), False),
    (asks("get", "configmaps", "from"), True),
    (asks("get", "configmaps", "root"), True),
    (asks("get", "persistentvolumeclaims", "claim"), True),
    (asks("list", "persistentvolumeclaims", "claim"), False),
    (asks("get", "persistentvolumes", "pv", ""), True),
    (asks("get", "persistentvolumes", "other", ""), False),
    (asks("create", "serviceaccounts/token", "bot"), True),
    (asks("create", "serviceaccounts/token", "default"), False),
    (asks("get", "pods", "web"), True),
    (asks("get", "pods", "other"), False),
    (asks("list", "pods", "", "", fields=parse_fields("spec.nodeName=n1").requirements), True),
    (asks("watch", "pods", "", "", fields=parse_fields("spec.nodeName=n2").requirements), False),
    (asks("list", "pods", "", ""), False),
    (asks("patch", "pods/status", "web"), True),
    (asks("create", "pods/exec", "web"), False),
    (asks("get", "nodes", "n1", ""), True),
    (asks("get", "nodes", "n2", ""), False),
    (asks("list", "nodes", "", ""), False),
    (asks("patch", "nodes/status", "n1", ""), True),
    (asks("update", "leases", "n1", "kube-node-lease", group="coordination.k8s.io"), True),
    (asks("update", "leases", "n2", "kube-node-lease", group="coordination.k8s.io"), False),
    (asks("create", "leases", "", "kube-node-lease", group="coordination.k8s.io"), True),
    (asks("update", "leases", "n1", "kube-system", group="coordination.k8s.io"), False),
    (asks("list", "services", "", ""), True),
    (asks("create", "deployments", group="apps"), False),
])
async def test_what_a_node_may_do(reader: Any, question: Attributes, allowed: bool) -> None:
    reader.put(PODS, POD)
    reader.put(PERSISTENT_VOLUMES, {
        "metadata": {"name": "pv"}, "spec": {"claimRef": {"namespace": "ns", "name": "claim"}},
    })
    verdict = await Node(reader).authorize(question)
    assert verdict.decision is (Decision.ALLOW if allowed else Decision.NO_OPINION), verdict.reason


STORAGE, CERTIFICATES = "storage.k8s.io", "certificates.k8s.io"


@pytest.mark.parametrize(("question", "reason"), [
    (asks("get", "volumeattachments", "mine", "", group=STORAGE), ""),
    (asks("get", "volumeattachments", "theirs", "", group=STORAGE), UNRELATED),
    (asks("list", "volumeattachments", "", "", group=STORAGE), "can only get individual resources of this type"),
    (asks("get", "volumeattachments/status", "mine", "", group=STORAGE), "cannot get subresource"),
    (asks("get", "podcertificaterequests", "mine", group=CERTIFICATES), ""),
    (asks("get", "podcertificaterequests", "theirs", group=CERTIFICATES),
     UNRELATED),
    (asks("list", "podcertificaterequests", group=CERTIFICATES,
          fields=parse_fields("spec.nodeName=n1").requirements), ""),
    (asks("list", "podcertificaterequests", group=CERTIFICATES),
     "can only list/watch podcertificaterequests with spec.nodeName field selector"),
    (asks("get", "serviceaccounts", "bot"), ""),
    (asks("get", "serviceaccounts", "default"), UNRELATED),
    (asks("list", "serviceaccounts"), "can only create tokens for individual service accounts"),
    (asks("update", "persistentvolumeclaims/status", "claim"), ""),
    (asks("get", "persistentvolumeclaims/status", "claim"), "can only get/update/patch this type"),
    (asks("update", "persistentvolumeclaims/status", "other"), UNRELATED),
    (asks("get", "secrets", "node"), ""),
    (asks("get", "secrets", "iscsi", "elsewhere"), ""),
    (asks("get", "secrets", "controller"), UNRELATED),
    (asks("get", "resourceclaims", "extended", group="resource.k8s.io"), ""),
    (asks("get", "csinodes/status", "n1", "", group=STORAGE), "cannot authorize CSINode subresources"),
])
async def test_what_a_node_may_do_with_what_is_about_it(reader: Any, question: Attributes, reason: str) -> None:
    reader.put(PODS, {**POD, "status": {"extendedResourceClaimStatus": {"resourceClaimName": "extended"}}})
    for name, source in {
        "csi": {"csi": {"nodeStageSecretRef": {"name": "node"}, "controllerExpandSecretRef": {"name": "controller"}}},
        "iscsi": {"iscsi": {"secretRef": {"name": "iscsi", "namespace": "elsewhere"}}},
    }.items():
        claim = {"namespace": "ns", "name": "claim"}
        reader.put(PERSISTENT_VOLUMES, {"metadata": {"name": name}, "spec": {"claimRef": claim, **source}})
    for name, node in (("mine", "n1"), ("theirs", "n2")):
        reader.put(VOLUME_ATTACHMENTS, {"metadata": {"name": name}, "spec": {"nodeName": node}})
        reader.put(POD_CERTIFICATE_REQUESTS, {
            "metadata": {"name": name, "namespace": "ns"}, "spec": {"nodeName": node},
        })
    verdict = await Node(reader).authorize(question)
    assert (verdict.allowed, verdict.reason) == (not reason, reason)


async def test_access_ends_with_the_pod(reader: Any) -> None:
    node = Node(reader)
    reader.put(PODS, POD)
    assert (await node.authorize(asks("get", "secrets", "vol"))).allowed
    reader.remove(PODS, "web", "ns")
    verdict = await node.authorize(asks("get", "secrets", "vol"))
    assert not verdict.allowed
    assert verdict.reason == UNRELATED


async def test_a_mirror_pod_opens_nothing(reader: Any) -> None:
    metadata = {**POD["metadata"], "annotations": {"kubernetes.io/config.mirror": "x"}}
    reader.put(PODS, {**POD, "metadata": metadata})
    assert not (await Node(reader).authorize(asks("get", "secrets", "vol"))).allowed


async def test_no_opinion_of_anybody_else(reader: Any) -> None:
    reader.put(PODS, POD)
    for user in (UserInfo("system:node:n1"), UserInfo("jane", groups=("system:nodes",))):
        attributes = Attributes(user, "get", resource="secrets", namespace="ns", name="vol")
        assert not (await Node(reader).authorize(attributes)).allowed
