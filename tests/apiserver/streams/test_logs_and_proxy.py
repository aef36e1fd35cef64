"""Logs, and requests passed on to pods, services and nodes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sampan.api.resources import PODS
from sampan.apimachinery.errors import BadRequest, Forbidden, Invalid, ServiceUnavailable
from sampan.apimachinery.http import Request, UserInfo
from sampan.apiserver.context import RequestContext
from sampan.apiserver.request_info import fill
from sampan.apiserver.streams.location import check_proxyable
from sampan.apiserver.streams.logs import log
from sampan.apiserver.streams.proxy import proxy
from sampan.apiserver.streams.proxy_target import service_target
from sampan.apiserver.streams.table import ROUTES


async def whole(response: Any) -> bytes:
    return b"".join([chunk async for chunk in response.stream])


async def test_a_log_comes_from_the_kubelet(harness: Any) -> None:
    harness.kubelet.plain = (200, b"one\ntwo\n")
    query = {"follow": ["true"], "tailLines": ["2"], "timestamps": ["false"], "container": ["app"]}
    response = await log(harness.context("log", query, {}), harness.parts)
    assert response.headers["content-type"] == "text/plain"
    assert await whole(response) == b"one\ntwo\n"
    assert harness.kubelet.requests[0][0] == "GET /containerLogs/ns/web/app?follow=true&tailLines=2 HTTP/1.1"


async def test_what_the_kubelet_says_of_a_missing_log(harness: Any) -> None:
    harness.kubelet.plain = (400, b'container "app" in pod "web" is waiting to start: ContainerCreating')
    with pytest.raises(BadRequest, match="is waiting to start: ContainerCreating"):
        await log(harness.context("log", {}, {}), harness.parts)


@pytest.mark.parametrize(("query", "message"), [
    ({"tailLines": ["-1"]}, "tailLines: Invalid value: -1: must be greater than or equal to 0"),
    ({"limitBytes": ["0"]}, "limitBytes: Invalid value: 0: must be greater than 0"),
    ({"sinceSeconds": ["0"]}, "sinceSeconds: Invalid value: 0: must be greater than 0"),
    ({"sinceSeconds": ["1"], "sinceTime": ["2026-01-01T00:00:00Z"]}, "at most one of"),
])
async def test_log_options_that_make_no_sense(harness: Any, query: Any, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        await log(harness.context("log", query, {}), harness.parts)


async def test_a_pod_on_no_node_has_an_empty_log(harness: Any) -> None:
    del harness.parts.reader.objects[("pods", "ns", "web")]["spec"]["nodeName"]
    response = await log(harness.context("log", {}, {}), harness.parts)
    assert (response.status, response.body) == (200, b"")


def node_context(path: str, method: str = "GET", **headers: str) -> RequestContext:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    request = Request(method, f"/api/v1/nodes/n1/proxy{path}", {"a": ["1"]}, sent, remote="10.0.0.9")
    return RequestContext(
        request, verb="get", is_resource=True, version="v1", resource="nodes", subresource="proxy", name="n1",
        subpath=path, user=UserInfo("jane"),
    )


async def test_a_nodes_proxy_is_its_kubelet_without_the_callers_credentials(harness: Any) -> None:
    harness.kubelet.plain = (200, b"{}")
    ctx = node_context("/stats/summary", authorization="Bearer secret", impersonate_user="x", accept="text/plain")
    response = await proxy(ctx, harness.parts)
    assert (response.status, await whole(response)) == (200, b"{}")
    line, headers = harness.kubelet.requests[0]
    assert line == "GET /stats/summary?a=1 HTTP/1.1"
    assert "authorization" not in headers and "impersonate-user" not in headers
    assert headers["accept"] == ["text/plain"]
    assert headers["x-forwarded-for"] == ["10.0.0.9"]


async def test_the_proxys_root_has_a_slash(harness: Any) -> None:
    response = await proxy(node_context(""), harness.parts)
    assert (response.status, response.headers["location"]) == (301, "/api/v1/nodes/n1/proxy/?a=1")


async def test_reading_a_nodes_proxy_is_not_running_commands(harness: Any) -> None:
    """An upgraded GET through nodes/proxy would reach the kubelet's exec."""
    harness.parts.allow = lambda attributes: attributes.verb == "get"
    ctx = node_context("/exec/ns/web/app", connection="Upgrade", upgrade="SPDY/3.1")
    with pytest.raises(Forbidden, match='cannot create resource "nodes/proxy"'):
        await proxy(ctx, harness.parts)
    assert harness.kubelet.requests == []


