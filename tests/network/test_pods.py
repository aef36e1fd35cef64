"""Two nodes, a pod on each, plugged in by the real CNI plugins: they reach each other, under their own addresses."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from sampan.machines import namespace as namespaces
from sampan.machines.layout import Layout
from sampan.machines.node import NodeMachine
from sampan.machines.sweep import sweep
from sampan.machines.traces import leftovers
from sampan.network import routes
from sampan.network.cni import CNIConfig, conflist

PLUGINS = Path("/usr/lib/cni")

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not (PLUGINS / "bridge").exists(), reason="needs root and the CNI plugins")


def plug_in(machine: NodeMachine, config: CNIConfig, cidr: str, pod: str) -> dict[str, Any]:
    """What a runtime does for a new sandbox: run each plugin of the list with the result of the one before."""
    namespaces.create(pod)
    document = conflist(config, [cidr])
    result: dict[str, Any] = {}
    environment = {
        "CNI_COMMAND": "ADD", "CNI_CONTAINERID": pod, "CNI_NETNS": str(namespaces.path_of(pod)), "CNI_IFNAME": "eth0",
        "CNI_PATH": str(PLUGINS), "PATH": os.environ["PATH"],
    }
    for plugin in document["plugins"]:
        given = {"cniVersion": document["cniVersion"], "name": document["name"], **plugin}
        if result:
            given["prevResult"] = result
        done = subprocess.run(machine.exec([str(PLUGINS / plugin["type"])]), input=json.dumps(given), text=True,
                              env=environment, capture_output=True, check=False)
        assert done.returncode == 0, done.stdout
        result = json.loads(done.stdout)
    return result


def address_of(result: dict[str, Any]) -> str:
    return str(result["ips"][0]["address"]).partition("/")[0]


def try_the_world() -> str:
    with socket.socket() as client:
        client.settimeout(5)
        return os.strerror(client.connect_ex(("192.0.2.1", 80)))


async def test_pods_on_two_nodes_reach_each_other_and_all_is_swept_away(tmp_path: Path) -> None:
    place = Layout(f"t-net{os.getpid() % 100000}", tmp_path / "state", tmp_path / "run")
    pods = [f"cni-{place.name}-{number}" for number in (1, 2)]
    try:
        machines = [NodeMachine(place.name, place.node_name(number), number, place) for number in (1, 2)]
        addresses = []
        for number, machine in enumerate(machines):
            machine.ensure()
            config = CNIConfig(place.network, tmp_path / "conf", place.node_state(machine.node) / "cni")
            addresses.append(address_of(plug_in(machine, config, f"10.244.{number}.0/24", pods[number])))
            other = 1 - number
            machine.call(lambda n=other: routes.apply({f"10.244.{n}.0/24": str(machines[n].address)}))
        assert addresses == ["10.244.0.2", "10.244.1.2"]
        with namespaces.call_in(pods[0], lambda: socket.create_server((addresses[0], 80))) as server:
            peers: list[str] = []
            accepting = threading.Thread(target=lambda: peers.append(server.accept()[1][0]))
            accepting.start()
            namespaces.call_in(pods[1], lambda: socket.create_connection((addresses[0], 80), 5)).close()
            accepting.join()
        assert peers == [addresses[1]]
        assert namespaces.call_in(pods[1], try_the_world) in ("Network is unreachable", "No route to host")
        assert {path.name for path in leftovers(place.name, place).namespaces} >= set(pods)
    finally:
        await sweep(place.name, place)
    assert not any(namespaces.exists(pod) for pod in pods)
