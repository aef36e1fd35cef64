"""What `kubectl get` shows: the columns of every kind, and what stands in their cells, as upstream prints them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sampan.api.column_texts import text_of
from sampan.api.kind import Kind
from sampan.api.kinds import KINDS
from sampan.apimachinery.schema.loader import descriptions

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
MADE = "2026-03-01T11:55:00Z"  # AGE is 5m
FACTS = Path(__file__).with_name("table_columns.txt")
NAME = "Name | string | name | 0 | #meta.v1.ObjectMeta.name"
AGE = "Age | string | - | 0 | #meta.v1.ObjectMeta.creationTimestamp"
WIDE = [
    "Containers | string | - | 1 | Names of each container in the template.",
    "Images | string | - | 1 | Images referenced by each container in the template.",
]
OWN = {"podcertificaterequests", "podgroups", "workloads"}
"""Kinds whose printers are newer than what could be read."""


def facts() -> Iterator[tuple[str, list[str]]]:
    """(group/plural, its lines); a kind whose lines begin with `!` does not begin with Name."""
    text = "\n".join(line for line in FACTS.read_text().splitlines() if not line.startswith("#"))
    for block in filter(None, text.split("\n\n")):
        head, *lines = block.strip().splitlines()
        full = [NAME] if not lines[0].startswith("!") else []
        for line in lines:
            full += WIDE if line == "*Wide" else [AGE if line == "Age" else line.removeprefix("!")]
        yield head, full


def column_lines(kind: Kind) -> list[str]:
    return [
        f"{one.name} | {one.type} | {one.format or '-'} | {one.priority} | {text_of(one)}" for one in kind.columns
    ]


def with_prose(line: str, prose: Any) -> str:
    start, _, about = line.rpartition(" | ")
    if not about.startswith("#"):
        return line
    type_name, _, field = about[1:].rpartition(".")
    package = "io.k8s.apimachinery.pkg.apis" if type_name.startswith("meta.") else "io.k8s.api"
    return f"{start} | {prose.raw(f'{package}.{type_name}')[field]}"


def test_the_columns_of_every_kind() -> None:
    wanted = dict(facts())
    prose = descriptions()
    for kind in KINDS:
        if kind.resource.plural in OWN:
            continue
        name = f"{kind.resource.group or 'core'}/{kind.resource.plural}"
        if name == "events.k8s.io/events":
            name = "core/events"
        assert column_lines(kind) == [with_prose(line, prose) for line in wanted[name]], name


def kind_of(plural: str, version: str = "") -> Kind:
    return next(
        one for one in KINDS if one.resource.plural == plural and (not version or one.resource.version == version)
    )


def cells(plural: str, obj: dict[str, Any]) -> list[Any]:
    """The row of an object, without its name and age."""
    metadata = {"name": "x", "creationTimestamp": MADE, **obj.get("metadata", {})}
    kind = kind_of(plural)
    row = {one.name: one.cell({**obj, "metadata": metadata}, NOW) for one in kind.columns}
    assert row.pop("Age", "5m") == "5m"
    if plural not in ("storageclasses", "volumeattributesclasses"):
        assert row.pop("Name") == "x"
    return list(row.values())


def container(name: str, state: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"name": name, "ready": False, "restartCount": 0, "state": state or {}, **more}


def ended(code: int = 0, reason: str = "", **more: Any) -> dict[str, Any]:
    return {"terminated": {"exitCode": code, **({"reason": reason} if reason else {}), **more}}


RUNNING, WAITING = {"running": {"startedAt": MADE}}, {"waiting": {"reason": "ImagePullBackOff"}}


def pod(
    phase: str, *statuses: dict[str, Any], init: list[dict[str, Any]] | None = None, inits: int = 0,
    sidecars: tuple[str, ...] = (), conditions: dict[str, str] | None = None, **status: Any,
) -> dict[str, Any]:
    initial = [{"name": f"i{number}"} for number in range(inits)]
    initial += [{"name": name, "restartPolicy": "Always"} for name in sidecars]
    return {
        "spec": {
            "containers": [{"name": one["name"]} for one in statuses] or [{"name": "c"}], "initContainers": initial,
        },
        "status": {
            "phase": phase, "containerStatuses": list(statuses), "initContainerStatuses": init or [],
            "conditions": [{"type": key, "status": value} for key, value in (conditions or {}).items()], **status,
        },
    }


GATED = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}
DELETED = {"deletionTimestamp": MADE}


@pytest.mark.parametrize(("obj", "ready", "status", "restarts"), [
    (pod("Pending"), "0/1", "Pending", "0"),
    (pod("Pending", reason="Evicted"), "0/1", "Evicted", "0"),
    (pod("Running", container("c", RUNNING, ready=True)), "1/1", "Running", "0"),
    (pod("Running", container("c", RUNNING)), "0/1", "Running", "0"),
    (pod("Running", container("a", RUNNING, ready=True), container("b", WAITING)), "1/2", "ImagePullBackOff", "0"),
    (pod("Running", container("a", WAITING), container("b", ended(1, "Error"))), "0/2", "ImagePullBackOff", "0"),
    (pod("Failed", container("c", ended(3))), "0/1", "ExitCode:3", "0"),
    (pod("Failed", container("c", ended(137, signal=9))), "0/1", "Signal:9", "0"),
    (pod("Failed", container("c", ended(137, "OOMKilled"))), "0/1", "OOMKilled", "0"),
    (pod("Succeeded", container("c", ended(0, "Completed"))), "0/1", "Completed", "0"),
    (pod("Running", container("a", ended(0, "Completed")), container("b", RUNNING, ready=True),
         conditions={"Ready": "True"}), "1/2", "Running", "0"),
    (pod("Running", container("a", ended(0, "Completed")), container("b", RUNNING, ready=True),
         conditions={"Ready": "False"}), "1/2", "NotReady", "0"),
    (pod("Running", container("c", RUNNING, ready=True, restartCount=3)), "1/1", "Running", "3"),
    (pod("Running", container("c", RUNNING, ready=True, restartCount=3,
                              lastState=ended(1, finishedAt="2026-03-01T11:58:00Z"))), "1/1", "Running", "3 (2m ago)"),
    (pod("Pending", container("c"), init=[container("i0", RUNNING)], inits=2), "0/1", "Init:0/2", "0"),
    (pod("Pending", container("c"), init=[container("i0", ended()), container("i1", RUNNING)], inits=2),
     "0/1", "Init:1/2", "0"),
    (pod("Pending", container("c"), init=[container("i0", ended(2), restartCount=4)], inits=1),
     "0/1", "Init:ExitCode:2", "4"),
    (pod("Pending", container("c"), init=[container("i0", ended(2, signal=15))], inits=1),
     "0/1", "Init:Signal:15", "0"),
    (pod("Pending", container("c"), init=[container("i0", ended(2, "Error"))], inits=1), "0/1", "Init:Error", "0"),
    (pod("Pending", container("c"), init=[container("i0", WAITING)], inits=1), "0/1", "Init:ImagePullBackOff", "0"),
    (pod("Pending", container("c"), init=[container("i0", {"waiting": {"reason": "PodInitializing"}})], inits=1),
     "0/1", "Init:0/1", "0"),
    (pod("Running", container("c", RUNNING, ready=True), init=[container("i0", ended(), restartCount=5)], inits=1,
         conditions={"Initialized": "True"}), "1/1", "Running", "0"),
    (pod("Running", container("c", RUNNING, ready=True), sidecars=("s",),
         init=[container("s", RUNNING, ready=True, started=True, restartCount=2)]), "2/2", "Running", "2"),
    (pod("Running", container("c", RUNNING, ready=True), sidecars=("s",), conditions={"Initialized": "True"},
         init=[container("s", WAITING, restartCount=1)]), "1/2", "Init:ImagePullBackOff", "1"),
    (pod("Pending", conditions={}) | {"status": {"phase": "Pending", "conditions": [GATED]}}, "0/1",
     "SchedulingGated", "0"),
    ({**pod("Running", container("c", RUNNING, ready=True)), "metadata": DELETED}, "1/1", "Terminating", "0"),
    ({**pod("Running", container("c", RUNNING), reason="NodeLost"), "metadata": DELETED}, "0/1", "Unknown", "0"),
    ({**pod("Failed", container("c", ended(1, "Error"))), "metadata": DELETED}, "0/1", "Error", "0"),
    ({**pod("Succeeded", container("c", ended(0, "Completed"))), "metadata": DELETED}, "0/1", "Completed", "0"),
])
def test_pods(obj: dict[str, Any], ready: str, status: str, restarts: str) -> None:
    assert cells("pods", obj)[:3] == [ready, status, restarts]


def test_the_wide_cells_of_pods() -> None:
    assert cells("pods", pod("Pending"))[3:] == ["<none>"] * 4
    full = pod("Running", conditions={"a": "True", "b": "False"}, podIPs=[{"ip": "10.1.0.1"}, {"ip": "fd00::1"}],
               nominatedNodeName="n2")
    full["spec"] |= {"nodeName": "n1", "readinessGates": [{"conditionType": one} for one in "abc"]}
    assert cells("pods", full)[3:] == ["10.1.0.1", "n1", "n2", "1/3"]


def test_a_row_says_that_its_pod_has_ended() -> None:
    conditions = kind_of("pods").row_conditions
    assert conditions is not None
    assert conditions(pod("Running")) == []
    assert conditions(pod("Succeeded")) == [{
        "type": "Completed", "status": "True", "reason": "Succeeded", "message": "The pod has completed successfully.",
    }]
    assert conditions(pod("Failed"))[0]["message"] == "The pod failed."


def job(**status: Any) -> dict[str, Any]:
    conditions = [{"type": one, "status": "True"} for one in status.pop("true", ())]
    return {
        "spec": {"completions": 3, "template": {"spec": {"containers": [{"name": "a", "image": "i"}]}}, "selector": {
            "matchLabels": {"j": "1"}}},
        "status": {"conditions": conditions, **status},
    }


def metric(kind: str, source: str, target: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": kind, source: {"target": target, **more}}


def current(source: str, **values: Any) -> dict[str, Any]:
    return {source: {"current": values}}


def hpa(*metrics: dict[str, Any], now: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "maxReplicas": 9, "metrics": list(metrics)},
        "status": {"currentReplicas": 4, "currentMetrics": now or []},
    }


CPU = metric("Resource", "resource", {"averageUtilization": 80}, name="cpu")
TEMPLATE = {"spec": {"containers": [{"name": "a", "image": "i1"}, {"name": "b", "image": "i2"}]}}
SELECTOR = {"matchLabels": {"b": "2", "a": "1"}, "matchExpressions": [{"key": "c", "operator": "Exists"}]}
SHOWN = "a=1,b=2,c"

CASES: list[tuple[str, dict[str, Any], list[Any]]] = [
    ("configmaps", {"data": {"a": "", "b": ""}, "binaryData": {"c": ""}}, [3]),
    ("secrets", {"type": "Opaque", "data": {"a": ""}}, ["Opaque", 1]),
    ("serviceaccounts", {"secrets": [{"name": "s"}]}, []),
    ("namespaces", {"status": {"phase": "Terminating"}}, ["Terminating"]),
    ("endpoints", {}, ["<none>"]),
    ("endpoints", {"subsets": [{"addresses": [{"ip": "1.1.1.1"}, {"ip": "1.1.1.2"}], "ports": [{"port": 80}, {
        "port": 443}]}]}, ["1.1.1.1:80,1.1.1.2:80,1.1.1.1:443 + 1 more..."]),
    ("endpoints", {"subsets": [{"addresses": [{"ip": "fd00::1"}], "ports": [{"port": 80}]}]}, ["[fd00::1]:80"]),
    ("endpoints", {"subsets": [{"addresses": [{"ip": "1.1.1.1"}]}]}, ["1.1.1.1"]),
    ("endpointslices", {"addressType": "IPv4"}, ["IPv4", "<unset>", "<unset>"]),
    ("endpointslices", {"addressType": "IPv4", "ports": [{"port": 80}, {"name": "x"}, {}, {"port": 1}],
                        "endpoints": [{"addresses": ["1.1.1.1", "1.1.1.2"]}, {"addresses": ["1.1.1.3", "1.1.1.4"]}]},
     ["IPv4", "80,x,* + 1 more...", "1.1.1.1,1.1.1.2,1.1.1.3 + 1 more..."]),
    ("nodes", {}, ["Unknown", "<none>", "", "<none>", "<none>", "<unknown>", "<unknown>", "<unknown>"]),
    ("nodes", {
        "metadata": {"labels": {"node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/control-plane": "",
                                "kubernetes.io/role": "edge", "node-role.kubernetes.io/": ""}},
        "spec": {"unschedulable": True},
        "status": {"conditions": [{"type": "Ready", "status": "Unknown"}],
                   "addresses": [{"type": "Hostname", "address": "h"}, {"type": "InternalIP", "address": "1.1.1.1"}],
                   "nodeInfo": {"kubeletVersion": "v1.37.0", "osImage": "D", "kernelVersion": "6",
                                "containerRuntimeVersion": "c://2"}},
    }, ["NotReady,SchedulingDisabled", "control-plane,edge,worker", "v1.37.0", "1.1.1.1", "<none>", "D", "6", "c://2"]),
    ("persistentvolumes", {"spec": {
        "capacity": {"storage": "4Gi"}, "accessModes": ["ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"],
        "persistentVolumeReclaimPolicy": "Retain", "claimRef": {"namespace": "ns", "name": "c"},
    }, "status": {"phase": "Bound"}},
     ["4Gi", "RWO,RWX,RWOP", "Retain", "Bound", "ns/c", "", "<unset>", "", "<unset>"]),
    ("persistentvolumes", {
        "metadata": {**DELETED, "annotations": {"volume.beta.kubernetes.io/storage-class": "old"}},
        "spec": {"storageClassName": "new", "volumeMode": "Block", "volumeAttributesClassName": "gold"},
        "status": {"phase": "Released", "reason": "why"},
    }, ["0", "", "", "Terminating", "", "old", "gold", "why", "Block"]),
    ("persistentvolumeclaims", {"spec": {"resources": {"requests": {"storage": "1Gi"}}},
                                "status": {"phase": "Pending"}},
     ["Pending", "", "", "", "", "<unset>", "<unset>"]),
    ("persistentvolumeclaims", {
        "spec": {"volumeName": "v", "storageClassName": "fast", "volumeMode": "Filesystem",
                 "volumeAttributesClassName": "gold"},
        "status": {"phase": "Bound", "capacity": {"storage": "2Gi"}, "accessModes": ["ReadOnlyMany"]},
    }, ["Bound", "v", "2Gi", "ROX", "fast", "gold", "Filesystem"]),
    ("persistentvolumeclaims", {"metadata": DELETED, "spec": {"volumeName": "v"}, "status": {"phase": "Lost"}},
     ["Terminating", "v", "0", "", "", "<unset>", "<unset>"]),
    ("podtemplates", {"template": {**TEMPLATE, "metadata": {"labels": {"b": "2", "a": "1"}}}},
     ["a,b", "i1,i2", "a=1,b=2"]),
    ("replicationcontrollers", {"spec": {"replicas": 3, "selector": {"b": "2", "a": "1"}, "template": TEMPLATE},
                                "status": {"replicas": 2, "readyReplicas": 1}}, [3, 2, 1, "a,b", "i1,i2", "a=1,b=2"]),
    ("replicasets", {"spec": {"replicas": 3, "selector": SELECTOR, "template": TEMPLATE}, "status": {"replicas": 2}},
     [3, 2, 0, "a,b", "i1,i2", SHOWN]),
    ("deployments", {"spec": {"replicas": 3, "selector": SELECTOR, "template": TEMPLATE},
                     "status": {"readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1}},
     ["1/3", 2, 1, "a,b", "i1,i2", SHOWN]),
    ("statefulsets", {"spec": {"replicas": 3, "template": TEMPLATE}}, ["0/3", "a,b", "i1,i2"]),
    ("daemonsets", {"spec": {"selector": SELECTOR, "template": TEMPLATE}, "status": {
        "desiredNumberScheduled": 5, "currentNumberScheduled": 4, "numberReady": 3, "updatedNumberScheduled": 2,
        "numberAvailable": 1}}, [5, 4, 3, 2, 1, "<none>", "a,b", "i1,i2", SHOWN]),
    ("controllerrevisions", {"revision": 7}, ["<none>", 7]),
    ("controllerrevisions", {"metadata": {"ownerReferences": [{
        "controller": True, "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db"}]}, "revision": 7},
     ["statefulset.apps/db", 7]),
    ("resourcequotas", {"status": {
        "hard": {"pods": "3", "limits.cpu": "2", "requests.cpu": "1", "limits": "9"}, "used": {"pods": "1"}}},
     ["limits: 0/9, pods: 1/3, requests.cpu: 0/1", "limits.cpu: 0/2"]),
    ("services", {"spec": {"type": "ClusterIP", "clusterIPs": ["10.0.0.1"], "ports": [
        {"port": 80, "protocol": "TCP"}, {"port": 53, "protocol": "UDP", "nodePort": 30053}]}},
     ["ClusterIP", "10.0.0.1", "<none>", "80/TCP,53:30053/UDP", "<none>"]),
    ("services", {"spec": {"type": "LoadBalancer", "clusterIPs": ["10.0.0.1"], "selector": {"a": "1"}}},
     ["LoadBalancer", "10.0.0.1", "<pending>", "<none>", "a=1"]),
    ("services", {"spec": {"type": "LoadBalancer", "externalIPs": ["9.9.9.9"]}, "status": {"loadBalancer": {"ingress": [
        {"hostname": "z.example.with.a.long.name.example.com"}, {"ip": "8.8.8.8"}]}}},
     ["LoadBalancer", "<none>", "8.8.8.8,z.example.with.a.long.name.example.com,9.9.9.9", "<none>", "<none>"]),
    ("services", {"spec": {"type": "ExternalName", "externalName": "example.com"}},
     ["ExternalName", "<none>", "example.com", "<none>", "<none>"]),
    ("services", {"spec": {"type": "NodePort", "externalIPs": ["9.9.9.9"], "clusterIPs": ["None"]}},
     ["NodePort", "None", "9.9.9.9", "<none>", "<none>"]),
    ("ingresses", {}, ["<none>", "*", "", "80"]),
    ("ingresses", {
        "spec": {"ingressClassName": "c", "tls": [{}], "rules": [{"host": one} for one in "abcd"]},
        "status": {"loadBalancer": {"ingress": [{"ip": "2.2.2.2"}, {"ip": "1.1.1.1"}]}},
    }, ["c", "a,b,c + 1 more...", "1.1.1.1,2.2.2.2", "80, 443"]),
    ("ingressclasses", {"spec": {"controller": "c"}}, ["c", "<none>"]),
    ("ingressclasses", {"spec": {"controller": "c", "parameters": {"apiGroup": "g", "kind": "K", "name": "n"}}},
     ["c", "K.g/n"]),
    ("ipaddresses", {"spec": {}}, ["<none>"]),
    ("ipaddresses", {"spec": {"parentRef": {"resource": "services", "namespace": "ns", "name": "s"}}},
     ["services/ns/s"]),
    ("ipaddresses", {"spec": {"parentRef": {"group": "g.io", "resource": "gateways", "name": "s"}}},
     ["gateways.g.io/s"]),
    ("servicecidrs", {"spec": {"cidrs": ["10.0.0.0/8", "fd00::/64"]}}, ["10.0.0.0/8,fd00::/64"]),
    ("networkpolicies", {"spec": {"podSelector": {}}}, ["<none>"]),
    ("networkpolicies", {"spec": {"podSelector": SELECTOR}}, [SHOWN]),
    ("poddisruptionbudgets", {"spec": {"minAvailable": "50%"}, "status": {"disruptionsAllowed": 2}},
     ["50%", "N/A", 2]),
    ("poddisruptionbudgets", {"spec": {"maxUnavailable": 1}}, ["N/A", "1", 0]),
    ("jobs", job(), ["Running", "0/3", "", "a", "i", "j=1"]),
    ("jobs", job(true=["Complete"], succeeded=3, startTime="2026-03-01T11:00:00Z",
                 completionTime="2026-03-01T11:00:42Z"), ["Complete", "3/3", "42s", "a", "i", "j=1"]),
    ("jobs", job(true=["Failed"], startTime="2026-03-01T11:58:00Z"), ["Failed", "0/3", "2m", "a", "i", "j=1"]),
    ("jobs", job(true=["Suspended"]), ["Suspended", "0/3", "", "a", "i", "j=1"]),
    ("jobs", job(true=["FailureTarget"]), ["FailureTarget", "0/3", "", "a", "i", "j=1"]),
    ("jobs", {**job(true=["Suspended"]), "metadata": DELETED}, ["Terminating", "0/3", "", "a", "i", "j=1"]),
    ("jobs", {"spec": {"parallelism": 4}, "status": {"succeeded": 1}}, ["Running", "1/1 of 4", "", "", "", "<none>"]),
    ("jobs", {"spec": {"parallelism": 1}}, ["Running", "0/1", "", "", "", "<none>"]),
    ("cronjobs", {"spec": {"schedule": "* * * * *"}},
     ["* * * * *", "<none>", "<unset>", 0, "<none>", "", "", "<none>"]),
    ("cronjobs", {"spec": {"schedule": "* * * * *", "timeZone": "Asia/Tokyo", "suspend": True},
                  "status": {"active": [{}], "lastScheduleTime": "2026-03-01T11:59:00Z"}},
     ["* * * * *", "Asia/Tokyo", "True", 1, "60s", "", "", "<none>"]),
    ("horizontalpodautoscalers", hpa(), ["Deployment/web", "<none>", "<unset>", 9, 4]),
    ("horizontalpodautoscalers", hpa(CPU), ["Deployment/web", "cpu: <unknown>/80%", "<unset>", 9, 4]),
    ("horizontalpodautoscalers", hpa(CPU, now=[current("resource", averageUtilization=50)]),
     ["Deployment/web", "cpu: 50%/80%", "<unset>", 9, 4]),
    ("horizontalpodautoscalers", hpa(metric("Resource", "resource", {"averageValue": "200Mi"}, name="memory"),
                                     now=[current("resource", averageValue="100Mi")]),
     ["Deployment/web", "memory: 100Mi/200Mi", "<unset>", 9, 4]),
    ("horizontalpodautoscalers", hpa(metric("External", "external", {"averageValue": "5"}),
                                     metric("Object", "object", {"value": "6"}), CPU),
     ["Deployment/web", "<unknown>/5 (avg), <unknown>/6 + 1 more...", "<unset>", 9, 4]),
    ("horizontalpodautoscalers", hpa(metric("Pods", "pods", {"averageValue": "5"}),
                                     now=[current("pods", averageValue="3")]),
     ["Deployment/web", "3/5", "<unset>", 9, 4]),
    ("certificatesigningrequests", {"spec": {"username": "u"}}, ["<none>", "u", "<none>", "Pending"]),
    ("certificatesigningrequests", {
        "spec": {"signerName": "s", "username": "u", "expirationSeconds": 3600},
        "status": {"conditions": [{"type": "Approved"}, {"type": "Failed"}], "certificate": "x"},
    }, ["s", "u", "60m", "Approved,Failed,Issued"]),
    ("certificatesigningrequests", {"spec": {"username": "u"}, "status": {"conditions": [
        {"type": "Denied"}, {"type": "Approved"}]}}, ["<none>", "u", "<none>", "Denied"]),
    ("clustertrustbundles", {"spec": {}}, ["<none>"]),
    ("leases", {"spec": {}}, [""]),
    ("leases", {"spec": {"holderIdentity": "me"}}, ["me"]),
    ("runtimeclasses", {"handler": "runc"}, ["runc"]),
    ("priorityclasses", {"value": 7, "preemptionPolicy": "Never"}, [7, False, "Never"]),
    ("storageclasses", {"provisioner": "p"}, ["x", "p", "Delete", "Immediate", False]),
    ("storageclasses", {
        "metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}, "provisioner": "p",
        "reclaimPolicy": "Retain", "volumeBindingMode": "WaitForFirstConsumer", "allowVolumeExpansion": True,
    }, ["x (default)", "p", "Retain", "WaitForFirstConsumer", True]),
    ("storageclasses", {
        "metadata": {"annotations": {"storageclass.beta.kubernetes.io/is-default-class": "true"}}, "provisioner": "p",
    }, ["x (default)", "p", "Delete", "Immediate", False]),
    ("volumeattributesclasses", {"driverName": "d"}, ["x", "d"]),
    ("volumeattachments", {"spec": {"attacher": "a", "nodeName": "n", "source": {"persistentVolumeName": "v"}}},
     ["a", "v", "n", False]),
    ("volumeattachments", {"spec": {"attacher": "a", "nodeName": "n", "source": {}}, "status": {"attached": True}},
     ["a", "", "n", True]),
    ("csidrivers", {"spec": {}}, [True, False, False, "<unset>", False, "<none>"]),
    ("csidrivers", {"spec": {
        "attachRequired": False, "podInfoOnMount": True, "storageCapacity": True, "requiresRepublish": True,
        "tokenRequests": [{"audience": "a"}, {"audience": "b"}], "volumeLifecycleModes": ["Persistent", "Ephemeral"],
    }}, [False, True, True, "a,b", True, "Persistent,Ephemeral"]),
    ("csinodes", {"spec": {"drivers": [{}, {}]}}, [2]),
    ("csistoragecapacities", {"storageClassName": "s"}, ["s", "<unset>"]),
    ("csistoragecapacities", {"storageClassName": "s", "capacity": "1Gi"}, ["s", "1Gi"]),
    ("mutatingwebhookconfigurations", {"webhooks": [{}, {}]}, [2]),
    ("validatingwebhookconfigurations", {}, [0]),
    ("validatingadmissionpolicies", {"spec": {"validations": [{}]}}, [1, "<unset>"]),
    ("mutatingadmissionpolicies", {"spec": {"mutations": [{}], "paramKind": {"apiVersion": "g/v1", "kind": "K"}}},
     [1, "g/v1/K"]),
    ("validatingadmissionpolicybindings", {"spec": {"policyName": "p"}}, ["p", "<unset>"]),
    ("validatingadmissionpolicybindings", {"spec": {"policyName": "p", "paramRef": {"name": "n"}}}, ["p", "*/n"]),
    ("validatingadmissionpolicybindings", {"spec": {"policyName": "p", "paramRef": {"name": "n", "namespace": "ns"}}},
     ["p", "ns/n"]),
    ("mutatingadmissionpolicybindings", {"spec": {"policyName": "p", "paramRef": {"selector": {
        "matchLabels": {"a": "1"}, "matchExpressions": [{"key": "k", "operator": "In", "values": ["v", "w"]}]}}}},
     ["p", "&LabelSelector{MatchLabels:map[string]string{a: 1,},MatchExpressions:[]LabelSelectorRequirement{"
           "LabelSelectorRequirement{Key:k,Operator:In,Values:[v w],},},}"]),
    ("flowschemas", {"spec": {"priorityLevelConfiguration": {"name": "l"}, "matchingPrecedence": 9}},
     ["l", 9, "<none>", "?"]),
    ("flowschemas", {"spec": {"priorityLevelConfiguration": {"name": "l"}, "matchingPrecedence": 9,
                              "distinguisherMethod": {"type": "ByUser"}},
                     "status": {"conditions": [{"type": "Dangling", "status": "True"}]}}, ["l", 9, "ByUser", "True"]),
    ("prioritylevelconfigurations", {"spec": {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 5}}},
     ["Exempt", "<none>", "<none>", "<none>", "<none>"]),
    ("prioritylevelconfigurations", {"spec": {"type": "Limited", "limited": {
        "nominalConcurrencyShares": 5, "limitResponse": {"type": "Reject"}}}},
     ["Limited", 5, "<none>", "<none>", "<none>"]),
    ("prioritylevelconfigurations", {"spec": {"type": "Limited", "limited": {
        "nominalConcurrencyShares": 5,
        "limitResponse": {"type": "Queue", "queuing": {"queues": 1, "handSize": 2, "queueLengthLimit": 3}}}}},
     ["Limited", 5, 1, 2, 3]),
    ("resourceclaims", {}, ["pending"]),
    ("resourceclaims", {"metadata": DELETED}, ["deleted"]),
    ("resourceclaims", {"metadata": DELETED, "status": {"allocation": {}}}, ["deleted,allocated"]),
    ("resourceclaims", {"status": {"allocation": {}, "reservedFor": [{}]}}, ["allocated,reserved"]),
    ("resourceslices", {"spec": {"driver": "d", "pool": {"name": "p"}}}, ["", "d", "p"]),
    ("storageversionmigrations", {"spec": {"resource": {"group": "apps", "resource": "deployments"}}},
     ["deployments.apps"]),
    ("clusterroles", {}, [MADE]),
    ("rolebindings", {
        "roleRef": {"kind": "Role", "name": "r"},
        "subjects": [{"kind": "User", "name": "u1"}, {"kind": "User", "name": "u2"}, {"kind": "Group", "name": "g"},
                     {"kind": "ServiceAccount", "namespace": "ns", "name": "s"}],
    }, ["Role/r", "u1, u2", "g", "ns/s"]),
]


@pytest.mark.parametrize(("plural", "obj", "wanted"), CASES)
def test_what_stands_in_a_row(plural: str, obj: dict[str, Any], wanted: list[Any]) -> None:
    assert cells(plural, obj) == wanted


EVENT = {
    "metadata": {"namespace": "ns"}, "type": "Normal", "reason": "R", "message": " did it\n",
    "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec.containers{a}"},
}


@pytest.mark.parametrize(("more", "wanted"), [
    ({"firstTimestamp": "2026-03-01T11:50:00Z", "lastTimestamp": "2026-03-01T11:59:00Z", "count": 3,
      "source": {"component": "kubelet", "host": "n1"}},
     ["60s", "Normal", "R", "pod/p", "spec.containers{a}", "kubelet, n1", "did it", "10m", 3]),
    ({"eventTime": "2026-03-01T11:50:00.000000Z", "reportingComponent": "c", "reportingInstance": "i"},
     ["10m", "Normal", "R", "pod/p", "spec.containers{a}", "c, i", "did it", "10m", 1]),
    ({"eventTime": "2026-03-01T11:50:00.000000Z", "source": {"component": "c"},
      "series": {"count": 5, "lastObservedTime": "2026-03-01T11:58:00.000000Z"}},
     ["2m", "Normal", "R", "pod/p", "spec.containers{a}", "c", "did it", "10m", 5]),
    ({"involvedObject": {"kind": "Node"}},
     ["<unknown>", "Normal", "R", "node", "", "", "did it", "<unknown>", 1]),
])
def test_events(more: dict[str, Any], wanted: list[Any]) -> None:
    assert cells("events", {**EVENT, **more}) == wanted


def test_both_versions_of_an_autoscaler_show_the_same() -> None:
    older, newer = kind_of("horizontalpodautoscalers", "v1"), kind_of("horizontalpodautoscalers", "v2")
    stored = {"metadata": {"name": "x", "creationTimestamp": MADE}, **hpa(CPU)}
    assert older.from_storage is not None
    shown = older.from_storage(stored)
    assert [one.cell(shown, NOW) for one in older.columns] == [one.cell(stored, NOW) for one in newer.columns]
