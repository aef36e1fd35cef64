"""A container's environment, expansion and the downward API."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from sampan.apimachinery.quantity import Quantity
from sampan.kubelet.downward import NodeFacts, field_value, resource_value
from sampan.kubelet.environment import EnvironmentInputs, environment
from sampan.kubelet.errors import ConfigError
from sampan.kubelet.expansion import expand, unresolved

NODE = NodeFacts("n1", ("192.168.0.1",), Quantity.parse("4"), Quantity.parse("8Gi"), Quantity.parse("10Gi"))
POD: dict[str, Any] = {
    "metadata": {"name": "web", "namespace": "shop", "uid": "u", "labels": {"app": "web", "tier": 'a"b'}},
    "spec": {"serviceAccountName": "robot", "containers": []},
}
OBJECTS = {
    ("configmap", "cm"): {"data": {"A": "1", "bad=name": "x"}},
    ("secret", "s"): {"data": {"P": base64.b64encode(b"hidden").decode()}},
}
SERVICE = {
    "metadata": {"name": "my-db", "namespace": "shop"},
    "spec": {"clusterIP": "10.0.0.9", "ports": [{"name": "main", "port": 5432, "protocol": "TCP"}]},
}
MASTER = {
    "metadata": {"name": "kubernetes", "namespace": "default"},
    "spec": {"clusterIP": "10.96.0.1", "ports": [{"name": "https", "port": 443}]},
}


def made(container: dict[str, Any], pod: dict[str, Any] = POD, *services: dict[str, Any]) -> dict[str, str]:
    async def lookup(kind: str, namespace: str, name: str) -> Any:
        return OBJECTS.get((kind, name))

    inputs = EnvironmentInputs(pod, NODE, ("10.1.1.1",), services, lookup)
    return asyncio.run(environment(container, inputs))


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$(A)", "1"), ("x$(A)y$(B)z", "x1y2z"), ("$$(A)", "$(A)"), ("$$$(A)", "$1"), ("$(NO)", "$(NO)"),
        ("$A", "$A"), ("$", "$"), ("$$", "$"), ("$(A", "$(A"), ("$()", "$()"), ("a$(A)$", "a1$"), ("$x$(B)", "$x2"),
    ],
)
def test_expansion_follows_upstreams_rules(text: str, result: str) -> None:
    assert expand(text, {"A": "1", "B": "2"}) == result


def test_unresolved_names_are_found() -> None:
    assert unresolved("$(A)/$(B)/$$(C)", {"A": "1"}) == ["B"]


def test_later_sources_win_and_variables_see_those_before_them() -> None:
    container = {
        "envFrom": [{"configMapRef": {"name": "cm"}}, {"prefix": "S_", "secretRef": {"name": "s"}}],
        "env": [
            {"name": "A", "value": "2"}, {"name": "B", "value": "$(A)-$(S_P)-$(LATER)"},
            {"name": "LATER", "value": "x"},
            {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "GONE", "valueFrom": {"configMapKeyRef": {"name": "no", "key": "k", "optional": True}}},
        ],
    }
    assert made(container) == {
        "A": "2", "S_P": "hidden", "B": "2-hidden-$(LATER)", "LATER": "x", "POD": "web",
    }


def test_service_links_are_of_the_pods_namespace_and_the_api_always() -> None:
    result = made({}, POD, SERVICE, MASTER)
    assert result["MY_DB_SERVICE_HOST"] == "10.0.0.9" and result["MY_DB_SERVICE_PORT"] == "5432"
    assert result["MY_DB_SERVICE_PORT_MAIN"] == "5432" and result["MY_DB_PORT"] == "tcp://10.0.0.9:5432"
    assert result["MY_DB_PORT_5432_TCP_ADDR"] == "10.0.0.9" and result["MY_DB_PORT_5432_TCP_PROTO"] == "tcp"
    assert result["KUBERNETES_SERVICE_HOST"] == "10.96.0.1"
    without = made({}, {**POD, "spec": {**POD["spec"], "enableServiceLinks": False}}, SERVICE, MASTER)
    assert "MY_DB_SERVICE_HOST" not in without and "KUBERNETES_SERVICE_HOST" in without


def test_what_is_missing_is_named() -> None:
    for source, message in (
        ({"configMapKeyRef": {"name": "cm", "key": "Z"}}, "couldn't find key Z in ConfigMap shop/cm"),
        ({"secretKeyRef": {"name": "s", "key": "Z"}}, "couldn't find key Z in Secret shop/s"),
        ({"configMapKeyRef": {"name": "zz", "key": "Z"}}, 'configmap "zz" not found'),
        ({"fieldRef": {"fieldPath": "spec.volumes"}}, "unsupported fieldPath: spec.volumes"),
    ):
        with pytest.raises(ConfigError) as caught:
            made({"env": [{"name": "X", "valueFrom": source}]})
        assert str(caught.value) == message


def test_fields_of_the_pod() -> None:
    assert field_value(POD, "metadata.labels", NODE) == 'app="web"\ntier="a\\"b"'
    assert field_value(POD, "metadata.labels['app']", NODE) == "web"
    assert field_value(POD, "status.podIPs", NODE, ("10.1.1.1", "fd00::1")) == "10.1.1.1,fd00::1"
    assert field_value(POD, "spec.nodeName", NODE) == "n1"


def test_resources_of_the_container_in_the_units_asked_for() -> None:
    container = {"name": "c", "resources": {"limits": {"cpu": "250m"}, "requests": {"memory": "100Mi"}}}
    assert resource_value(POD, container, {"resource": "limits.cpu"}, NODE) == "1"
    assert resource_value(POD, container, {"resource": "limits.cpu", "divisor": "1m"}, NODE) == "250"
    assert resource_value(POD, container, {"resource": "requests.memory", "divisor": "1Mi"}, NODE) == "100"
    assert resource_value(POD, container, {"resource": "limits.memory", "divisor": "1Gi"}, NODE) == "8"
    assert resource_value(POD, container, {"resource": "requests.cpu"}, NODE) == "0"
