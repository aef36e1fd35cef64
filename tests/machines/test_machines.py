"""Nodes as network namespaces: they reach each other, nothing else, and leave no trace. Needs root."""

from __future__ import annotations

import asyncio
import errno
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sampan.machines import namespace as namespaces
from sampan.machines.layout import CLUSTER_VARIABLE, Layout
from sampan.machines.namespace import call_in, create, exec_in
from sampan.machines.node import NodeMachine
from sampan.machines.sweep import sweep
from sampan.machines.traces import leftovers, read_process

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="making network namespaces needs root")


@pytest.fixture
async def layout(tmp_path: Path):
    place = Layout(f"t-mach{os.getpid() % 100000}", tmp_path / "state", tmp_path / "run")
    yield place
    await sweep(place.name, place, grace_s=0.5)


def nodes(place: Layout, count: int) -> list[NodeMachine]:
    made = [NodeMachine(place.name, place.node_name(i), i, place) for i in range(1, count + 1)]
    for node in made:
        node.ensure()
    return made


def echo_once(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        connection.sendall(connection.recv(100))


async def test_two_nodes_reach_each_other_by_their_addresses(layout: Layout) -> None:
    first, second = nodes(layout, 2)
    server = first.call(lambda: socket.create_server((str(first.address), 6443)))
    with server:
        answering = asyncio.get_running_loop().run_in_executor(None, echo_once, server)
        with second.call(lambda: socket.create_connection((str(first.address), 6443), 5)) as client:
            client.sendall(b"ahoy")
            assert client.recv(100) == b"ahoy"
            assert client.getsockname()[0] == "172.30.0.12"
        await answering


async def test_nothing_leads_from_a_node_to_the_world_and_the_refusal_is_immediate(layout: Layout) -> None:
    (node,) = nodes(layout, 1)

    def connect() -> int:
        with socket.socket() as client:
            client.settimeout(5)
            return client.connect_ex(("192.0.2.1", 80))

    assert os.strerror(node.call(connect)) in ("Network is unreachable", "No route to host")

    def ask() -> int:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.settimeout(5)
            probe.connect(("192.0.2.1", 53))
            probe.send(b"a question")
            try:
                probe.recv(1)
            except TimeoutError:
                return errno.ETIMEDOUT
            except OSError as error:
                return error.errno or 0
            return 0

    for _ in range(4):  # one after the other: no refusal is held back
        assert os.strerror(node.call(ask)) == "No route to host"


async def test_ensure_mends_a_node_whose_fabric_was_lost(layout: Layout) -> None:
    first, second = nodes(layout, 2)
    namespaces.delete(layout.fabric)
    nodes(layout, 2)
    with first.call(lambda: socket.create_server((str(first.address), 1))):
        second.call(lambda: socket.create_connection((str(first.address), 1), 5)).close()


async def test_ensure_again_keeps_the_cable(layout: Layout) -> None:
    (node,) = nodes(layout, 1)
    before = node.call(lambda: Path("/proc/thread-self/net/dev_snmp6/eth0").read_text().splitlines()[0])
    nodes(layout, 1)
    assert node.call(lambda: Path("/proc/thread-self/net/dev_snmp6/eth0").read_text().splitlines()[0]) == before


async def test_the_root_namespace_gets_nothing_but_names(layout: Layout) -> None:
    links = set(os.listdir("/sys/class/net"))
    nodes(layout, 2)
    assert set(os.listdir("/sys/class/net")) == links


def test_a_function_runs_inside_and_the_process_stays_outside(tmp_path: Path) -> None:
    name = f"t-mach{os.getpid()}-call"
    assert namespaces.create(name) and not namespaces.create(name)
    try:
        here = os.readlink("/proc/thread-self/ns/net")
        assert call_in(name, lambda: os.readlink("/proc/thread-self/ns/net")) != here
        assert os.readlink("/proc/thread-self/ns/net") == here
        with pytest.raises(ZeroDivisionError):
            call_in(name, lambda: 1 // 0)
    finally:
        namespaces.delete(name)
    assert not namespaces.exists(name)


async def test_sweep_ends_processes_by_namespace_marker_and_cgroup_and_no_others(layout: Layout) -> None:
    (node,) = nodes(layout, 1)
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"
    sleep = [sys.executable, "-c", stubborn]
    group = Path("/sys/fs/cgroup/pids") if Path("/sys/fs/cgroup/pids").is_dir() else Path("/sys/fs/cgroup")
    group = group / layout.cgroup / "pod" / "container"
    group.mkdir(parents=True)
    inside = subprocess.Popen(exec_in(node.namespace, sleep), stdout=subprocess.PIPE)
    marked = subprocess.Popen(sleep, env={CLUSTER_VARIABLE: layout.name}, stdout=subprocess.PIPE)
    grouped = subprocess.Popen(sleep, stdout=subprocess.PIPE)
    (group / "cgroup.procs").write_text(str(grouped.pid))
    bystander = subprocess.Popen(sleep, env={CLUSTER_VARIABLE: layout.name + "x"}, stdout=subprocess.PIPE)
    try:
        for process in (inside, marked, grouped, bystander):
            assert process.stdout is not None and process.stdout.readline() == b"\n"  # it is where it is to be
        assert {inside.pid, marked.pid, grouped.pid} <= {p.pid for p in leftovers(layout.name, layout).processes}
        await sweep(layout.name, layout, grace_s=0.3)
        assert [p.wait(60) for p in (inside, marked, grouped)] == [-signal.SIGKILL] * 3
        assert bystander.poll() is None
        assert not group.exists() and not leftovers(layout.name, layout)
    finally:
        for process in (inside, marked, grouped, bystander):
            process.kill()
            process.communicate()


async def test_a_sweep_that_was_held_up_kills_before_it_gives_up(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"
    process = subprocess.Popen(
        [sys.executable, "-c", stubborn], env={CLUSTER_VARIABLE: layout.name}, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == b"\n"
        times = itertools.chain([0.0], itertools.repeat(1000.0))  # nothing ran for a quarter of an hour
        monkeypatch.setattr("sampan.machines.sweep.monotonic", lambda: next(times))
        await sweep(layout.name, layout, grace_s=0.3)
        assert process.wait(60) == -signal.SIGKILL
    finally:
        process.kill()
        process.communicate()


async def test_a_pid_file_names_a_process_only_together_with_its_start(layout: Layout) -> None:
    recorded, reused = (subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) for _ in range(2))
    started = read_process(recorded.pid)
    assert started is not None
    layout.pids.mkdir(parents=True)
    (layout.pids / "a.json").write_text(json.dumps({"pid": recorded.pid, "start_time": str(started.started)}))
    (layout.pids / "b.json").write_text(json.dumps({"pid": reused.pid, "start_time": "1"}))
    (layout.pids / "c.json").write_text('{"pid": 1')
    try:
        assert [p.pid for p in leftovers(layout.name, layout).processes] == [recorded.pid]
        await sweep(layout.name, layout)
        assert recorded.wait(60) == -signal.SIGKILL and reused.poll() is None
    finally:
        for process in (recorded, reused):
            process.kill()
            process.wait()


async def test_sweep_removes_mounts_pod_namespaces_and_files(layout: Layout) -> None:
    (node,) = nodes(layout, 1)
    pod = f"cni-t-mach{os.getpid()}"
    namespaces.create(pod)
    subprocess.run(exec_in(node.namespace, ["ip", "link", "add", "veth1", "type", "veth", "peer", "name", "eth0",
                                            "netns", pod]), check=True)
    stranger = pod + "-other"
    namespaces.create(stranger)
    volume = layout.state / "nodes/a b/volume"
    volume.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", volume], check=True)
    subprocess.run(["mount", "--bind", volume, volume], check=True)
    try:
        found = leftovers(layout.name, layout)
        assert found.mounts == [str(volume)] * 2
        assert [p.name for p in found.namespaces] == [pod, node.namespace, layout.fabric]
        await sweep(layout.name, layout, keep_state=True)
        assert volume.is_dir() and not layout.run.exists() and not namespaces.exists(pod)
        assert namespaces.exists(stranger)
        await sweep(layout.name, layout)
        assert not leftovers(layout.name, layout) and not layout.state_root.exists()
        assert not await sweep(layout.name, layout)
    finally:
        namespaces.delete(stranger)


async def test_a_pod_whose_node_is_gone_is_found_by_the_runtimes_notes(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sampan.machines.traces.CNI_CACHE", tmp_path / "cni/results")
    monkeypatch.setattr(sys.modules["sampan.machines.sweep"], "CNI_CACHE", tmp_path / "cni/results")
    (tmp_path / "cni/results").mkdir(parents=True)
    pods = [f"cni-t-mach{os.getpid()}-{place}" for place in ("mine", "other")]
    for pod, network, container in ((pods[0], layout.network, "a" * 64), (pods[1], layout.network + "-x", "b" * 64)):
        namespaces.create(pod)
        note = {"result": {"interfaces": [{"name": "cni0"}, {"name": "eth0", "sandbox": f"/var/run/netns/{pod}"}]}}
        (tmp_path / f"cni/results/{network}-{container}-eth0").write_text(json.dumps(note))
        (tmp_path / f"cni/results/cni-loopback-{container}-lo").write_text("{")
    try:
        await sweep(layout.name, layout)
        assert [namespaces.exists(pod) for pod in pods] == [False, True]
        assert all("b" * 64 in note.name for note in (tmp_path / "cni/results").iterdir())
    finally:
        for pod in pods:
            namespaces.delete(pod)


def test_names_of_one_cluster_are_never_those_of_another(tmp_path: Path) -> None:
    longer = Layout("t-a-t-a", tmp_path / "s", tmp_path / "r")
    names = [longer.fabric, longer.namespace(longer.node_name(1))]
    for name in names:
        namespaces.create(name)
    try:
        assert Layout("t-a", tmp_path / "s", tmp_path / "r").namespaces() == []
        assert longer.namespaces() == sorted(names)
    finally:
        for name in names:
            namespaces.delete(name)


@pytest.mark.parametrize("name", ["", "A", "a_b", "-a", "a" * 41, "../etc"])
def test_a_cluster_name_that_is_no_label_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cluster name"):
        Layout(name)


def test_a_command_may_run_under_a_nodes_name(layout: Layout) -> None:
    name = f"{layout.name}-named"
    create(name)
    try:
        said = subprocess.run(exec_in(name, ["uname", "-n"], "node-7"), check=True, capture_output=True, text=True)
        assert said.stdout == "node-7\n" and os.uname().nodename != "node-7"
    finally:
        namespaces.delete(name)
