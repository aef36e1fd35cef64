"""Extenders over HTTP: asked about the nodes that fit, for scores, before preemption, and to bind."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.apiserver.serving import serving
from tests.meanwhile import meanwhile

from sampan.api.resources import NODES, PODS
from sampan.apimachinery.object import Object
from sampan.client.client import Client
from sampan.pki.authority import CertificateAuthority, client, server
from sampan.pki.certificate import KeyPair
from sampan.scheduler import scheduler
from sampan.scheduler.config import SchedulerConfig
from sampan.scheduler.configuration.configuration import from_document, scheduler_config

Answer = Callable[[Object], Any]


class Service:
    """An extender: what each verb answers, and what it was asked."""

    def __init__(self, **verbs: Answer) -> None:
        self.asked: list[tuple[str, Object]] = []
        self._verbs = verbs

    @contextlib.asynccontextmanager
    async def running(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
        """Its address."""
        app = web.Application()
        app.router.add_post("/scheduler/{verb}", self._handle)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        assert site._server is not None and site._server.sockets is not None
        try:
            port = site._server.sockets[0].getsockname()[1]
            yield f"{'https' if tls else 'http'}://127.0.0.1:{port}/scheduler"
        finally:
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        verb, body = request.match_info["verb"], await request.json()
        self.asked.append((verb, body))
        answer = self._verbs[verb](body)
        if asyncio.iscoroutine(answer):
            answer = await answer
        return answer if isinstance(answer, web.Response) else web.json_response(answer)


def config(*extenders: Object) -> SchedulerConfig:
    return scheduler_config(from_document({
        "apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration",
        "extenders": list(extenders), "podInitialBackoffSeconds": 1, "podMaxBackoffSeconds": 1,
    }))


@contextlib.asynccontextmanager
async def cluster(settings: SchedulerConfig, nodes: int = 3, cpu: str = "4") -> AsyncIterator[Client]:
    """A server with nodes n0, n1, …, and the scheduler at work."""
    async with serving() as (_, api):
        offered = {"cpu": cpu, "memory": "8Gi", "pods": "110", "example.com/gpu": "1"}
        for number in range(nodes):
            await api.create(NODES, {"metadata": {"name": f"n{number}"}, "status": {"allocatable": offered}})
            await api.patch(NODES, f"n{number}", {"spec": {"taints": None}})
        async with meanwhile(scheduler.run(api, settings)):
            yield api


async def create(api: Client, name: str, *, requests: dict[str, str] | None = None, **spec: Any) -> None:
    container = {"name": "main", "image": "app:1", "resources": {"requests": requests or {}}}
    if requests and "example.com/gpu" in requests:
        container["resources"]["limits"] = {"example.com/gpu": requests["example.com/gpu"]}  # type: ignore[index]
    await api.create(PODS, {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0, **spec},
    })


async def until(api: Client, name: str, condition: Callable[[Object], Any]) -> Object:
    async with asyncio.timeout(60):
        while True:
            pod = await api.get(PODS, name, "default")
            if condition(pod):
                return pod
            await asyncio.sleep(0.02)


async def placed(api: Client, name: str) -> str:
    pod = await until(api, name, lambda pod: pod["spec"].get("nodeName"))
    return str(pod["spec"]["nodeName"])


def message(pod: Object) -> str:
    return "".join(one.get("message", "") for one in pod["status"].get("conditions") or [])


async def test_a_filter_leaves_nodes_and_says_why_others_are_not_left() -> None:
    service = Service(filter=lambda body: {
        "Nodes": {"items": [node for node in body["Nodes"]["items"] if node["metadata"]["name"] == "n1"]},
        "FailedNodes": {"n0": "too warm", "n2": "too cold"},
    })
    async with service.running() as url, cluster(config({"urlPrefix": url, "filterVerb": "filter"})) as api:
        await create(api, "a")
        assert await placed(api, "a") == "n1"
        [(verb, body)] = service.asked
        assert verb == "filter" and body["Pod"]["metadata"]["name"] == "a" and body["NodeNames"] is None
        assert {node["metadata"]["name"] for node in body["Nodes"]["items"]} == {"n0", "n1", "n2"}


async def test_an_extender_that_knows_the_nodes_gets_names_and_its_reasons_are_told() -> None:
    service = Service(filter=lambda body: {
        "nodenames": [], "failedNodes": {"n0": "too warm"}, "failedAndUnresolvableNodes": {"n1": "no licence"},
    })
    extender = {"filterVerb": "filter", "nodeCacheCapable": True}
    async with service.running() as url, cluster(config({"urlPrefix": url, **extender}), nodes=2) as api:
        await create(api, "a", requests={"cpu": "1"})
        pod = await until(api, "a", message)
        assert message(pod).startswith("0/2 nodes are available: 1 no licence, 1 too warm.")
        assert service.asked[0][1]["NodeNames"] == ["n0", "n1"] and service.asked[0][1]["Nodes"] is None


async def test_scores_count_with_their_weight() -> None:
    service = Service(prioritize=lambda body: [{"Host": name, "Score": 10 * (name == "n2")}
                                               for name in body["NodeNames"]])
    extender = {"prioritizeVerb": "prioritize", "weight": 20, "nodeCacheCapable": True}
    async with service.running() as url, cluster(config({"urlPrefix": url, **extender})) as api:
        for name in "abc":
            await create(api, name, requests={"cpu": "500m"})
            assert await placed(api, name) == "n2"


async def test_only_pods_with_managed_resources_concern_it_and_the_plugins_leave_these_alone() -> None:
    """Each node has one GPU, but the extender shares them: what it manages is not counted by the scheduler."""
    service = Service(filter=lambda body: {"NodeNames": ["n0"]})
    extender = {
        "filterVerb": "filter", "nodeCacheCapable": True,
        "managedResources": [{"name": "example.com/gpu", "ignoredByScheduler": True}],
    }
    async with service.running() as url, cluster(config({"urlPrefix": url, **extender})) as api:
        await create(api, "plain")
        await placed(api, "plain")
        assert service.asked == []
        for name in ("gpu-1", "gpu-2"):
            await create(api, name, requests={"example.com/gpu": "1"})
            assert await placed(api, name) == "n0"


async def test_one_that_fails_ends_the_attempt_and_is_asked_again() -> None:
    answers: list[Answer] = [
        lambda body: web.Response(status=500), lambda body: {"Error": "cannot"}, lambda body: {"NodeNames": ["n1"]},
    ]
    read = asyncio.Event()

    async def answer(body: Object) -> Any:
        if len(answers) < 3:
            await read.wait()  # what the first attempt left in the pod's status
        return answers.pop(0)(body)

    service = Service(filter=answer)
    extender = {"filterVerb": "filter", "nodeCacheCapable": True}
    async with service.running() as url, cluster(config({"urlPrefix": url, **extender})) as api:
        await create(api, "a")
        pod = await until(api, "a", message)
        assert message(pod) == f"failed filter with extender at URL {url}/filter, code 500"
        read.set()
        assert await placed(api, "a") == "n1"


async def test_an_ignorable_one_that_fails_is_left_out() -> None:
    async def sleeps(body: Object) -> Any:
        await asyncio.sleep(5)

    service = Service(filter=sleeps)
    extender = {"filterVerb": "filter", "ignorable": True, "httpTimeout": "100ms"}
    async with service.running() as url, cluster(config({"urlPrefix": url, **extender})) as api:
        await create(api, "a")
        assert await placed(api, "a")


async def test_it_binds() -> None:
    async def bind(body: Object) -> Object:
        target = {"apiVersion": "v1", "kind": "Node", "name": body["Node"]}
        binding = {"metadata": {"name": body["PodName"], "uid": body["PodUID"]}, "target": target}
        await apis[0].create(PODS, binding, body["PodNamespace"], name=body["PodName"], subresource="binding")
        return {}

    apis: list[Client] = []
    service = Service(bind=bind)
    async with service.running() as url, cluster(config({"urlPrefix": url, "bindVerb": "bind"})) as api:
        apis.append(api)
        await create(api, "a")
        node = await placed(api, "a")
        assert [(verb, body["Node"]) for verb, body in service.asked] == [("bind", node)]


async def test_it_takes_nodes_away_from_preemption() -> None:
    """On n0 and n1 there is a victim each; the extender agrees to that of n1 only."""
    def preempt(body: Object) -> Any:
        victims = body["NodeNameToMetaVictims"]
        assert set(victims) == {"n0", "n1"}
        return {"NodeNameToMetaVictims": {"n1": victims["n1"]}}

    service = Service(preempt=preempt)
    extender = {"preemptVerb": "preempt", "nodeCacheCapable": True}
    async with service.running() as url, cluster(config({"urlPrefix": url, **extender}), nodes=2, cpu="1") as api:
        for name in ("n0", "n1"):
            await create(api, f"on-{name}", requests={"cpu": "1"}, nodeName=name)
        await api.raw("POST", "/apis/scheduling.k8s.io/v1/priorityclasses", None, {
            "metadata": {"name": "high"}, "value": 100, "kind": "PriorityClass",
            "apiVersion": "scheduling.k8s.io/v1",
        })
        await create(api, "important", requests={"cpu": "1"}, priorityClassName="high")
        assert await placed(api, "important") == "n1"
        left = {pod["metadata"]["name"] for pod in (await api.list(PODS, "default"))["items"]}
        assert left == {"important", "on-n0"}


@pytest.mark.parametrize("given_ca", [True, False])
async def test_it_is_reached_over_tls_with_a_client_certificate(tmp_path: Path, given_ca: bool) -> None:
    """Without a CA of its own, an extender with a certificate that nobody vouches for is not believed."""
    authority = CertificateAuthority.create("extender-ca")
    (tmp_path / "ca.crt").write_bytes(authority.certificate_pem)
    pairs = {"server": server("extender", ["localhost"], ["127.0.0.1"]), "client": client("scheduler")}
    for name, spec in pairs.items():
        KeyPair.named(tmp_path, name).save(authority.issue(spec))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")
    context.load_verify_locations(tmp_path / "ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    tls: Object = {
        "certFile": str(tmp_path / "client.crt"),
        "keyData": base64.b64encode((tmp_path / "client.key").read_bytes()).decode(),
    }
    if given_ca:
        tls["caFile"] = str(tmp_path / "ca.crt")
    service = Service(filter=lambda body: {"NodeNames": ["n2"]})
    extender = {"filterVerb": "filter", "nodeCacheCapable": True, "tlsConfig": tls}
    async with service.running(context) as url, cluster(config({"urlPrefix": url, **extender})) as api:
        await create(api, "a")
        if given_ca:
            assert await placed(api, "a") == "n2"
        else:
            assert "certificate verify failed" in message(await until(api, "a", message))
