"""kr8s: objects that refresh, wait, scale and label themselves; discovery by any name."""

from __future__ import annotations

from pathlib import Path

import kr8s
import pytest
from kr8s.objects import ConfigMap, Deployment, Pod

pytestmark = pytest.mark.filterwarnings("ignore:Kubernetes version")


@pytest.fixture
def connected(own_kubeconfig: Path, namespace: str):
    found = kr8s.api(kubeconfig=str(own_kubeconfig))
    assert found.namespace == namespace
    return found


def deployment(connected, **spec) -> Deployment:
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "nginx:1"}]}}
    return Deployment(api=connected, resource={
        "metadata": {"name": "web", "namespace": connected.namespace},
        "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": template, **spec},
    })


def test_a_deployment_waits_scales_and_finds_its_pods(connected):
    web = deployment(connected)
    web.create()
    web.wait(["condition=Available", "condition=Progressing"], mode="all", timeout=90)
    web.wait("jsonpath='{.status.readyReplicas}'=2", timeout=90)
    assert web.ready() and len(web.pods()) == 2
    web.scale(3)
    assert web.replicas == 3
    pod = web.pods()[0]
    pod.wait("condition=Ready", timeout=90)
    pod.label({"seen": "yes"})
    assert [found.name for found in connected.get("pods", label_selector={"seen": "yes"})] == [pod.name]
    web.delete(propagation_policy="Foreground")
    web.wait("delete", timeout=90)
    assert not web.exists()


def test_objects_are_found_by_any_name(connected):
    for name in ("configmaps", "cm", "ConfigMap", "configmap", "deployments.apps", "deploy", "ing"):
        list(connected.get(name))
    resources = {resource["name"] for resource in connected.api_resources()}
    assert {"pods", "deployments", "leases", "endpointslices"} <= resources
    assert connected.version()["major"] == "1"
    assert connected.whoami() == "kubernetes-admin"


def test_an_object_is_patched_and_refreshed(connected):
    found = ConfigMap(api=connected, resource={"metadata": {"name": "c"}, "data": {"a": "1"}})
    found.create()
    found.patch({"data": {"b": "2"}})
    other = ConfigMap.get("c", api=connected, namespace=connected.namespace)
    other.patch([{"op": "remove", "path": "/data/a"}], type="json")
    found.refresh()
    assert found.data.to_dict() == {"b": "2"}
    found.annotate({"note": "x"})
    assert found.annotations["note"] == "x"
    with pytest.raises(kr8s.NotFoundError):
        Pod.get("none", api=connected, namespace=connected.namespace)


def test_a_watch_begins_with_what_is_there(connected):
    ConfigMap(api=connected, resource={"metadata": {"name": "c", "labels": {"w": "1"}}}).create()
    event, found = next(iter(connected.watch("configmaps", label_selector="w=1")))
    assert (event, found.name) == ("ADDED", "c")
