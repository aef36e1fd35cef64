"""What a component shows of itself, and to whom."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.core import GaugeMetricFamily

import sampan
from sampan.api.resources import TOKEN_REVIEWS
from sampan.apimachinery.object import Object
from sampan.apimachinery.resource import Resource
from sampan.cmd.component_server import ComponentServer, Shown


class Gauge:
    def collect(self) -> list[Any]:
        return [GaugeMetricFamily("example_depth", "An example.", value=7)]


class FakeClient:
    """Knows the token `anna`; she may get what `allowed` says."""

    def __init__(self, *, allowed: bool) -> None:
        self.allowed = allowed
        self.asked: list[Object] = []

    async def create(self, resource: Resource, obj: Object) -> Object:
        self.asked.append(obj["spec"])
        if resource == TOKEN_REVIEWS:
            known = obj["spec"]["token"] == "anna"
            return {"status": {"authenticated": known, "user": {"username": "anna", "groups": ["team"]}}}
        return {"status": {"allowed": self.allowed}}


def client_of(known: FakeClient, wrong: str | None = None) -> TestClient[Any, Any]:
    server = ComponentServer(known, Shown({"controllers": lambda: wrong}, (Gauge(),)))  # type: ignore[arg-type]
    return TestClient(TestServer(server.app()))


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz"])
async def test_everyone_may_ask_whether_it_is_well(path: str) -> None:
    async with client_of(FakeClient(allowed=False)) as client:
        assert await (await client.get(path)).text() == "ok"
        text = await (await client.get(f"{path}?verbose")).text()
        assert text == f"[+]ping ok\n[+]controllers ok\n{path[1:]} check passed\n"


async def test_a_failing_check_is_named() -> None:
    async with client_of(FakeClient(allowed=False), "not running: job-controller") as client:
        answer = await client.get("/healthz")
        assert answer.status == 500 and "[-]controllers failed: not running: job-controller" in await answer.text()


async def test_figures_are_for_those_who_may_get_the_path() -> None:
    anna = {"authorization": "Bearer anna"}
    async with client_of(known := FakeClient(allowed=True)) as client:
        assert (await client.get("/metrics")).status == 401
        assert (await client.get("/metrics", headers={"authorization": "Bearer stranger"})).status == 401
        answer = await client.get("/metrics", headers=anna)
        assert answer.status == 200 and "example_depth 7.0" in await answer.text()
        assert known.asked[-1] == {
            "user": "anna", "groups": ["team"], "uid": "",
            "nonResourceAttributes": {"path": "/metrics", "verb": "get"},
        }
    async with client_of(FakeClient(allowed=False)) as client:
        assert (await client.get("/metrics", headers=anna)).status == 403


async def test_what_runs_and_how_it_was_told_to_is_for_those_who_may_get_the_path() -> None:
    anna = {"authorization": "Bearer anna"}
    shown = Shown({}, (), name="kube-x", flags={"leader-elect": "true"})

    def client(*, allowed: bool) -> TestClient[Any, Any]:
        known: Any = FakeClient(allowed=allowed)
        return TestClient(TestServer(ComponentServer(known, shown).app()))

    async with client(allowed=True) as asking:
        assert (await asking.get("/statusz")).status == 401
        form = "application/json;v=v1beta1;g=config.k8s.io;as="
        found = await (await asking.get("/statusz", headers={**anna, "accept": f"{form}Statusz"})).json()
        assert found["metadata"] == {"name": "kube-x"} and "/metrics" in found["paths"]
        found = await (await asking.get("/flagz", headers={**anna, "accept": f"{form}Flagz"})).json()
        assert found["flags"] == {"leader-elect": "true"}
    async with client(allowed=False) as asking:
        assert (await asking.get("/flagz", headers=anna)).status == 403


async def test_a_check_has_a_path_of_its_own_and_can_be_left_out() -> None:
    async with client_of(FakeClient(allowed=False), "not running: job-controller") as client:
        assert await (await client.get("/livez/ping")).text() == "ok"
        answer = await client.get("/livez/controllers")
        assert answer.status == 500 and await answer.text() == "controllers failed: not running: job-controller\n"
        assert (await client.get("/livez/nonsense")).status == 404
        answer = await client.get("/livez?exclude=controllers&verbose")
        assert answer.status == 200 and "[+]controllers excluded: ok" in await answer.text()


async def test_what_checks_said_is_counted_for_those_who_may_get_the_path() -> None:
    anna = {"authorization": "Bearer anna"}
    async with client_of(FakeClient(allowed=True), "not running: job-controller") as client:
        assert (await client.get("/metrics/slis")).status == 401
        for path in ("/healthz", "/healthz", "/readyz"):
            await client.get(path)
        text = await (await client.get("/metrics/slis", headers=anna)).text()
    assert 'kubernetes_healthcheck{name="ping",type="healthz"} 1\n' in text
    assert 'kubernetes_healthcheck{name="controllers",type="healthz"} 0\n' in text
    assert 'kubernetes_healthchecks_total{name="controllers",status="error",type="healthz"} 2\n' in text
    assert 'kubernetes_healthchecks_total{name="ping",status="success",type="readyz"} 1\n' in text


async def test_figures_say_which_release_runs() -> None:
    async with client_of(FakeClient(allowed=True)) as client:
        text = await (await client.get("/metrics", headers={"authorization": "Bearer anna"})).text()
    [line] = [line for line in text.splitlines() if line.startswith("kubernetes_build_info{")]
    assert f'git_version="v{sampan.KUBERNETES_VERSION}+sampan"' in line and line.endswith(" 1.0")


async def test_configz_is_for_those_who_may_get_the_path() -> None:
    shown = Shown({}, (), name="kube-x", config={"x.config.k8s.io": {"Depth": 3}})
    for allowed, status in ((True, 200), (False, 403)):
        known: Any = FakeClient(allowed=allowed)
        async with TestClient(TestServer(ComponentServer(known, shown).app())) as client:
            answer = await client.get("/configz", headers={"authorization": "Bearer anna"})
            assert answer.status == status
            if allowed:
                assert await answer.json() == {"x.config.k8s.io": {"Depth": 3}}
