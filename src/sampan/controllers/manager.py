"""The controller manager: runs the control loops of `table.CONTROLLERS` against one API server.

With `leader_elect` it first waits until it holds the Lease kube-system/kube-controller-manager, and ends when it loses
it; whoever started it starts it again.
"""

from __future__ import annotations

from collections.abc import Callable

from sampan.client.client import Client
from sampan.client.informer import InformerFactory
from sampan.client.leader_election import LeaderElector
from sampan.controllers.config import ControllerManagerConfig
from sampan.controllers.table import Loop, selected
from sampan.reconcile.controller import Controller, Reconciler, Wiring
from sampan.reconcile.manager import Manager

__all__ = ["ControllerManagerConfig", "run"]


async def run(client: Client, config: ControllerManagerConfig | None = None) -> None:
    """Run the selected controllers until cancelled. Raises LeadershipLost if the Lease is lost."""
    config = config or ControllerManagerConfig()
    manager = make_manager(client, config)
    if not config.leader_elect:
        await manager.run()
        return
    elector = LeaderElector(client, config.leader_name, config.leader_namespace, config.identity)
    await elector.run(manager.run)


def make_manager(client: Client, config: ControllerManagerConfig) -> Manager:
    """The manager of the selected controllers, not yet running."""
    factory = InformerFactory(client)
    controllers = [
        Controller(
            loop.name, _build(loop, config),
            config.client_for(loop.account) if config.client_for and loop.account else client, factory,
            workers=loop.workers, component=loop.component,
        )
        for loop in selected(config)
    ]
    return Manager(factory, controllers)


def _build(loop: Loop, config: ControllerManagerConfig) -> Callable[[Wiring], Reconciler]:
    return lambda wiring: loop.build(wiring, config)
