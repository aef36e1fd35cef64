"""What an object counts for in a quota, limit by limit."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from sampan.api.core.quota_scopes import in_scope
from sampan.api.core.quota_usage import counts_for, missing, usage_of
from sampan.api.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    RESOURCE_CLAIMS,
    SERVICES,
)
from sampan.apimachinery.object import Object
from sampan.apimachinery.resource import Resource

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ONE_POD = {"count/pods": "1", "pods": "1"}
HIGH = {"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}


def usage(resource: Resource, obj: Object) -> dict[str, str]:
    return {name: str(amount) for name, amount in usage_of(resource, obj, NOW).items()}


def container(name: str = "c", limits: Object | None = None, **requests: str) -> Object:
    """Names of resources with a dot for a dash and two for a slash."""
    asked = {key.replace("__", "/").replace("_", "-"): value for key, value in requests.items()}
    return {"name": name, "resources": {"requests": asked, **({"limits": limits} if limits else {})}}


def pod(*containers: Object, inits: list[Object] | None = None, status: Object | None = None, **spec: Any) -> Object:
    return {
        "metadata": {"name": "p"}, "status": status or {},
        "spec": {"containers": list(containers), "initContainers": inits or [], **spec},
    }


BOTH = container(cpu="1m", limits={"cpu": "2m"})
BOTH_USED = {"cpu": "1m", "requests.cpu": "1m", "limits.cpu": "2m"}
STORAGE = container(ephemeral_storage="32Mi", limits={"ephemeral-storage": "64Mi"})
STORAGE_USED = {
    "ephemeral-storage": "32Mi", "requests.ephemeral-storage": "32Mi", "limits.ephemeral-storage": "64Mi",
}
DONGLES = {"example.com/dongle": "3"}
DONGLE = {"name": "c", "resources": {"requests": DONGLES, "limits": DONGLES}}
IMPLICIT = {"name": "c", "resources": {"requests": {"deviceclass.resource.kubernetes.io/dongle": "3"}}}
NATIVE = {"name": "c", "resources": {"requests": {"kubernetes.io/thing": "3"}}}


@pytest.mark.parametrize("where", ["containers", "initContainers"])
@pytest.mark.parametrize(("one", "used"), [
    (BOTH, BOTH_USED),
    (container(memory="1m", limits={"memory": "2m"}), {"memory": "1m", "requests.memory": "1m", "limits.memory": "2m"}),
    (STORAGE, STORAGE_USED),
    (container(hugepages_2Mi="100Mi"), {"hugepages-2Mi": "100Mi", "requests.hugepages-2Mi": "100Mi"}),
    (DONGLE, {"requests.example.com/dongle": "3"}),
    (IMPLICIT, {"requests.deviceclass.resource.kubernetes.io/dongle": "3"}),
    (NATIVE, {}),
])
def test_what_a_container_asks_for_is_used(where: str, one: Object, used: dict[str, str]) -> None:
    found = pod(inits=[one]) if where == "initContainers" else pod(one)
    assert usage(PODS, found) == ONE_POD | used


def test_an_init_container_counts_where_it_asks_for_more_than_all_others_together() -> None:
    first = container("i1", cpu="4", memory="100M", limits={"cpu": "8", "memory": "200M"})
    second = container("i2", cpu="1", memory="50M", limits={"cpu": "2", "memory": "100M"})
    containers = [
        container("c1", cpu="1", memory="50M", limits={"cpu": "2", "memory": "100M"}),
        container("c2", cpu="2", memory="25M", limits={"cpu": "5", "memory": "50M"}),
    ]
    assert usage(PODS, pod(*containers, inits=[first, second])) == ONE_POD | {
        "cpu": "4", "requests.cpu": "4", "limits.cpu": "8",
        "memory": "100M", "requests.memory": "100M", "limits.memory": "200M",
    }


def test_the_overhead_of_a_runtime_comes_on_top() -> None:
    found = pod(container(cpu="1", limits={"cpu": "2"}), overhead={"cpu": "1"})
    assert usage(PODS, found) == ONE_POD | {"cpu": "2", "requests.cpu": "2", "limits.cpu": "3"}


def test_what_a_pod_states_as_a_whole_comes_before_its_containers() -> None:
    own = {"requests": {"memory": "1Mi"}, "limits": {"memory": "2Mi"}}
    assert usage(PODS, pod(STORAGE, resources=own)) == ONE_POD | STORAGE_USED | {
        "memory": "1Mi", "requests.memory": "1Mi", "limits.memory": "2Mi",
    }


@pytest.mark.parametrize(("fields", "used"), [
    ({"status": {"phase": "Succeeded"}}, {"count/pods": "1"}),
    ({"status": {"phase": "Failed"}}, {"count/pods": "1"}),
    ({"metadata": {"deletionTimestamp": "2026-01-02T03:03:05Z", "deletionGracePeriodSeconds": 30}},
     {"count/pods": "1"}),
    ({"metadata": {"deletionTimestamp": "2026-01-02T03:04:05Z", "deletionGracePeriodSeconds": 30}},
     ONE_POD | BOTH_USED),
])
def test_a_pod_that_ended_or_should_have_is_an_object_that_uses_nothing(fields: Object, used: dict[str, str]) -> None:
    assert usage(PODS, pod(BOTH) | fields) == used


@pytest.mark.parametrize(("reported", "conditions", "requests", "limits"), [
    (None, [], "100m", "200m"),
    ({}, [], "100m", "200m"),
    ({"resources": {"requests": {"cpu": "50m"}}}, [], "100m", "200m"),
    ({"resources": {"requests": {"cpu": "150m"}}}, [], "150m", "200m"),
    ({"resources": {"requests": {"cpu": "50m"}}, "allocatedResources": {"cpu": "170m"}}, [], "170m", "200m"),
    ({"resources": {"requests": {"cpu": "50m"}, "limits": {"cpu": "300m"}}}, [], "100m", "300m"),
    ({"resources": {"requests": {"cpu": "50m"}, "limits": {"cpu": "60m"}}},
     [{"type": "PodResizePending", "reason": "Infeasible"}], "50m", "60m"),
    ({"resources": {"requests": {"cpu": "50m"}, "limits": {"cpu": "60m"}}},
     [{"type": "PodResizePending", "reason": "Deferred"}], "100m", "200m"),
])
def test_a_pod_that_is_being_resized_counts_for_the_larger_size(
    reported: Object | None, conditions: list[Object], requests: str, limits: str
) -> None:
    statuses = [] if reported is None else [{"name": "c", **reported}]
    status = {"containerStatuses": statuses, "conditions": conditions}
    found = pod(container(cpu="100m", limits={"cpu": "200m"}), status=status)
    assert usage(PODS, found) == ONE_POD | {"cpu": requests, "requests.cpu": requests, "limits.cpu": limits}


@pytest.mark.parametrize(("found", "hard", "text"), [
    (pod(inits=[container("dummy", cpu="1m")]), ["memory"], "memory for: dummy"),
    (pod(inits=[container("foo", cpu="1m"), container("bar", cpu="1m")]), ["memory"], "memory for: bar,foo"),
    (pod(container("dummy", cpu="1m")), ["memory"], "memory for: dummy"),
    (pod(container("foo"), container("bar")), ["memory", "cpu"], "cpu for: bar,foo; memory for: bar,foo"),
    (pod(container("foo"), resources={"requests": {"cpu": "1m"}}), ["memory", "cpu"], ""),
    (pod(container("foo")), ["pods", "requests.storage", "ephemeral-storage"], ""),
])
def test_what_a_quota_limits_must_be_stated(found: Object, hard: list[str], text: str) -> None:
    assert missing(found, dict.fromkeys(hard, "1")) == text


@pytest.mark.parametrize(("spec", "ports", "balancers"), [
    ({"type": "ClusterIP", "ports": [{}]}, None, None),
    ({"type": "NodePort", "ports": [{}]}, "1", None),
    ({"type": "NodePort", "ports": [{}, {}]}, "2", None),
    ({"type": "LoadBalancer", "ports": [{}, {}]}, "2", "1"),
    ({"type": "LoadBalancer", "ports": [{}, {}], "allocateLoadBalancerNodePorts": True}, "2", "1"),
    ({"type": "LoadBalancer", "ports": [{}, {}], "allocateLoadBalancerNodePorts": False}, None, "1"),
    ({"type": "LoadBalancer", "ports": [{"nodePort": 1}, {"nodePort": 2}], "allocateLoadBalancerNodePorts": False},
     "2", "1"),
])
def test_what_a_service_uses(spec: Object, ports: str | None, balancers: str | None) -> None:
    found = {"services.nodeports": ports, "services.loadbalancers": balancers}
    assert usage(SERVICES, {"spec": spec}) == {"count/services": "1", "services": "1"} | {
        name: number for name, number in found.items() if number is not None
    }


@pytest.mark.parametrize(("size", "granted", "storage_class", "used"), [
    ("10Gi", None, None, "10Gi"), ("10Gi", None, "gold", "10Gi"), ("1001m", None, "gold", "2"),
    ("5G", "10G", None, "10G"), ("10G", "5G", None, "10G"),
])
def test_what_a_claim_uses(size: str, granted: str | None, storage_class: str | None, used: str) -> None:
    claim: Object = {"spec": {"resources": {"requests": {"storage": size}}}, "status": {}}
    expected = {"count/persistentvolumeclaims": "1", "persistentvolumeclaims": "1", "requests.storage": used}
    if granted:
        claim["status"]["allocatedResources"] = {"storage": granted}
    if storage_class:
        claim["spec"]["storageClassName"] = storage_class
        expected |= {
            "gold.storageclass.storage.k8s.io/persistentvolumeclaims": "1",
            "gold.storageclass.storage.k8s.io/requests.storage": used,
        }
    assert usage(PERSISTENT_VOLUME_CLAIMS, claim) == expected


GPU = {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1}


@pytest.mark.parametrize(("requests", "used"), [
    ([{"exactly": GPU}], {"gpu": "1"}),
    ([{"exactly": GPU}] * 5, {"gpu": "5"}),
    ([{"exactly": GPU | {"count": 5}}], {"gpu": "5"}),
    ([{"exactly": GPU | {"allocationMode": "All"}}], {"gpu": "32"}),
    ([{"exactly": GPU | {"allocationMode": "future"}}], {"gpu": "0"}),
    ([{"exactly": GPU | {"adminAccess": True}}], {"gpu": "1"}),
    ([{"firstAvailable": [GPU]}], {"gpu": "1"}),
    ([{"firstAvailable": [GPU | {"count": 2}, GPU]}], {"gpu": "2"}),
    ([{"firstAvailable": [GPU, GPU | {"allocationMode": "All"}]}], {"gpu": "32"}),
    ([{"firstAvailable": [GPU, {"deviceClassName": "tpu", "allocationMode": "All"}]}], {"gpu": "1", "tpu": "32"}),
    ([{"firstAvailable": [GPU]}, {"exactly": GPU}], {"gpu": "2"}),
])
def test_a_claim_of_devices_counts_for_as_many_as_it_may_be_given(requests: list[Object], used: Object) -> None:
    expected = {f"{name}.deviceclass.resource.k8s.io/devices": number for name, number in used.items()}
    assert usage(RESOURCE_CLAIMS, {"spec": {"devices": {"requests": requests}}}) == {
        "count/resourceclaims.resource.k8s.io": "1", **expected,
    }


@pytest.mark.parametrize(("resource", "names", "others"), [
    (RESOURCE_CLAIMS, ["count/resourceclaims.resource.k8s.io", "gpu.deviceclass.resource.k8s.io/devices"],
     ["resourceclaims", "storage", "bronze.deviceclass.resource.k8s.io/storage", "pods"]),
    (PERSISTENT_VOLUME_CLAIMS,
     ["count/persistentvolumeclaims", "requests.storage", "persistentvolumeclaims",
      "gold.storageclass.storage.k8s.io/requests.storage", "gold.storageclass.storage.k8s.io/persistentvolumeclaims"],
     ["storage", "ephemeral-storage", "bronze.storageclass.storage.k8s.io/storage",
      "gold.storage.k8s.io/requests.storage"]),
    (SERVICES, ["count/services", "services", "services.nodeports", "services.loadbalancers"], ["endpoints", "pods"]),
    (PODS,
     ["count/pods", "pods", "cpu", "memory", "requests.cpu", "limits.memory", "ephemeral-storage",
      "limits.ephemeral-storage", "hugepages-2Mi", "requests.hugepages-2Mi", "requests.example.com/gpu"],
     ["example.com/gpu", "services", "requests.storage", "requests.kubernetes.io/gpu", "count/deployments.apps"]),
    (CONFIG_MAPS, ["configmaps", "count/configmaps"], ["secrets", "count/secrets"]),
    (DEPLOYMENTS, ["count/deployments.apps"], ["deployments", "deployments.apps"]),
])
def test_which_limits_are_about_a_kind(resource: Resource, names: list[str], others: list[str]) -> None:
    assert [name for name in [*names, *others] if counts_for(resource, name)] == names


def scopes_of(resource: Resource, obj: Object, selectors: list[Object]) -> list[Object]:
    return [
        one for one in selectors
        if in_scope({"spec": {"scopeSelector": {"matchExpressions": [one]}}}, resource, obj)
    ]


POD_SCOPES = ["Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "CrossNamespacePodAffinity"]
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def affinity(kind: str, strength: str, **term: Any) -> Object:
    terms = [term] if strength == REQUIRED else [{"podAffinityTerm": term}]
    return {"affinity": {kind: {strength: terms}}}


@pytest.mark.parametrize(("found", "scopes"), [
    (pod(), ["NotTerminating", "BestEffort"]),
    (pod(priorityClassName="high"), ["NotTerminating", "BestEffort", "PriorityClass"]),
    (pod(container(cpu="1")), ["NotTerminating", "NotBestEffort"]),
    (pod(activeDeadlineSeconds=30), ["Terminating", "BestEffort"]),
    *[
        (pod(activeDeadlineSeconds=30, **affinity(kind, strength, **term)),
         ["Terminating", "BestEffort", "CrossNamespacePodAffinity"])
        for kind in ("podAffinity", "podAntiAffinity") for strength in (REQUIRED, PREFERRED)
        for term in ({"namespaces": ["n"]}, {"namespaceSelector": {}}, {"namespaces": ["n"], "namespaceSelector": {}})
    ],
])
def test_the_scopes_of_a_pod(found: Object, scopes: list[str]) -> None:
    selectors = [*({"scopeName": name, "operator": "Exists"} for name in POD_SCOPES), HIGH]
    assert [one["scopeName"] for one in scopes_of(PODS, found, selectors)] == scopes


def test_all_scopes_must_hold_those_that_are_listed_and_those_that_are_selected() -> None:
    quota = {"spec": {"scopes": ["PriorityClass", "BestEffort"], "scopeSelector": {"matchExpressions": [HIGH]}}}
    pods = [pod(container(cpu="1"), priorityClassName="high"), pod(priorityClassName="low"),
            pod(priorityClassName="high")]
    assert [in_scope(quota, PODS, one) for one in pods] == [False, False, True]
    assert not in_scope(quota, CONFIG_MAPS, {"metadata": {"name": "c"}})


@pytest.mark.parametrize(("spec", "status", "names"), [
    ({}, {}, set()),
    ({"volumeAttributesClassName": "c1"}, {}, {"c1"}),
    ({"volumeAttributesClassName": "c1"}, {"currentVolumeAttributesClassName": "c2"}, {"c1", "c2"}),
    ({"volumeAttributesClassName": "c1"},
     {"currentVolumeAttributesClassName": "c2", "modifyVolumeStatus": {"targetVolumeAttributesClassName": "c3"}},
     {"c1", "c2", "c3"}),
])
def test_a_claim_is_in_the_scope_of_every_class_that_it_has_to_do_with(
    spec: Object, status: Object, names: set[str]
) -> None:
    claim = {"spec": spec, "status": status}

    def matches(operator: str, *values: str) -> bool:
        one = {"scopeName": "VolumeAttributesClass", "operator": operator, "values": list(values)}
        return bool(scopes_of(PERSISTENT_VOLUME_CLAIMS, claim, [one]))

    assert matches("Exists") == bool(names) != matches("DoesNotExist")
    assert {one for one in ("c1", "c2", "c3", "c4") if matches("In", one)} == names
    assert matches("In", "c4", *names) == bool(names)
    assert matches("NotIn", "c4")
    assert matches("NotIn", "c1") == (names != {"c1"}), "one that is not listed is enough"


@pytest.mark.parametrize(("annotation", "name", "wanted"), [
    (None, None, None), (None, "gold", "gold"), ("old", None, "old"), ("old", "gold", "old"), ("", "gold", None),
])
def test_the_older_annotation_names_a_claims_class_too(
    annotation: str | None, name: str | None, wanted: str | None
) -> None:
    found: Object = {"metadata": {"annotations": {}}, "spec": {}}
    if annotation is not None:
        found["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"] = annotation
    if name is not None:
        found["spec"]["storageClassName"] = name
    used = usage(PERSISTENT_VOLUME_CLAIMS, found)
    classes = [one.partition(".")[0] for one in used if "storageclass" in one]
    assert classes == ([wanted] if wanted else [])
