"""API groups of another server: registered, checked, shown in discovery, and asked on behalf of the user."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from tests.apiserver.https_server import answer, running
from tests.apiserver.serving import call, document, serving

from sampan import effects
from sampan.api.resources import API_SERVICES, CONFIG_MAPS, ENDPOINT_SLICES, SERVICES
from sampan.apimachinery.errors import NotFound
from sampan.apimachinery.http import Request, Response, UserInfo
from sampan.apiserver.aggregation import aggregator, trust
from sampan.apiserver.authn.certificate_authority import CertificateAuthority as Issued
from sampan.apiserver.config import APIServerConfig
from sampan.apiserver.server import APIServer
from sampan.client.client import Client
from sampan.pki.cluster import ClusterPKI

GROUP = "metrics.example.com"
AGGREGATED = {"accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}


class Other:
    """The server behind."""

    def __init__(self) -> None:
        self.seen: list[Request] = []
        self.broken = False

    async def handle(self, request: Request) -> Response:
        self.seen.append(request)
        if self.broken:
            return Response(500)
        if request.path == f"/apis/{GROUP}/v1":
            resources = [
                {"name": "things", "singularName": "thing", "namespaced": True, "kind": "Thing", "verbs": ["get"]},
                {"name": "things/status", "singularName": "", "namespaced": True, "kind": "Thing", "verbs": ["get"]},
            ]
            return answer({"kind": "APIResourceList", "groupVersion": f"{GROUP}/v1", "resources": resources})
        if request.path == "/openapi/v3":
            url = f"/openapi/v3/apis/{GROUP}/v1?hash=1"
            return answer({"paths": {f"apis/{GROUP}/v1": {"serverRelativeURL": url}}})
        if request.path.endswith("/away"):
            return Response(302, {"location": "https://169.254.169.254/"})
        return answer({"kind": "ThingList", "path": request.path, "query": request.query})


async def eventually(what: Any, seconds: float = 60.0) -> Any:
    async with asyncio.timeout(seconds):
        while not (found := await what()):
            await asyncio.sleep(0.01)
    return found


@contextlib.asynccontextmanager
async def aggregating(directory: Path) -> AsyncIterator[tuple[APIServer, Client, Other, Path]]:
    """A server, and another one behind a Service that is only a name, so that no cluster network is needed."""
    other = Other()
    pki = ClusterPKI.ensure(directory / "pki")
    async with (
        running(directory, other.handle, ("other.default.svc",), str(pki.front_proxy_ca_path)) as at,
        serving(
            authorization=True, proxy_client_cert_file=str(pki.pair("front-proxy-client").certificate),
            proxy_client_key_file=str(pki.pair("front-proxy-client").key),
        ) as (server, client),
    ):
        await client.create(SERVICES, {
            "kind": "Service", "apiVersion": "v1", "metadata": {"name": "other", "namespace": "default"},
            "spec": {"type": "ExternalName", "externalName": "127.0.0.1"},
        })
        await client.create(API_SERVICES, api_service(at.port, at.authority))
        yield server, client, other, pki.front_proxy_ca_path


def api_service(port: int, authority: str, name: str = "other") -> dict[str, Any]:
    return {
        "kind": "APIService", "apiVersion": "apiregistration.k8s.io/v1", "metadata": {"name": f"v1.{GROUP}"},
        "spec": {
            "group": GROUP, "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 100,
            "caBundle": base64.b64encode(authority.encode()).decode(),
            "service": {"namespace": "default", "name": name, "port": port},
        },
    }


async def condition(client: Client, status: str = "") -> dict[str, Any]:
    """The Available condition, empty while it has another status."""
    found = (await client.get(API_SERVICES, f"v1.{GROUP}")).get("status", {}).get("conditions") or [{}]
    return found[0] if found[0].get("status") == (status or found[0].get("status")) else {}


async def test_a_request_is_passed_on_in_the_users_name(tmp_path: Path) -> None:
    async with aggregating(tmp_path) as (server, client, other, front_proxy_ca):
        found = await eventually(lambda: condition(client, "True"))
        assert (found["reason"], found["message"]) == ("Passed", "all checks passed")
        jane = UserInfo("jane", "7", ("devs", "system:masters"), {"example.com/k": ("a", "b")})
        request = Request("GET", f"/apis/{GROUP}/v1/namespaces/ns/things", {"limit": ["5"]}, {
            "authorization": "Bearer mine", "x-remote-group": "system:masters", "accept": "*/*",
        }, user=jane)
        response = await server.handle(request)
        assert response.status == 200 and response.stream is not None
        body = b"".join([chunk async for chunk in response.stream])
        assert b'"path":"/apis/metrics.example.com/v1/namespaces/ns/things"' in body and b'"limit":["5"]' in body
        [seen] = [one for one in other.seen if one.path.endswith("/things")]
        assert (seen.headers["x-remote-user"], seen.headers["x-remote-uid"]) == ("jane", "7")
        assert seen.headers["x-remote-group"] == "devs\nsystem:masters"
        assert seen.headers["x-remote-extra-example.com%2fk"] == "a\nb"
        assert "authorization" not in seen.headers
        assert seen.peer_certificate is not None
        issued = Issued(str(front_proxy_ca)).issued(seen.peer_certificate)
        assert issued is not None and issued.user.name == "front-proxy-client"
        stranger = Request("GET", f"/apis/{GROUP}/v1/things", user=UserInfo("joe"))
        assert (await server.handle(stranger)).status == 403
        assert (await call(server, "GET", f"/apis/{GROUP}/v1/namespaces/ns/things/away")).status == 502


async def test_its_groups_are_in_discovery_and_openapi(tmp_path: Path) -> None:
    async with aggregating(tmp_path) as (server, client, _, _):
        await eventually(lambda: condition(client, "True"))

        async def in_discovery() -> Any:
            items = document(await call(server, "GET", "/apis", headers=AGGREGATED))["items"]
            entry = next((one for one in items if one["metadata"]["name"] == GROUP), {"versions": [{}]})
            return entry["versions"][0] if entry["versions"][0].get("resources") else None

        version = await eventually(in_discovery)
        assert (version["version"], version["freshness"]) == ("v1", "Current")
        [things] = version["resources"]
        shown = things["resource"], things["scope"], things["responseKind"]["kind"]
        assert shown == ("things", "Namespaced", "Thing")
        assert things["subresources"][0]["subresource"] == "status"
        plain = document(await call(server, "GET", "/apis"))["groups"]
        assert {"groupVersion": f"{GROUP}/v1", "version": "v1"} in [one["preferredVersion"] for one in plain]
        assert document(await call(server, "GET", f"/apis/{GROUP}"))["name"] == GROUP
        import gzip

        index = await call(server, "GET", "/openapi/v3")
        data = gzip.decompress(index.body) if index.headers.get("content-encoding") else index.body
        assert f"/openapi/v3/apis/{GROUP}/v1?hash=1".encode() in data


async def test_a_broken_server_hurts_nobody_else(tmp_path: Path) -> None:
    async with aggregating(tmp_path) as (server, client, other, _):
        await eventually(lambda: condition(client, "True"))
        other.broken = True
        await client.patch(API_SERVICES, f"v1.{GROUP}", {"metadata": {"labels": {"look": "again"}}})
        found = await eventually(lambda: condition(client, "False"))
        assert found["reason"] == "FailedDiscoveryCheck"
        response = await call(server, "GET", f"/apis/{GROUP}/v1/things")
        assert (response.status, document(response)["message"]) == (503, "service unavailable")
        assert (await call(server, "GET", "/api/v1/namespaces")).status == 200
        items = document(await call(server, "GET", "/apis", headers=AGGREGATED))["items"]
        stale = next(one for one in items if one["metadata"]["name"] == GROUP)["versions"][0]
        assert (stale["freshness"], stale["resources"]) == ("Stale", [])
        assert len(items) > 15
        await client.delete(API_SERVICES, f"v1.{GROUP}")

        async def gone() -> bool:
            return (await call(server, "GET", f"/apis/{GROUP}/v1/things")).status == 404

        await eventually(gone)


async def test_a_server_that_comes_late_is_found_without_waiting_for_the_next_look(tmp_path: Path) -> None:
    async with aggregating(tmp_path) as (_, client, other, _):
        other.broken = True
        await client.patch(API_SERVICES, f"v1.{GROUP}", {"metadata": {"labels": {"look": "again"}}})
        await eventually(lambda: condition(client, "False"))
        other.broken = False
        await eventually(lambda: condition(client, "True"))  # well within the interval of thirty seconds


async def test_a_service_that_comes_late_is_found_when_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggregator, "FIRST_S", 3600.0)
    async with serving() as (_, client):
        await client.create(API_SERVICES, api_service(443, "x", "m"))
        assert (await eventually(lambda: condition(client, "False")))["reason"] == "ServiceNotFound"
        await client.create(SERVICES, {
            "kind": "Service", "apiVersion": "v1", "metadata": {"name": "m", "namespace": "default"},
            "spec": {"ports": [{"name": "https", "port": 443}]},
        })

        async def reason(wanted: str) -> bool:
            return (await condition(client))["reason"] == wanted

        await eventually(lambda: reason("EndpointsNotFound"))
        await client.create(ENDPOINT_SLICES, {
            "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1", "addressType": "IPv4",
            "metadata": {"name": "m", "namespace": "default", "labels": {"kubernetes.io/service-name": "m"}},
            "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": False}}],
            "ports": [{"name": "https", "port": 443, "protocol": "TCP"}],
        })
        await eventually(lambda: reason("MissingEndpoints"))


@pytest.mark.parametrize(("service", "slices", "reason"), [
    (None, [], "ServiceNotFound"), ({"port": 80}, [], "ServicePortError"), ({"port": 443}, [], "EndpointsNotFound"),
    ({"port": 443}, [{"addresses": ["10.0.0.1"], "conditions": {"ready": False}}], "MissingEndpoints"),
])
async def test_the_condition_says_what_is_missing(service: Any, slices: list[Any], reason: str) -> None:
    async with serving() as (_, client):
        if service:
            await client.create(SERVICES, {
                "kind": "Service", "apiVersion": "v1", "metadata": {"name": "m", "namespace": "default"},
                "spec": {"ports": [{"name": "https", **service}]},
            })
        if slices:
            await client.create(ENDPOINT_SLICES, {
                "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1", "addressType": "IPv4",
                "metadata": {"name": "m", "namespace": "default", "labels": {"kubernetes.io/service-name": "m"}},
                "endpoints": slices, "ports": [{"name": "https", "port": 443, "protocol": "TCP"}],
            })
        await client.create(API_SERVICES, api_service(443, "x", "m"))
        assert (await eventually(lambda: condition(client, "False")))["reason"] == reason


async def test_our_own_groups_are_registered() -> None:
    async with serving(authorization=True) as (server, client):
        found = {one["metadata"]["name"]: one for one in (await client.list(API_SERVICES))["items"]}
        assert {"v1.", "v1.apps", "v1.rbac.authorization.k8s.io", "v2.autoscaling"} <= set(found)
        apps = found["v1.apps"]
        assert (apps["spec"]["groupPriorityMinimum"], apps["spec"]["versionPriority"]) == (17800, 15)
        assert apps["status"]["conditions"][0]["reason"] == "Local"
        assert (await call(server, "GET", "/apis/apps/v1")).status == 200
        with pytest.raises(NotFound):
            await client.get(API_SERVICES, "v1.apiregistration.k8s.io")


async def test_a_server_behind_can_learn_whom_to_believe(tmp_path: Path) -> None:
    pki = ClusterPKI.ensure(tmp_path)
    files = {"client_ca_file": str(pki.ca_path), "requestheader_client_ca_file": str(pki.front_proxy_ca_path)}
    async with serving(**files) as (_, client):
        name = "extension-apiserver-authentication"
        found = (await client.get(CONFIG_MAPS, name, "kube-system"))["data"]
        assert found["client-ca-file"] == pki.ca_path.read_text()
        assert found["requestheader-client-ca-file"] == pki.front_proxy_ca_path.read_text()
        assert found["requestheader-allowed-names"] == '["front-proxy-client"]'
        await client.patch(CONFIG_MAPS, name, {"data": {"client-ca-file": "old"}}, "kube-system")
        await trust.ensure(client, APIServerConfig(**files))
        assert (await client.get(CONFIG_MAPS, name, "kube-system"))["data"] == found
        await client.delete(CONFIG_MAPS, name, "kube-system")
        await trust.ensure(client, APIServerConfig(**files))
        assert (await client.get(CONFIG_MAPS, name, "kube-system"))["data"] == found


def test_who_was_believed_before_is_until_the_authority_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    old, new = (ClusterPKI.ensure(tmp_path / name).ca_path.read_text() for name in ("old", "new"))
    names = {"requestheader-allowed-names": '["b"]', "client-ca-file": new}
    present = {"requestheader-allowed-names": '["a", "b"]', "client-ca-file": old, "more": "x"}
    assert trust.merged(present, names) == {
        "requestheader-allowed-names": '["a", "b"]', "client-ca-file": old + new, "more": "x",
    }
    assert trust.merged({"requestheader-allowed-names": "nonsense", "client-ca-file": new}, names) == names
    ends = x509.load_pem_x509_certificate(old.encode()).not_valid_after_utc
    monkeypatch.setattr(effects, "now", lambda: ends + datetime.timedelta(days=1))
    assert trust.merged(present, {})["client-ca-file"] == old, "what is not this server's business stays"
    assert trust.merged(present, names)["client-ca-file"] == ""
