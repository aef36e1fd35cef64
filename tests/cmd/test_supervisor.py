"""The supervisor starts again what ends, and adopts what an earlier one started, sockets included."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from tests.meanwhile import meanwhile
from tests.ports import free_port

from sampan.cmd import layout, supervisor, topology
from sampan.cmd.layout import ClusterLayout
from sampan.cmd.topology import ListenerSpec, ProcessSpec
from sampan.machines import namespace

DEADLINE_S = 60.0
SERVER = """
import json, os, socket
fd = json.loads(os.environ["SAMPAN_LISTENERS"])["api"]
listener = socket.socket(fileno=fd)
while True:
    peer, _ = listener.accept()
    peer.sendall(str(os.getpid()).encode())
    peer.close()
"""


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.02)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClusterLayout]:
    name = f"t-sup-{os.getpid() % 10000}"
    monkeypatch.setattr(layout, "STATE_ROOT", tmp_path / "state")
    monkeypatch.setattr(layout, "RUN_ROOT", tmp_path / "run")
    cluster = ClusterLayout(name, 0)
    cluster.log_dir.mkdir(parents=True)
    space = f"sampan-{name}-x"
    namespace.create(space)
    specs = (ProcessSpec("server", (sys.executable, "-c", SERVER), space, ("api",)),)
    monkeypatch.setattr(topology, "processes", lambda _: specs)
    monkeypatch.setattr(topology, "listeners", lambda _: (ListenerSpec("api", "", "127.0.0.1", free_port()),))
    yield cluster
    pid = supervisor.running_pid(cluster, "server")
    if pid:
        os.kill(pid, signal.SIGKILL)
    namespace.delete(space)


@pytest.fixture
async def running(cluster: ClusterLayout) -> AsyncIterator[asyncio.Task[None]]:
    async with meanwhile(supervisor.supervise(cluster)) as task:
        await eventually(lambda: supervisor.running_pid(cluster, "server") != 0)
        yield task


def _port(cluster: ClusterLayout) -> int:
    listener = supervisor.inherited_listeners(cluster)["api"]
    with listener:
        return int(listener.getsockname()[1])


async def _served_by(port: int) -> int:
    """The pid that answers. A dying process may take a connection with it, but none is ever refused."""
    answer = b""
    while not answer:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answer = await asyncio.wait_for(reader.read(), DEADLINE_S)
        writer.close()
    return int(answer)


async def test_a_killed_process_comes_back_and_no_connection_is_refused(
    cluster: ClusterLayout, running: asyncio.Task[None]
) -> None:
    port = _port(cluster)
    first = await _served_by(port)
    os.kill(first, signal.SIGKILL)
    second = await _served_by(port)  # connects at once: the socket is the supervisor's, the backlog holds it
    assert second != first
    await eventually(lambda: supervisor.running_pid(cluster, "server") == second)


async def test_the_next_supervisor_adopts_processes_and_their_sockets(
    cluster: ClusterLayout, running: asyncio.Task[None]
) -> None:
    port = _port(cluster)
    first = await _served_by(port)
    running.cancel()  # as SIGKILL would: nothing is stopped in an orderly way
    await asyncio.gather(running, return_exceptions=True)
    async with meanwhile(supervisor.supervise(cluster)):
        assert await _served_by(port) == first
        os.kill(first, signal.SIGKILL)
        assert await _served_by(port) != first


def test_a_pid_that_was_given_to_another_process_is_not_taken_for_ours(cluster: ClusterLayout) -> None:
    path = cluster.run_dir / "pids" / "server.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"pid": os.getpid(), "start_time": "1"}))
    assert supervisor.running_pid(cluster, "server") == 0


def test_a_log_that_grows_too_large_is_emptied_while_it_is_written(tmp_path: Path) -> None:
    grown, small, audit = (tmp_path / name for name in ("node-1.log", "small.log", "audit.log"))
    small.write_bytes(b"x")
    audit.write_bytes(b"y" * 200)
    with grown.open("ab", buffering=0) as writer:
        writer.write(b"a" * 200)
        supervisor.rotate_logs(tmp_path, 100)
        writer.write(b"later")
    assert (tmp_path / "node-1.log.1").read_bytes() == b"a" * 200 and grown.read_bytes() == b"later"
    assert small.read_bytes() == b"x" and audit.stat().st_size == 200


async def test_a_process_that_does_not_run_is_not_signalled(cluster: ClusterLayout) -> None:
    process = supervisor.Process(cluster, topology.processes(cluster)[0], {})
    supervisor.record(cluster, "server", 0)
    await process.stop()  # its pid is 0: a signal would go to everything in this test's process group


async def test_what_cannot_be_started_is_tried_again(
    cluster: ClusterLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_FIRST_BACKOFF_S", 0.01)
    refusals = iter([OSError(28, "No space left on device")])

    def exec_in(name: str, argv: tuple[str, ...], hostname: str = "") -> list[str]:
        for refusal in refusals:
            raise refusal
        return ["sleep", "60"]

    monkeypatch.setattr(namespace, "exec_in", exec_in)
    specs = (ProcessSpec("server", ("x",), "", ()),)
    monkeypatch.setattr(topology, "processes", lambda _: specs)
    async with meanwhile(supervisor.supervise(cluster)):
        await eventually(lambda: supervisor.running_pid(cluster, "server") != 0)
