"""Keeps a ConfigMap `hello` in every namespace that is labelled `greet`, with the label's value in it."""

import asyncio
import signal
import socket

from sampan.api.resources import CONFIG_MAPS, NAMESPACES
from sampan.apimachinery.object import is_being_deleted, labels_of, name_of, namespace_of
from sampan.client.client import Client
from sampan.client.informer import InformerFactory
from sampan.client.kubeconfig import in_cluster
from sampan.client.leader_election import LeaderElector
from sampan.client.transport import HTTPTransport
from sampan.reconcile.controller import Controller, Wiring
from sampan.reconcile.manager import Manager
from sampan.reconcile.plan import NOTHING, Create, Delete, Plan, Update


def plan(namespace, found):
    """What to do about one namespace. `found` is its ConfigMap, None if there is none."""
    wanted = labels_of(namespace).get("greet")
    if wanted is None or is_being_deleted(namespace):
        return Plan((Delete(CONFIG_MAPS, "hello", name_of(namespace)),)) if found else NOTHING
    if found is None:
        metadata = {"name": "hello", "namespace": name_of(namespace)}
        config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"name": wanted}}
        return Plan((Create(CONFIG_MAPS, config_map),))
    if found.get("data") == {"name": wanted}:
        return NOTHING
    return Plan((Update(CONFIG_MAPS, {**found, "data": {"name": wanted}}),))


class Greeter:
    """Keys are namespaces; a ConfigMap called hello concerns its own."""

    def __init__(self, wiring: Wiring) -> None:
        self.namespaces = wiring.watch(NAMESPACES)
        self.config_maps = wiring.watch(
            CONFIG_MAPS, lambda one: [namespace_of(one)] if name_of(one) == "hello" else []
        )

    async def reconcile(self, key):
        namespace = self.namespaces.get_by_key(key)
        return NOTHING if namespace is None else plan(namespace, self.config_maps.get("hello", key))


async def run(client):
    factory = InformerFactory(client)
    await Manager(factory, [Controller("greeter", Greeter, client, factory)]).run()


async def main():
    """In a pod: of several, the one that holds the Lease `greeter` works; told to stop, it hands the Lease over."""
    credentials = in_cluster()
    client = Client(HTTPTransport.from_credentials(credentials, user_agent="greeter"))
    elector = LeaderElector(client, "greeter", credentials.namespace, socket.gethostname())
    working = asyncio.ensure_future(elector.run(lambda: run(client)))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, working.cancel)
    await asyncio.wait([working])
    if not working.cancelled():
        working.result()  # it raises: the Lease was lost, and the kubelet starts us again


if __name__ == "__main__":
    asyncio.run(main())
