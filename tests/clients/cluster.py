"""A cluster to point foreign clients at: `python cluster.py DIRECTORY`.

The API server over HTTPS with sqlite, authorisation and all admission plugins, as a user would have it; beside it, in
the same process, the controllers, the scheduler and three simulated nodes whose pods become ready in an instant. Once
it is ready it writes DIRECTORY/kubeconfig and prints a line; it ends when its standard input is closed, so it never
outlives the tests.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from dataclasses import replace
from pathlib import Path

import uvloop
import yaml

from sampan.api.resources import NODES
from sampan.apimachinery.http import UserInfo
from sampan.apimachinery.object import Object
from sampan.apiserver.config import APIServerConfig
from sampan.apiserver.listener import TLSFiles, serve
from sampan.apiserver.server import APIServer
from sampan.client.client import Client
from sampan.controllers import manager
from sampan.controllers.config import ControllerManagerConfig
from sampan.pki.cluster import ClusterPKI
from sampan.scheduler import scheduler
from sampan.scheduler.config import SchedulerConfig
from sampan.sim.node import Fleet, node_specs
from sampan.sim.stages import STAGES
from sampan.storage.sqlite import SqliteStore

INSTANT = tuple(replace(stage, between_s=(0.0, 0.05)) for stage in STAGES)


def config(pki: ClusterPKI) -> APIServerConfig:
    return APIServerConfig(
        client_ca_file=str(pki.ca_path), service_account_key_files=(str(pki.directory / "sa.pub"),),
        watch_window_events=100,
        service_account_signing_key_file=str(pki.directory / "sa.key"),
    )


def parts(server: APIServer, pki: ClusterPKI) -> list[asyncio.Task[None]]:
    """What runs beside the server."""

    def client(user: str, *groups: str) -> Client:
        return Client(server.transport(UserInfo(user, groups=(*groups, "system:authenticated"))))

    def service_account(name: str) -> Client:
        groups = ("system:serviceaccounts", "system:serviceaccounts:kube-system")
        return client(f"system:serviceaccount:kube-system:{name}", *groups)

    controllers = ControllerManagerConfig(client_for=service_account, root_ca=pki.ca_path.read_bytes())
    fleet = Fleet(node_specs(3), INSTANT)
    return [
        asyncio.ensure_future(manager.run(client("system:kube-controller-manager"), controllers)),
        asyncio.ensure_future(scheduler.run(client("system:kube-scheduler"), SchedulerConfig())),
        asyncio.ensure_future(fleet.run(client("fleet", "system:masters"))),
    ]


async def ready(client: Client) -> None:
    """Wait until pods can be created and placed."""
    async with asyncio.timeout(120):
        while True:
            nodes = (await client.list(NODES))["items"]
            if len(nodes) == 3 and all(_is_ready(node) for node in nodes):
                return
            await asyncio.sleep(0.02)


def _is_ready(node: Object) -> bool:
    conditions = node["status"].get("conditions") or []
    return not node["spec"].get("taints") and any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


async def main(directory: Path) -> None:
    pki = ClusterPKI.ensure(directory / "pki")
    store = await SqliteStore.open(directory / "store.db")
    server = APIServer(store, config(pki))
    await server.start()
    listener = socket.create_server(("127.0.0.1", 0))
    files = (pki.directory / "apiserver.crt", pki.directory / "apiserver.key", pki.ca_path)
    listeners = await serve(server, [listener], TLSFiles(*map(str, files)))
    tasks = parts(server, pki)
    try:
        await ready(server.client)
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        (directory / "kubeconfig").write_text(yaml.safe_dump(pki.kubeconfig("admin", url, "clients")))
        print("ready", flush=True)
        told = asyncio.ensure_future(asyncio.to_thread(sys.stdin.read))
        ended, _ = await asyncio.wait({told, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        for one in ended:
            one.result()  # a part that failed is told in the log, which the tests look at in the end
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await listeners.close()
        await server.stop()
        await store.close()


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1])))
