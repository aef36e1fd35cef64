"""What may change of a pod that exists."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from sampan.api.core.pod import POD
from sampan.api.core.pod_binding import binding_conflict, bound, validate_binding
from sampan.api.core.pod_defaults import image_tag


def _pod(**spec: Any) -> Any:
    pod: Any = {
        "metadata": {"name": "web", "namespace": "default", "uid": "u1", "resourceVersion": "7"},
        "spec": {"containers": [{"name": "web", "image": "nginx:1", "resources": {"requests": {"cpu": "1"}}}], **spec},
    }
    POD.default(pod)
    POD.prepare_create(pod)
    return pod


def _errors(old: Any, change: Callable[[Any], object]) -> list[str]:
    new = copy.deepcopy(old)
    change(new["spec"])
    POD.default(new)
    POD.prepare_update(new, old)
    return [str(error).partition("\n")[0] for error in POD.validate_update(new, old)]


def test_an_image_may_change_and_counts_as_a_new_generation() -> None:
    old = _pod()
    new = copy.deepcopy(old)
    new["spec"]["containers"][0]["image"] = "nginx:2"
    POD.prepare_update(new, old)
    assert POD.validate_update(new, old) == []
    assert new["metadata"]["generation"] == 2


def test_nothing_else_of_a_container_may_change() -> None:
    (text,) = _errors(_pod(), lambda spec: spec["containers"][0].update(command=["x"]))
    assert text.startswith("spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,")


def test_the_error_says_which_field_changed() -> None:
    old, new = _pod(), _pod(hostname="other")
    (error,) = POD.validate_update(new, old)
    assert '+ \thostname: "other",' in str(error)


def test_containers_may_not_come_or_go() -> None:
    texts = _errors(_pod(), lambda spec: spec["containers"].append({"name": "b", "image": "b"}))
    assert texts == ["spec.containers: Forbidden: pod updates may not add or remove containers"]


def test_tolerations_may_be_added_but_not_removed() -> None:
    old = _pod(tolerations=[{"key": "a", "operator": "Exists", "effect": "NoExecute"}])
    more = {"key": "b", "operator": "Exists"}
    assert _errors(old, lambda spec: spec["tolerations"].append(more)) == []
    assert _errors(old, lambda spec: spec["tolerations"][0].update(tolerationSeconds=5)) == []
    assert _errors(old, lambda spec: spec.update(tolerations=[more])) == [
        "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"]


def test_a_deadline_may_only_shrink() -> None:
    old = _pod(activeDeadlineSeconds=60)
    assert _errors(old, lambda spec: spec.update(activeDeadlineSeconds=30)) == []
    assert _errors(old, lambda spec: spec.update(activeDeadlineSeconds=90)) == [
        "spec.activeDeadlineSeconds: Invalid value: 90: must be less than or equal to previous value"]
    assert _errors(old, lambda spec: spec.pop("activeDeadlineSeconds")) == [
        "spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil value"]


def test_scheduling_gates_only_go_away() -> None:
    gated = _pod(schedulingGates=[{"name": "a"}])
    assert gated["status"]["conditions"][0]["reason"] == "SchedulingGated"
    assert _errors(gated, lambda spec: spec.pop("schedulingGates")) == []
    assert _errors(_pod(), lambda spec: spec.update(schedulingGates=[{"name": "a"}])) == [
        "spec.schedulingGates[0]: Forbidden: only deletion is allowed, but found new scheduling gate 'a'"]


def test_a_gated_pod_may_become_choosier() -> None:
    gated = _pod(schedulingGates=[{"name": "a"}])
    assert _errors(gated, lambda spec: spec.update(nodeSelector={"disk": "ssd"})) == []
    assert _errors(_pod(), lambda spec: spec.update(nodeSelector={"disk": "ssd"})) != []


def test_ephemeral_containers_are_added_and_stay() -> None:
    view = POD.subresources["ephemeralcontainers"]
    assert view.prepare_update and view.validate_update
    old = _pod()
    new = copy.deepcopy(old)
    new["spec"]["ephemeralContainers"] = [{"name": "debug", "image": "busybox:1", "targetContainerName": "web"}]
    new["spec"]["hostname"] = "ignored"
    POD.default(new)
    view.prepare_update(new, old)
    assert "hostname" not in new["spec"]
    assert view.validate_update(new, old) == []
    assert [str(error) for error in view.validate_update(old, new)] == [
        'spec.ephemeralContainers: Forbidden: existing ephemeral containers "debug" may not be removed\n']


def test_resize_changes_cpu_but_not_the_class_of_service() -> None:
    view = POD.subresources["resize"]
    assert view.prepare_update and view.validate_update
    old = _pod()
    new = copy.deepcopy(old)
    new["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "2"}}
    view.prepare_update(new, old)
    assert view.validate_update(new, old) == []
    assert new["metadata"]["generation"] == 2
    new["spec"]["containers"][0]["resources"] = {}
    assert [str(error) for error in view.validate_update(new, old)] == [
        'spec: Invalid value: "BestEffort": Pod QOS Class may not change as a result of resizing']


def test_a_status_update_leaves_the_spec_alone() -> None:
    view = POD.subresources["status"]
    assert view.prepare_update
    old = _pod()
    new = copy.deepcopy(old)
    new["spec"]["nodeName"] = "elsewhere"
    new["status"] = {"phase": "Running"}
    view.prepare_update(new, old)
    assert new["spec"] == old["spec"]
    assert new["status"] == {"phase": "Running", "qosClass": "Burstable"}


def test_binding_sets_the_node_once() -> None:
    pod = _pod()
    binding = {"metadata": {"name": "web", "annotations": {"a": "b"}}, "target": {"kind": "Node", "name": "n1"}}
    assert validate_binding(binding) == []
    assert binding_conflict(pod, binding) == ""
    pod = bound({**pod, "status": {"nominatedNodeName": "n2"}}, binding, "2026-01-01T00:00:00Z")
    assert "nominatedNodeName" not in pod["status"]
    assert pod["spec"]["nodeName"] == "n1"
    assert pod["metadata"]["annotations"] == {"a": "b"}
    assert pod["status"]["conditions"][0]["status"] == "True"
    assert binding_conflict(pod, binding) == 'pod web is already assigned to node "n1"'


@pytest.mark.parametrize(("image", "tag"), [
    ("nginx", "latest"), ("nginx:1.7", "1.7"), ("host:5000/app", "latest"), ("host:5000/app:2", "2"),
    ("app@sha256:00", ""), ("app:3@sha256:00", "3"), ("", ""),
])
def test_the_tag_of_an_image(image: str, tag: str) -> None:
    assert image_tag(image) == tag


@pytest.mark.parametrize(("resources", "expected"), [
    ({}, "BestEffort"), ({"requests": {"cpu": "0"}}, "BestEffort"),
    ({"requests": {"cpu": "1"}}, "Burstable"), ({"limits": {"cpu": "1"}}, "Burstable"),
    ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
    ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}, "Burstable"),
    ({"limits": {"nvidia.com/gpu": "1"}}, "BestEffort"),
])
def test_the_class_of_service(resources: Any, expected: str) -> None:
    pod: Any = {"metadata": {}, "spec": {"containers": [{"name": "a", "image": "a", "resources": resources}]}}
    POD.default(pod)
    POD.prepare_create(pod)
    assert pod["status"]["qosClass"] == expected
