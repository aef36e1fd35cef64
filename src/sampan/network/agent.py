"""A node's network agent: from Node objects to the pods' CNI configuration and the routes to other nodes.

It watches Nodes and does nothing else: when its own node has been given a pod CIDR it writes the CNI list (from then
on the runtime reports the network ready), and whenever another node's pod CIDR or address changes it corrects the
routes. What it wrote stays when it ends, so pods keep their connections while it is away.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

from sampan.api.resources import NODES
from sampan.apimachinery.object import Object
from sampan.client.client import Client
from sampan.client.informer import InformerFactory
from sampan.network import cni, routes

log = logging.getLogger(__name__)

RETRY_S = 5.0


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """`node` is this node's name. Give `informers` where several components of a process share them."""

    node: str
    cni: cni.CNIConfig
    informers: InformerFactory | None = field(default=None, compare=False)


async def run(client: Client, config: NetworkConfig) -> None:
    """Keep this node's pod network and routes right until cancelled. Must run inside the node's network namespace."""
    changed = asyncio.Event()
    factory = config.informers or InformerFactory(client)
    nodes = factory.informer(NODES)

    def note_update(old: Object, new: Object) -> None:
        # Heartbeats change a node's status often; what matters here, seldom.
        if routes.desired([old], "") != routes.desired([new], "") or routes.pod_cidrs(old) != routes.pod_cidrs(new):
            changed.set()

    def note(_: Object) -> None:
        changed.set()

    handler = nodes.add_handler(note, note_update, note)
    try:
        if config.informers is None:
            factory.start()
        await nodes.wait_synced()
        while True:
            await changed.wait()
            changed.clear()
            if not await _synchronise(nodes.lister.list(), nodes.lister.get(config.node), config):
                asyncio.get_running_loop().call_later(RETRY_S, changed.set)
    finally:
        nodes.remove_handler(handler)
        if config.informers is None:
            await factory.stop()


async def _synchronise(nodes: list[Object], own: Object | None, config: NetworkConfig) -> bool:
    """One pass; False when it should be tried again."""
    try:
        cidrs = routes.pod_cidrs(own) if own else []
        if cidrs and cni.write(config.cni, cidrs):
            log.info("node %s: pod network %s", config.node, ", ".join(cidrs))
        put, removed = await asyncio.to_thread(routes.apply, routes.desired(nodes, config.node))
    except Exception:
        log.exception("node %s: pod network could not be set up; trying again in %s s", config.node, RETRY_S)
        return False
    if put or removed:
        log.info("node %s: routes set %s, removed %s", config.node, put, removed)
    return True
