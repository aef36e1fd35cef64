"""Controllers and scheduler as parts of a process, over whatever client the process has."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from sampan.apimachinery.object import Object
from sampan.client.client import Client
from sampan.cmd.component_server import (
    CONTROLLER_MANAGER_PORT,
    SCHEDULER_PORT,
    ComponentServer,
    ServingFiles,
    Shown,
)
from sampan.cmd.layout import ClusterLayout
from sampan.cmd.process import Part

GetClient: TypeAlias = Callable[[], Awaitable[Client]]
ClientFor: TypeAlias = Callable[[str], Client]
"""A client that acts as a ServiceAccount of kube-system."""


def controllers(cluster: ClusterLayout, client: GetClient, client_for: ClientFor) -> Part:
    """The controller manager; each loop writes as its own ServiceAccount, all read through one set of informers."""

    async def part() -> None:
        connected = await client()
        from sampan.controllers import flags  # after the API serves: it need not wait
        from sampan.controllers.component_config import configz
        from sampan.controllers.config import ControllerManagerConfig
        from sampan.controllers.manager import ControllerManager

        config = ControllerManagerConfig(
            controllers=cluster.controllers, leader_elect=True, identity=cluster.first_node.name,
            client_for=client_for, cluster_cidr=cluster.pod_range, service_cidr=cluster.service_range,
            root_ca=(cluster.pki_dir / "ca.crt").read_bytes(),
            signing_cert=cluster.pki_dir / "ca.crt", signing_key=cluster.pki_dir / "ca.key",
            service_account_key=cluster.pki_dir / "sa.key", check_policy=type_warnings,
        )
        config = flags.parsed(cluster.controller_manager_args, config)
        manager = ControllerManager(connected, config)
        shown = Shown(
            {"controllers": manager.problem}, (manager,), name="kube-controller-manager", flags=flags.shown(config),
            config=configz(config),
        )
        server = ComponentServer(connected, shown)
        async with asyncio.TaskGroup() as group:
            group.create_task(manager.run(), name="controller manager")
            serving = server.run(cluster.first_node.address, CONTROLLER_MANAGER_PORT, _files(cluster))
            group.create_task(serving, name="health")

    return part


def type_warnings(policy: Object) -> Sequence[Object]:
    """Of a ValidatingAdmissionPolicy's expressions."""
    from sampan.apiserver.admission.policies.type_check import warnings_of  # CEL is loaded with the first policy

    return warnings_of(policy)


def scheduler(cluster: ClusterLayout, client: GetClient) -> Part:
    """The scheduler."""

    async def part() -> None:
        connected = await client()
        from sampan.scheduler.configuration.configuration import Configuration
        from sampan.scheduler.kube_scheduler import ATTEMPTS, KubeScheduler

        component = KubeScheduler(connected, Configuration(), cluster.first_node.name)
        server = ComponentServer(connected, Shown(
            {}, (component,), component.readiness(), {ATTEMPTS: component.last_attempt}, name="kube-scheduler",
        ))
        async with asyncio.TaskGroup() as group:
            group.create_task(component.run(), name="scheduler")
            serving = server.run(cluster.first_node.address, SCHEDULER_PORT, _files(cluster))
            group.create_task(serving, name="health")

    return part


def metrics(cluster: ClusterLayout, client: GetClient) -> Part:
    """metrics.k8s.io: what nodes and pods use."""

    async def part() -> None:
        connected = await client()
        from sampan.addons.metrics.objects import NAME, PORT
        from sampan.addons.metrics.server import MetricsConfig, run

        pki = cluster.pki_dir
        await run(connected, MetricsConfig(
            cluster.first_node.address, PORT, str(pki / f"{NAME}.crt"), str(pki / f"{NAME}.key"),
            str(pki / "front-proxy-ca.crt"),
        ))

    return part


def _files(cluster: ClusterLayout) -> ServingFiles:
    pki = cluster.pki_dir
    return ServingFiles(str(pki / "apiserver.crt"), str(pki / "apiserver.key"), str(pki / "ca.crt"))
