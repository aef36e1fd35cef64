"""The node's own API: who may, what it answers, and how logs are refused. No sockets here."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson
from tests.kubelet.world import World, pod, simulate

import sampan
from sampan.apimachinery.http import Request, Response, UserInfo
from sampan.cri.runtime import ContainerStats
from sampan.kubelet.sandbox_config import CONTAINER_NAME, POD_UID
from sampan.kubelet.server import stats
from sampan.kubelet.server.api import NodeAPI
from sampan.kubelet.server.auth import subresources, verb_of
from sampan.kubelet.server.http import NodeRequest, serve_connection, user_of

ADMIN = UserInfo("admin", groups=("system:masters",))


async def ask(world: World, path: str, user: UserInfo | None = ADMIN, **query: str) -> tuple[int, str]:
    request = Request("GET", path, {key: [value] for key, value in query.items()}, {}, b"", user)
    response: Response = await NodeAPI(world.kubelet).handle(NodeRequest(request, path))
    body = response.body
    if response.stream is not None:
        body = b"".join([piece async for piece in response.stream])
    return response.status, body.decode()


def test_strangers_get_nothing_and_others_what_the_api_server_allows(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path) as world:
            asked: list[dict[str, Any]] = []
            allowed = {"metrics"}
            plain = world.api._create

            def create(plural: str, namespace: str, name: str, sub: str, body: dict[str, Any]) -> dict[str, Any]:
                if plural != "subjectaccessreviews":
                    return plain(plural, namespace, name, sub, body)
                asked.append(body["spec"]["resourceAttributes"])
                return {"status": {"allowed": body["spec"]["resourceAttributes"]["subresource"] in allowed}}

            world.api._create = create  # type: ignore[method-assign]
            assert await ask(world, "/pods", None) == (401, "Unauthorized")
            someone = UserInfo("prometheus", groups=("system:authenticated",))
            status, text = await ask(world, "/pods", someone)
            assert status == 403
            assert text == "Forbidden (user=prometheus, verb=get, resource=nodes, subresource(s)=[pods proxy])"
            assert (await ask(world, "/metrics", someone))[0] == 200
            assert asked[-1] == {
                "verb": "get", "version": "v1", "resource": "nodes", "subresource": "metrics", "name": "n1"
            }
            before = len(asked)
            assert (await ask(world, "/metrics", someone))[0] == 200
            assert len(asked) == before + 1  # a fresh NodeAPI each time; within one the answer is kept

    simulate(story)


def test_figures_say_since_when_a_container_runs() -> None:
    labels = {POD_UID: "u", CONTAINER_NAME: "main"}
    measured = ContainerStats("c1", "main", labels, 105 * 10**9, 5 * 10**8, 4096)
    document = {"metadata": {"name": "web", "namespace": "ns", "uid": "u"}}
    usage = stats.Usage("n1", [document], [measured], Path("/"), {}, {"c1": 100 * 10**9})
    assert 'container_start_time_seconds{container="main",namespace="ns",pod="web"} 100.0' in (
        stats.resource_metrics(usage).splitlines()
    )
    container = stats.summary(usage)["pods"][0]["containers"][0]
    assert container["startTime"] == "1970-01-01T00:01:40Z"
    assert container["cpu"]["time"] == "1970-01-01T00:01:45Z"


def test_what_runs_and_how_it_was_told_to(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path) as world:
            status, text = await ask(world, "/statusz")
            assert status == 200 and text.startswith("\nkubelet statusz\n")
            assert f"Binary version: {sampan.KUBERNETES_VERSION}" in text and "/containerLogs" in text
            status, text = await ask(world, "/flagz")
            assert status == 200 and "node-name=n1" in text and "\ntls=" not in text

    simulate(story)


def test_paths_stand_for_subresources() -> None:
    assert subresources("/stats/summary") == ("stats",)
    assert subresources("/exec/a/b/c") == ("proxy",)
    assert subresources("/pods") == ("pods", "proxy")
    assert subresources("/logs/x") == ("log",)
    assert (subresources("/statusz"), subresources("/flagz")) == (("statusz",), ("configz",))
    assert subresources("/metricsx") == ("proxy",)


def test_running_something_needs_create_whatever_the_method() -> None:
    for path in ("/exec/ns/pod/c", "//exec/ns/pod/c", "/attach/ns/pod/c", "/portForward/ns/pod"):
        assert verb_of("GET", path) == verb_of("POST", path) == "create"
    assert verb_of("GET", "/pods") == "get" and verb_of("GET", "/containerLogs/ns/pod/c") == "get"


async def test_a_length_that_is_no_number_closes_the_connection() -> None:
    asked: list[str] = []

    async def handler(request: NodeRequest) -> Response:
        asked.append(request.target)
        return Response(200)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await serve_connection(reader, writer, handler)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        for lengths in (b"content-length: x", b"content-length: 1_0", b"content-length: -1",
                        b"content-length: 0\r\nContent-Length: 9", b"content-length: " + b"9" * 30000):
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"GET /x HTTP/1.1\r\n" + lengths + b"\r\n\r\n")
            async with asyncio.timeout(60):
                assert await reader.read() == b""
            writer.close()
    finally:
        server.close()
    assert asked == []


def test_a_client_certificate_names_user_and_groups() -> None:
    subject = ((("organizationName", "system:nodes"),), (("commonName", "system:node:a"),))
    assert user_of({"subject": subject}) == UserInfo("system:node:a", groups=("system:nodes", "system:authenticated"))
    assert user_of({}) is None and user_of(None) is None


def test_pods_figures_and_logs(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path) as world:
            world.add(pod())
            await world.until(world.is_ready, 5)
            status, text = await ask(world, "/pods")
            assert status == 200
            assert [item["status"]["phase"] for item in orjson.loads(text)["items"]] == ["Running"]
            assert await ask(world, "/healthz") == (200, "ok")
            assert "kubelet_running_pods 1" in (await ask(world, "/metrics"))[1]
            log = tmp_path / "logs/pods/default_web_uid-web/main/0.log"
            log.write_text("2026-01-01T00:00:00.1Z stdout F hello\n2026-01-01T00:00:01.1Z stderr F there\n")
            assert await ask(world, "/containerLogs/default/web/main") == (200, "hello\nthere\n")
            assert await ask(world, "/containerLogs/default/web/main", tailLines="1") == (200, "there\n")
            assert await ask(world, "/containerLogs/default/web/main", previous="true") == (
                400, 'previous terminated container "main" in pod "web" not found'
            )
            assert await ask(world, "/containerLogs/default/none/main") == (404, 'pod "none" does not exist')
            assert (await ask(world, "/containerLogs/default/web/main", tailLines="x"))[0] == 400
            assert await ask(world, "/nonsense") == (404, "404 page not found")

    simulate(story)


def test_what_a_container_printed_last_is_awaited(tmp_path: Path) -> None:
    """The runtime says that it has ended before its log is written."""
    async def story() -> None:
        async with World(tmp_path) as world:
            world.add(pod(restartPolicy="Never"))
            await world.until(world.is_ready, 5)
            log = tmp_path / "logs/pods/default_web_uid-web/main/0.log"
            log.write_text("")
            world.runtime.finish("main")
            await world.until(lambda: world.status().get("phase") == "Succeeded", 5)
            asking = asyncio.create_task(ask(world, "/containerLogs/default/web/main"))
            await asyncio.sleep(0.1)
            assert not asking.done()
            log.write_text("2026-01-01T00:00:00.1Z stdout F bye\n")
            assert await asking == (200, "bye\n")
            log.write_text("")
            await asyncio.sleep(2)
            assert await ask(world, "/containerLogs/default/web/main") == (200, "")

    simulate(story)


def test_the_log_of_a_container_that_has_not_started(tmp_path: Path) -> None:
    async def story() -> None:
        async with World(tmp_path) as world:
            world.add(pod(containers=[{"name": "main", "image": "lost:1"}]))
            await world.until(lambda: world.waiting() == "ErrImagePull", 5)
            assert await ask(world, "/containerLogs/default/web/main") == (
                400, 'container "main" in pod "web" is waiting to start: image can\'t be pulled'
            )

    simulate(story)
