"""Where a clientConfig leads, and calling it there."""

from __future__ import annotations

from typing import Any

import pytest
from tests.apiserver.conftest import DictReader
from tests.apiserver.webhooks.hook_server import allowed, hook_server

from sampan.api.resources import ENDPOINT_SLICES, SERVICES
from sampan.apiserver.webhooks.caller import CallFailed, WebhookCaller
from sampan.apiserver.webhooks.location import Unreachable, locate


def service(**spec: Any) -> dict[str, Any]:
    ports = [{"name": "https", "port": 443, "targetPort": 9443}]
    return {"metadata": {"name": "hook", "namespace": "default"}, "spec": {"ports": ports, **spec}}


def to_service(**more: Any) -> dict[str, Any]:
    return {"service": {"name": "hook", "namespace": "default", "path": "/check", **more}}


def test_a_url_is_taken_as_it_stands() -> None:
    found = locate({"url": "https://hooks.example:8443/a?b=c"}, DictReader())
    assert (found.host, found.port, found.path, found.server_name) == ("hooks.example", 8443, "/a?b=c", "hooks.example")


def test_a_service_is_dialled_at_its_cluster_ip_under_its_name() -> None:
    reader = DictReader()
    reader.put(SERVICES, service(clusterIP="10.96.3.4"))
    found = locate(to_service(port=443), reader)
    assert (found.host, found.port, found.server_name) == ("10.96.3.4", 443, "hook.default.svc")
    assert found.url == "https://hook.default.svc:443/check" and found.authority == "hook.default.svc:443"


def test_a_service_that_leads_nowhere() -> None:
    reader = DictReader()
    with pytest.raises(Unreachable, match=r'^service "hook" not found$'):
        locate(to_service(), reader)
    reader.put(SERVICES, service(clusterIP="10.96.3.4"))
    with pytest.raises(Unreachable, match=r'^no service port 8443 found for service "hook"$'):
        locate(to_service(port=8443), reader)
    reader.put(SERVICES, service(clusterIP="None"))
    with pytest.raises(Unreachable, match=r'^no endpoints available for service "hook"$'):
        locate(to_service(), reader)


def test_an_external_name_is_followed() -> None:
    reader = DictReader()
    reader.put(SERVICES, service(type="ExternalName", externalName="hooks.example"))
    assert locate(to_service(), reader).host == "hooks.example"


async def test_a_headless_service_is_called_at_a_ready_endpoint() -> None:
    reader = DictReader()
    reader.put(SERVICES, service(clusterIP="None"))
    async with hook_server() as hook:
        hook.answers["/check"] = allowed
        reader.put(ENDPOINT_SLICES, {
            "metadata": {
                "name": "hook-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "hook"},
            },
            "ports": [{"name": "https", "port": hook.port}],
            "endpoints": [
                {"addresses": ["127.0.0.9"], "conditions": {"ready": False}}, {"addresses": ["127.0.0.1"]},
            ],
        })
        caller = WebhookCaller(reader)
        review = {"apiVersion": "admission.k8s.io/v1", "request": {"uid": "u"}}
        config = {**to_service(), "caBundle": hook.ca_bundle}
        assert (await caller.post(config, review, 5))["response"] == {"uid": "u", "allowed": True}
        assert hook.headers[0]["Host"] == "hook.default.svc:443"
        with pytest.raises(CallFailed, match=r"certificate is not valid for other\.default\.svc"):
            reader.put(SERVICES, {**service(clusterIP="None"), "metadata": {"name": "other", "namespace": "default"}})
            reader.objects[ENDPOINT_SLICES.plural, "default", "hook-1"]["metadata"]["labels"] = {
                "kubernetes.io/service-name": "other",
            }
            other = {"service": {"name": "other", "namespace": "default"}, "caBundle": hook.ca_bundle}
            await caller.post(other, review, 5)
        await caller.close()


async def test_authorities_that_cannot_be_read() -> None:
    caller = WebhookCaller(DictReader())
    with pytest.raises(CallFailed, match="unable to parse bytes as PEM block"):
        await caller.post({"url": "https://127.0.0.1:1/", "caBundle": "bm90aGluZw=="}, {}, 1)