@pytest.mark.parametrize("address", [
    "127.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "169.254.169.254", "::1", "fe80::1", "0.0.0.0", "name",
])
def test_the_servers_own_addresses_are_no_targets(address: str) -> None:
    with pytest.raises(BadRequest, match="address not allowed"):
        check_proxyable(address)


async def test_a_services_proxy_goes_to_a_ready_endpoint(harness: Any) -> None:
    objects = harness.parts.reader.objects
    objects["services", "ns", "web"] = {
        "metadata": {"name": "web"}, "spec": {"ports": [{"name": "http", "port": 80}, {"name": "tls", "port": 443}]},
    }
    slice = {
        "ports": [{"name": "http", "port": 8080}],
        "endpoints": [
            {"addresses": ["10.0.0.1"], "conditions": {"ready": False}},
            {"addresses": ["10.0.0.2"], "conditions": {"ready": True}},
        ],
    }
    objects["endpointslices", "ns", "web-1"] = slice
    for name in ("web:http", "web:80"):
        ctx = RequestContext(Request("GET", "/"), resource="services", namespace="ns", name=name)
        target = await service_target(ctx, harness.parts)
        assert (target.host, target.port) == ("10.0.0.2", 8080)
    slice["endpoints"][1]["conditions"] = {"ready": False}
    with pytest.raises(ServiceUnavailable, match='no endpoints available for service "web"'):
        await service_target(ctx, harness.parts)


async def test_a_client_that_leaves_closes_the_kubelets_connection(harness: Any) -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    harness.kubelet.plain = (200, b"x" * 1000)
    harness.kubelet.raw = slow
    response = await log(harness.context("log", {"follow": ["true"]}, {}), harness.parts)
    assert await anext(aiter(response.stream))
    await response.stream.aclose()
    async with asyncio.timeout(60):
        await harness.kubelet.ended.wait()


@pytest.mark.parametrize(("protocol", "sent"), [("binary.k8s.io", b"one\n"), ("base64.binary.k8s.io", b"b25lCg==")])
async def test_a_log_over_a_websocket(harness: Any, protocol: str, sent: bytes) -> None:
    harness.kubelet.plain = (200, b"one\n")
    headers = {**harness.websocket, "sec-websocket-protocol": protocol}
    response = await log(harness.context("log", {}, headers), harness.parts)
    assert (response.status, response.headers["Sec-WebSocket-Protocol"]) == (101, protocol)
    task, client = harness.connected(response)
    opcode = 2 if protocol == "binary.k8s.io" else 1
    assert [await client.receive(), await client.receive()] == [(opcode, sent), None]
    assert client.close_code == 1000
    await task


async def test_a_log_speaks_no_other_protocol(harness: Any) -> None:
    harness.kubelet.plain = (200, b"one\n")
    headers = {**harness.websocket, "sec-websocket-protocol": "v5.channel.k8s.io"}
    with pytest.raises(BadRequest, match="sub-protocol must be"):
        await log(harness.context("log", {}, headers), harness.parts)


def test_what_is_proxied_answers_options_too() -> None:
    ctx = RequestContext(Request("OPTIONS", "/api/v1/namespaces/ns/pods/web:80/proxy/a/b", {}, {}))
    fill(ctx)
    route = next(one for one in ROUTES if one.resource == PODS and one.subresource == "proxy")
    assert (ctx.is_resource, ctx.name, ctx.subpath) == (True, "web:80", "/a/b") and ctx.verb in route.verbs
