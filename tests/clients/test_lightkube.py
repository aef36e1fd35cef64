"""lightkube: typed resources, generic lists, apply, wait, subresources, its own watch."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from lightkube import ApiError, Client, KubeConfig
from lightkube.models.apps_v1 import DeploymentSpec
from lightkube.models.autoscaling_v1 import ScaleSpec
from lightkube.models.core_v1 import Container, PodSpec, PodTemplateSpec
from lightkube.models.meta_v1 import LabelSelector, ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Node, Pod
from lightkube.types import CascadeType, PatchType
from tests.clients.waiting import eventually


@pytest.fixture
def lightkube(own_kubeconfig: Path) -> Iterator[Client]:
    yield Client(config=KubeConfig.from_file(str(own_kubeconfig)), field_manager="lightkube")


def deployment(replicas: int = 2) -> Deployment:
    labels = {"app": "web"}
    pod = PodTemplateSpec(
        metadata=ObjectMeta(labels=labels), spec=PodSpec(containers=[Container(name="web", image="nginx:1")])
    )
    return Deployment(
        metadata=ObjectMeta(name="web"),
        spec=DeploymentSpec(replicas=replicas, selector=LabelSelector(matchLabels=labels), template=pod),
    )


def test_a_deployment_is_made_waited_for_and_scaled(lightkube):
    lightkube.create(deployment())
    lightkube.wait(Deployment, "web", for_conditions=["Available"])
    scale = Deployment.Scale(metadata=ObjectMeta(name="web"), spec=ScaleSpec(replicas=3))
    assert lightkube.replace(scale, "web").spec.replicas == 3
    assert lightkube.get(Deployment.Scale, "web").spec.replicas == 3
    patched = lightkube.patch(Deployment.Scale, "web", {"spec": {"replicas": 1}}, patch_type=PatchType.MERGE)
    assert patched.spec.replicas == 1
    lightkube.delete(Deployment, "web", cascade=CascadeType.FOREGROUND)
    eventually(lambda: not list(lightkube.list(Deployment)))
    assert not list(lightkube.list(Pod))


def test_lists_select_and_page(lightkube):
    for number in range(5):
        labels = {"parity": "even" if number % 2 == 0 else "odd"}
        lightkube.create(ConfigMap(metadata=ObjectMeta(name=f"c{number}", labels=labels), data={"n": str(number)}))
    even = [found.metadata.name for found in lightkube.list(ConfigMap, labels={"parity": "even"}, chunk_size=1)]
    assert even == ["c0", "c2", "c4"]
    assert [found.metadata.name for found in lightkube.list(ConfigMap, fields={"metadata.name": "c3"})] == ["c3"]
    assert {node.metadata.name for node in lightkube.list(Node)} == {"node-0000", "node-0001", "node-0002"}


def test_apply_owns_fields(lightkube):
    lightkube.apply(deployment(2))
    found = lightkube.apply(deployment(2))
    assert {entry.manager for entry in found.metadata.managedFields if entry.operation == "Apply"} == {"lightkube"}
    with pytest.raises(ApiError) as conflict:
        lightkube.apply(deployment(4), field_manager="other")
    assert conflict.value.status.code == 409 and conflict.value.status.details.causes[0].field == ".spec.replicas"
    assert lightkube.apply(deployment(4), field_manager="other", force=True).spec.replicas == 4


def test_a_watch_follows(lightkube):
    seen: list[tuple[str, str]] = []
    began = threading.Event()

    def look() -> None:
        lightkube.create(ConfigMap(metadata=ObjectMeta(name="first")))
        for event, found in lightkube.watch(ConfigMap, server_timeout=90):
            if found.metadata.name != "kube-root-ca.crt":
                seen.append((event, found.metadata.name))
                began.set()
            if event == "DELETED":
                return

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    assert began.wait(90)
    lightkube.patch(ConfigMap, "first", {"data": {"a": "b"}})
    lightkube.delete(ConfigMap, "first")
    looking.join(90)
    assert seen == [("ADDED", "first"), ("MODIFIED", "first"), ("DELETED", "first")]


def test_errors_are_statuses(lightkube):
    with pytest.raises(ApiError) as absent:
        lightkube.get(Pod, "none")
    assert (absent.value.status.code, absent.value.status.reason) == (404, "NotFound")
    assert absent.value.status.message == 'pods "none" not found'
