"""What an update keeps, resets, counts and refuses, for kinds other than pods."""

from __future__ import annotations

import copy
from typing import Any

from sampan.api.apps.daemonset import DAEMON_SET
from sampan.api.apps.deployment import DEPLOYMENT
from sampan.api.autoscaling.hpa_v1 import HORIZONTAL_POD_AUTOSCALER_V1
from sampan.api.autoscaling.hpa_v2 import HORIZONTAL_POD_AUTOSCALER
from sampan.api.batch.job import JOB
from sampan.api.certificates.certificatesigningrequest import CERTIFICATE_SIGNING_REQUEST
from sampan.api.core.configmap import CONFIG_MAP
from sampan.api.core.event import CORE_EVENT
from sampan.api.core.namespace import NAMESPACE
from sampan.api.core.service import SERVICE
from sampan.api.events.event import EVENT


def _deployment() -> Any:
    obj: Any = {
        "metadata": {"name": "web", "uid": "u", "resourceVersion": "5"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": {
            "metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}},
    }
    DEPLOYMENT.default(obj)
    DEPLOYMENT.prepare_create(obj)
    return obj


def test_generation_counts_changes_of_the_spec_only() -> None:
    old = _deployment()
    same, changed = copy.deepcopy(old), copy.deepcopy(old)
    same["metadata"]["labels"] = {"a": "b"}
    same["status"] = {"replicas": 9}
    DEPLOYMENT.prepare_update(same, old)
    assert same["metadata"]["generation"] == 1
    assert same["status"] == {}
    changed["spec"]["replicas"] = 3
    changed["metadata"].pop("generation")
    DEPLOYMENT.prepare_update(changed, old)
    assert changed["metadata"]["generation"] == 2


def test_a_selector_is_immutable() -> None:
    old, new = _deployment(), _deployment()
    new["spec"]["selector"] = {"matchLabels": {"app": "other"}}
    (error,) = DEPLOYMENT.validate_update(new, old)
    assert str(error) == 'spec.selector: Invalid value: {"matchLabels":{"app":"other"}}: field is immutable'


def test_a_scale_is_a_view_of_the_workload() -> None:
    obj = _deployment()
    scale = DEPLOYMENT.subresources["scale"]
    assert scale.to_view and scale.from_view and scale.prepare_update
    view = scale.to_view(obj)
    assert view["kind"] == "Scale"
    assert view["spec"] == {"replicas": 1}
    assert view["status"] == {"replicas": 0, "selector": "app=web"}
    old = copy.deepcopy(obj)
    scale.from_view({"spec": {"replicas": 4}}, obj)
    scale.prepare_update(obj, old)
    assert obj["spec"]["replicas"] == 4
    assert obj["metadata"]["generation"] == 2


def _service(**spec: Any) -> Any:
    obj: Any = {"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}], **spec}}
    SERVICE.default(obj)
    return obj


def _updated(new: Any, old: Any) -> Any:
    SERVICE.prepare_update(new, old)
    SERVICE.default(new)
    return new


def test_an_update_without_the_allocated_address_keeps_it() -> None:
    old = _service(clusterIP="10.96.0.7", clusterIPs=["10.96.0.7"])
    new = _updated(_service(), old)
    assert new["spec"]["clusterIP"] == "10.96.0.7"
    assert new["spec"]["clusterIPs"] == ["10.96.0.7"]
    assert SERVICE.validate_update(new, old) == []


def test_the_address_does_not_change() -> None:
    old = _service(clusterIP="10.96.0.7", clusterIPs=["10.96.0.7"])
    new = _updated(_service(clusterIP="10.96.0.8", clusterIPs=["10.96.0.8"]), old)
    assert [str(error) for error in SERVICE.validate_update(new, old)] == [
        'spec.clusterIPs[0]: Invalid value: ["10.96.0.8"]: may not change once set']


def test_node_ports_go_with_the_type() -> None:
    old = _service(type="NodePort")
    old["spec"]["ports"][0]["nodePort"] = 30080
    kept = _updated(_service(type="NodePort"), old)
    assert kept["spec"]["ports"][0]["nodePort"] == 30080
    back = copy.deepcopy(old)
    back["spec"]["type"] = "ClusterIP"
    _updated(back, old)
    assert "nodePort" not in back["spec"]["ports"][0]
    assert "externalTrafficPolicy" not in back["spec"]
    assert SERVICE.validate(back) == []


def test_becoming_an_external_name_gives_the_address_back() -> None:
    old = _service(clusterIP="10.96.0.7", clusterIPs=["10.96.0.7"])
    new = copy.deepcopy(old)
    new["spec"].update(type="ExternalName", externalName="db.example.com")
    _updated(new, old)
    assert not {"clusterIP", "clusterIPs", "internalTrafficPolicy"} & new["spec"].keys()
    assert SERVICE.validate(new) == []


def test_an_immutable_configmap_stays() -> None:
    old = {"immutable": True, "data": {"a": "1"}}
    errors = CONFIG_MAP.validate_update({"data": {"a": "2"}}, old)
    assert [str(error) for error in errors] == [
        "immutable: Forbidden: field is immutable when `immutable` is set",
        "data: Forbidden: field is immutable when `immutable` is set"]


def test_a_job_selects_its_own_pods() -> None:
    job: Any = {"metadata": {"name": "pi", "uid": "u1"}, "spec": {"template": {"spec": {
        "restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}}
    JOB.default(job)
    JOB.prepare_create(job)
    assert job["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": "u1"}}
    assert job["spec"]["template"]["metadata"]["labels"]["job-name"] == "pi"
    assert JOB.validate(job) == []
    job["spec"]["selector"]["matchLabels"]["mine"] = "x"
    assert any("`selector` not auto-generated" in str(error) for error in JOB.validate(job))


def test_the_finalizer_of_a_namespace_changes_only_through_finalize() -> None:
    old: Any = {"metadata": {"name": "a"}, "spec": {}}
    NAMESPACE.default(old)
    NAMESPACE.prepare_create(old)
    assert old["metadata"]["labels"] == {"kubernetes.io/metadata.name": "a"}
    new = copy.deepcopy(old)
    new["spec"]["finalizers"] = []
    NAMESPACE.prepare_update(new, old)
    assert new["spec"]["finalizers"] == ["kubernetes"]
    new["spec"]["finalizers"] = []
    finalize = NAMESPACE.subresources["finalize"]
    assert finalize.prepare_update
    finalize.prepare_update(new, old)
    assert new["spec"]["finalizers"] == []


def test_an_approval_changes_conditions_only() -> None:
    approval = CERTIFICATE_SIGNING_REQUEST.subresources["approval"]
    assert approval.prepare_update and approval.validate_update
    old: Any = {"metadata": {"name": "x"}, "spec": {"usages": ["client auth"]}, "status": {}}
    new: Any = {"metadata": {"name": "x"}, "spec": {}, "status": {
        "certificate": "eA==", "conditions": [{"type": "Approved", "status": "True"}]}}
    approval.prepare_update(new, old)
    assert new["spec"] == old["spec"]
    assert new["status"].keys() == {"conditions"} and new["status"]["conditions"][0]["type"] == "Approved"
    assert approval.validate_update(new, old) == []
    assert approval.validate_update(old, new) != []


def test_an_event_is_the_same_object_in_both_groups() -> None:
    stored: Any = {
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e", "namespace": "default"},
        "involvedObject": {"kind": "Pod", "name": "web", "namespace": "default"}, "message": "hi", "reason": "Pulled",
        "type": "Normal", "count": 2, "lastTimestamp": "2026-01-01T00:00:00Z", "source": {"component": "kubelet"},
    }
    assert EVENT.from_storage and EVENT.to_storage
    shown = EVENT.from_storage(stored)
    assert shown["apiVersion"] == "events.k8s.io/v1"
    assert shown["regarding"]["name"] == "web"
    assert shown["note"] == "hi"
    assert shown["deprecatedCount"] == 2
    assert EVENT.to_storage(shown) == stored
    assert CORE_EVENT.fields(stored)["source"] == "kubelet"


def test_an_event_lives_with_its_object() -> None:
    event = {"metadata": {"namespace": "default"}, "involvedObject": {"namespace": "other"}}
    assert [str(error) for error in CORE_EVENT.validate(event)] == [
        'involvedObject.namespace: Invalid value: "other": does not match event.namespace']


def test_the_older_autoscaler_shows_the_cpu_target() -> None:
    view = HORIZONTAL_POD_AUTOSCALER_V1
    assert view.from_storage and view.to_storage
    old: Any = {"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"},
                "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "maxReplicas": 3}}
    view.default(old)
    assert old["spec"]["targetCPUUtilizationPercentage"] == 80
    stored = view.to_storage(old)
    HORIZONTAL_POD_AUTOSCALER.default(stored)
    assert stored["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 80
    assert HORIZONTAL_POD_AUTOSCALER.validate(stored) == []
    stored["spec"]["metrics"].append({"type": "Pods", "pods": {"metric": {"name": "rps"}}})
    assert view.to_storage(view.from_storage(stored))["spec"]["metrics"][0]["type"] == "Pods"


def test_a_daemon_set_counts_the_changes_of_its_template_whatever_a_client_says() -> None:
    key = "deprecated.daemonset.template.generation"

    def daemon_set(image: str, **annotations: str) -> Any:
        template = {"spec": {"containers": [{"name": "c", "image": image}]}}
        return {"metadata": {"name": "a", "annotations": annotations, "generation": 1}, "spec": {"template": template}}

    first = daemon_set("a:1")
    DAEMON_SET.prepare_create(first)
    assert first["metadata"]["annotations"] == {key: "1"}
    same = daemon_set("a:1", **{key: "77", "note": "x"})
    DAEMON_SET.prepare_update(same, first)
    assert same["metadata"]["annotations"] == {key: "1", "note": "x"}
    changed = daemon_set("a:2")
    DAEMON_SET.prepare_update(changed, same)
    assert changed["metadata"]["annotations"] == {key: "2"}
