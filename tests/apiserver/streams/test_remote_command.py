"""exec and attach: WebSocket clients translated, SPDY clients passed through."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from sampan.apimachinery.errors import APIError, BadRequest, Forbidden, NotFound
from sampan.apiserver.streams.remote_command import attach, exec_
from sampan.apiserver.streams.spdy_frames import SYN_STREAM, Data, FrameCodec, Opened

SUCCESS = b'{"metadata":{},"status":"Success"}'
FAILURE = json.dumps({
    "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode", "message": "command terminated with exit code 3",
    "details": {"causes": [{"reason": "ExitCode", "message": "3"}]},
}).encode()


def query(*flags: str, command: tuple[str, ...] = ("sh", "-c", "echo a b")) -> dict[str, list[str]]:
    return {**{flag: ["true"] for flag in flags}, "command": list(command)}


async def start(harness: Any, protocol: str, asked: dict[str, list[str]], limit: int = 16) -> Any:
    headers = {**harness.websocket, "sec-websocket-protocol": protocol}
    response = await exec_(harness.context("exec", asked, headers), harness.parts)
    assert response.headers.get("Sec-WebSocket-Protocol", "") == protocol
    assert response.headers["Sec-WebSocket-Accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    return harness.connected(response, limit)


async def test_output_and_exit_code_arrive_on_their_channels(harness: Any) -> None:
    async def behave(side: Any) -> None:
        await side.opened(3)
        assert list(side.streams) == ["error", "stdout", "stderr"]
        await side.spdy.write(side.streams["stdout"], b"a b\n")
        await side.spdy.write(side.streams["stderr"], b"oops")
        await side.finish(FAILURE)

    harness.kubelet.behave = behave
    task, client = await start(harness, "v5.channel.k8s.io", query("stdout", "stderr"))
    assert await client.channels() == {1: b"a b\n", 2: b"oops", 3: FAILURE}
    assert client.close_code == 1000
    await task
    line, headers = harness.kubelet.requests[0]
    assert line == "POST /exec/ns/web/app?command=sh&command=-c&command=echo+a+b&output=1&error=1 HTTP/1.1"
    assert headers["upgrade"] == ["SPDY/3.1"]
    assert headers["x-stream-protocol-version"] == ["v4.channel.k8s.io"]


async def test_the_end_of_stdin_reaches_the_command_and_output_goes_on(harness: Any) -> None:
    async def behave(side: Any) -> None:
        await side.opened(3)
        text = await side.data_of("stdin")
        await side.spdy.write(side.streams["stdout"], text.upper())
        await side.finish(SUCCESS)

    harness.kubelet.behave = behave
    task, client = await start(harness, "v5.channel.k8s.io", query("stdin", "stdout"))
    await client.send(b"\x00hello ")
    await client.send(b"\x00wor", final=False)
    await client.send(b"", opcode=9)
    await client.send(b"ld", opcode=0)
    await client.send(b"\xff\x00")
    assert await client.channels() == {1: b"HELLO WORLD", 3: SUCCESS}
    await task


async def test_a_terminal_has_no_stderr_and_passes_its_size(harness: Any) -> None:
    async def behave(side: Any) -> None:
        await side.opened(4)
        assert list(side.streams) == ["error", "stdin", "stdout", "resize"]
        async for event in side.events:
            if isinstance(event, Data) and event.stream == side.streams["resize"]:
                await side.spdy.write(side.streams["stdout"], event.data)
                break
        await side.finish(SUCCESS)

    harness.kubelet.behave = behave
    task, client = await start(harness, "v4.channel.k8s.io", query("stdin", "stdout", "stderr", "tty"))
    await client.send(b'\x04{"Width":80,"Height":24}')
    assert await client.channels() == {1: b'{"Width":80,"Height":24}', 3: SUCCESS}
    await task


async def test_base64_channels_and_plain_errors_of_old_clients(harness: Any) -> None:
    async def behave(side: Any) -> None:
        await side.opened(2)
        await side.spdy.write(side.streams["stdout"], b"\x00\x01")
        await side.finish(FAILURE)

    harness.kubelet.behave = behave
    task, client = await start(harness, "base64.channel.k8s.io", query("stdout"))
    assert await client.channels() == {
        ord("1"): b"AAE=", ord("3"): b"Y29tbWFuZCB0ZXJtaW5hdGVkIHdpdGggZXhpdCBjb2RlIDM=",
    }
    await task


async def test_a_slow_client_slows_the_command_down(harness: Any) -> None:
    total = 8 * 1024 * 1024
    sent = 0

    async def behave(side: Any) -> None:
        nonlocal sent
        await side.opened(2)
        while sent < total:
            await side.spdy.write(side.streams["stdout"], b"x" * 65536)
            sent += 65536
        await side.finish(SUCCESS)

    harness.kubelet.behave = behave
    task, client = await start(harness, "v5.channel.k8s.io", query("stdout"), limit=2)
    await client.receive()
    for _ in range(50):
        await asyncio.sleep(0)
    stalled = sent
    assert stalled < total
    assert len((await client.channels())[1]) == total
    await task


async def test_when_the_client_goes_the_kubelets_connection_is_closed(harness: Any) -> None:
    async def behave(side: Any) -> None:
        await side.opened(3)
        async for _ in side.events:
            pass

    harness.kubelet.behave = behave
    task, client = await start(harness, "v5.channel.k8s.io", query("stdin", "stdout"))
    await client.receive()
    await client.raw.close()
    async with asyncio.timeout(60):
        await task
        await harness.kubelet.ended.wait()


async def test_when_the_kubelet_goes_the_client_is_closed(harness: Any) -> None:
    async def behave(side: Any) -> None:
        await side.opened(3)

    harness.kubelet.behave = behave
    task, client = await start(harness, "v5.channel.k8s.io", query("stdin", "stdout"))
    async with asyncio.timeout(60):
        assert await client.channels() == {1: b""}
        await task


async def test_a_spdy_client_is_passed_through_byte_by_byte(harness: Any) -> None:
    async def behave(side: Any) -> None:
        await side.opened(2)
        await side.spdy.write(side.streams["stdout"], b"hi")
        await side.finish(SUCCESS)
        await side.spdy.close()

    harness.kubelet.behave = behave
    headers = {
        "connection": "Upgrade", "upgrade": "SPDY/3.1",
        "x-stream-protocol-version": "v4.channel.k8s.io, v3.channel.k8s.io",
    }
    response = await exec_(harness.context("exec", query("stdout"), headers, "POST"), harness.parts)
    assert response.headers == {
        "Connection": "Upgrade", "Upgrade": "SPDY/3.1", "X-Stream-Protocol-Version": "v4.channel.k8s.io",
    }
    task, client = harness.connected(response)
    codec, found = FrameCodec(), {}
    for number, kind in ((1, "error"), (3, "stdout")):
        await client.raw.write(codec.encode(Opened(SYN_STREAM, number, {"streamtype": kind})))
    reader = FrameCodec()
    while data := await client.raw.read():
        for frame in reader.feed(data):
            if isinstance(frame, Data):
                found[frame.stream] = found.get(frame.stream, b"") + frame.data
    assert found == {1: SUCCESS, 3: b"hi"}
    await task
    assert harness.kubelet.requests[0][1]["x-stream-protocol-version"] == ["v4.channel.k8s.io", "v3.channel.k8s.io"]


async def test_reading_exec_is_not_running_commands(harness: Any) -> None:
    """A WebSocket is a GET; without this check the right to `get pods/exec` would be the right to run anything."""
    harness.parts.allow = lambda attributes: attributes.verb == "get"
    headers = {**harness.websocket, "sec-websocket-protocol": "v5.channel.k8s.io"}
    for connect, name in ((exec_, "exec"), (attach, "attach")):
        with pytest.raises(Forbidden) as refused:
            await connect(harness.context(name, query("stdout"), headers), harness.parts)
        assert refused.value.message == (
            f'pods "web" is forbidden: User "jane" cannot create resource "pods/{name}" in API group "" '
            'in the namespace "ns"'
        )
    assert harness.kubelet.requests == []


@pytest.mark.parametrize(("asked", "message"), [
    ({"container": ["nope"], "stdout": ["true"], "command": ["ls"]}, "container nope is not valid for pod web"),
    ({"stdout": ["true"]}, "you must specify at least one command for the container"),
    ({"command": ["ls"]}, "you must specify at least 1 of stdin, stdout, stderr"),
    ({"command": ["ls"], "stdout": ["maybe"]}, 'strconv.ParseBool: parsing "maybe": invalid syntax'),
])
async def test_refusals_come_before_the_upgrade(harness: Any, asked: dict[str, list[str]], message: str) -> None:
    with pytest.raises(BadRequest) as refused:
        await exec_(harness.context("exec", asked, harness.websocket), harness.parts)
    assert refused.value.message == message


async def test_a_pod_that_does_not_exist_or_is_on_no_node(harness: Any) -> None:
    ctx = harness.context("exec", query("stdout"), harness.websocket)
    del harness.parts.reader.objects[("pods", "ns", "web")]["spec"]["nodeName"]
    with pytest.raises(BadRequest, match="pod web does not have a host assigned"):
        await exec_(ctx, harness.parts)
    harness.parts.reader.objects.clear()
    with pytest.raises(NotFound, match='pods "web" not found'):
        await exec_(ctx, harness.parts)


async def test_what_the_kubelet_refuses_is_a_status(harness: Any) -> None:
    harness.kubelet.plain = (404, b"container not found")
    headers = {**harness.websocket, "sec-websocket-protocol": "v5.channel.k8s.io"}
    with pytest.raises(NotFound, match="container not found"):
        await exec_(harness.context("exec", query("stdout"), headers), harness.parts)


async def test_a_kubelet_that_does_not_answer_is_an_error_500(harness: Any) -> None:
    node = harness.parts.reader.objects[("nodes", "", "n1")]
    node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"] = 1
    headers = {**harness.websocket, "sec-websocket-protocol": "v5.channel.k8s.io"}
    with pytest.raises(APIError, match="error dialing backend") as failed:
        await exec_(harness.context("exec", query("stdout"), headers), harness.parts)
    assert failed.value.status_code == 500


async def test_several_containers_need_a_choice_or_an_annotation(harness: Any) -> None:
    pod = harness.parts.reader.objects[("pods", "ns", "web")]
    pod["spec"]["containers"].append({"name": "side"})
    pod["spec"]["initContainers"] = [{"name": "init"}]
    headers = {**harness.websocket, "sec-websocket-protocol": "v5.channel.k8s.io"}
    with pytest.raises(BadRequest) as refused:
        await exec_(harness.context("exec", query("stdout"), headers), harness.parts)
    assert refused.value.message == (
        "a container name must be specified for pod web, choose one of: [app side] "
        "or one of the init containers: [init]"
    )
    pod["metadata"]["annotations"] = {"kubectl.kubernetes.io/default-container": "side"}

    async def behave(side: Any) -> None:
        await side.opened(2)
        await side.finish(SUCCESS)

    harness.kubelet.behave = behave
    task, client = await start(harness, "v5.channel.k8s.io", query("stdout"))
    await client.channels()
    await task
    assert harness.kubelet.requests[0][0].startswith("POST /exec/ns/web/side?")


async def test_a_client_that_speaks_no_known_protocol(harness: Any) -> None:
    headers = {**harness.websocket, "sec-websocket-protocol": "v9.channel.k8s.io"}
    with pytest.raises(BadRequest, match="unable to negotiate protocol"):
        await exec_(harness.context("exec", query("stdout"), headers), harness.parts)
    with pytest.raises(BadRequest, match="Upgrade request required"):
        await exec_(harness.context("exec", query("stdout"), {}, "POST"), harness.parts)
