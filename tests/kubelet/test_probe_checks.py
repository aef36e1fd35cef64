"""One probe against real sockets on the loopback: what it says when it works, and how it words what went wrong."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import pytest
from tests.kubelet.fake_runtime import FakeRuntime
from tests.ports import free_port

from sampan.cri.runtime import CRIError, ExecResult
from sampan.kubelet.hooks import HookFailed, run_hook
from sampan.kubelet.probes.check import Result, Target, check


def target(port: int) -> Target:
    return Target({"name": "c", "ports": [{"name": "web", "containerPort": port}]}, "c1", "127.0.0.1")


async def probe(spec: dict[str, Any], port: int = 1, runtime: FakeRuntime | None = None) -> Result:
    return await check(runtime or FakeRuntime(), spec, target(port), {})


@contextlib.asynccontextmanager
async def http_server(*answers: str) -> AsyncIterator[tuple[int, list[str]]]:
    """Answers each connection with the next text; the heads of the requests are kept."""
    heads: list[str] = []
    left = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        if left:
            writer.write(left.pop(0).encode())
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], heads


async def test_http_sends_what_upstream_sends_and_takes_200_to_399() -> None:
    async with http_server("HTTP/1.1 204 No Content\r\n\r\n") as (port, heads):
        action = {"path": "/live?a=1", "port": "web", "httpHeaders": [{"name": "X-Probe", "value": "1"}]}
        assert (await probe({"httpGet": action}, port)).outcome == "Success"
        assert heads[0].startswith("GET /live?a=1 HTTP/1.1\r\n")
        assert "user-agent: kube-probe/1.37\r\n" in heads[0] and "x-probe: 1\r\n" in heads[0]


async def test_http_failures_are_worded_as_upstreams() -> None:
    async with http_server("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n") as (port, _):
        assert await probe({"httpGet": {"port": port}}) == Result("Failure", "HTTP probe failed with statuscode: 503")
    closed = free_port()
    assert await probe({"httpGet": {"port": closed, "path": "x"}}) == Result(
        "Failure", f'Get "http://127.0.0.1:{closed}/x": dial tcp 127.0.0.1:{closed}: connect: connection refused'
    )
    async with http_server() as (port, _):
        result = await probe({"httpGet": {"port": port}, "timeoutSeconds": 0.05})
        assert "context deadline exceeded (Client.Timeout exceeded while awaiting headers)" in result.message


async def test_redirects_stay_on_the_host() -> None:
    moved = "HTTP/1.1 302 Found\r\nLocation: /b\r\n\r\n"
    async with http_server(moved, "HTTP/1.1 500 No\r\n\r\n") as (port, heads):
        assert (await probe({"httpGet": {"port": port, "path": "/a"}})).outcome == "Failure"
        assert heads[1].startswith("GET /b ")
    away = "HTTP/1.1 302 Found\r\nLocation: http://example.invalid/\r\n\r\n"
    async with http_server(away) as (port, heads):
        assert (await probe({"httpGet": {"port": port}})).outcome == "Success" and len(heads) == 1


async def test_tcp() -> None:
    async with http_server() as (port, _):
        assert (await probe({"tcpSocket": {"port": port}})).outcome == "Success"
    closed = free_port()
    assert await probe({"tcpSocket": {"port": closed}}) == Result(
        "Failure", f"dial tcp 127.0.0.1:{closed}: connect: connection refused"
    )
    assert await probe({"tcpSocket": {"port": "nope"}}) == Result("Unknown", "couldn't find port: nope")


@pytest.mark.parametrize(("reply", "outcome"), [(b"\x08\x01", "Success"), (b"\x08\x02", "Failure")])
async def test_grpc_asks_the_health_service(reply: bytes, outcome: str) -> None:
    asked: list[bytes] = []

    async def answer(request: bytes, context: Any) -> bytes:
        asked.append(request)
        return reply

    server = grpc.aio.server()
    handlers = {"Check": grpc.unary_unary_rpc_method_handler(answer)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        result = await probe({"grpc": {"port": port, "service": "db"}, "timeoutSeconds": 5})
        assert result.outcome == outcome and asked == [b"\x0a\x02db"]
        if outcome == "Failure":
            assert result.message == 'service unhealthy (responded with "NOT_SERVING")'
    finally:
        await server.stop(0)


async def test_exec_and_its_timeout() -> None:
    runtime = FakeRuntime(exec_results={"bad": ExecResult(b"out", b"err", 2)})
    assert await probe({"exec": {"command": ["bad"]}}, runtime=runtime) == Result("Failure", "outerr")
    assert (await probe({"exec": {"command": ["good"]}}, runtime=runtime)).outcome == "Success"

    class Slow(FakeRuntime):
        async def exec_sync(self, container_id: str, command: Any, timeout_s: float = 0) -> ExecResult:
            raise CRIError("DEADLINE_EXCEEDED", "timeout 1s exceeded")

    assert await probe({"exec": {"command": ["a", "b"]}}, runtime=Slow()) == Result(
        "Failure", 'command timed out: "a b" timed out after 1s'
    )


async def test_hooks() -> None:
    runtime = FakeRuntime(exec_results={"bad": ExecResult(b"", b"no", 1)})
    await run_hook(runtime, {"exec": {"command": ["good"]}}, target(1), 5)
    await run_hook(runtime, {"sleep": {"seconds": 0}}, target(1), 5)
    with pytest.raises(HookFailed, match="exited with 1: no"):
        await run_hook(runtime, {"exec": {"command": ["bad"]}}, target(1), 5)
    async with http_server("HTTP/1.1 500 No\r\n\r\n") as (port, _):
        with pytest.raises(HookFailed, match="statuscode: 500"):
            await run_hook(runtime, {"httpGet": {"port": port}}, target(1), 5)
