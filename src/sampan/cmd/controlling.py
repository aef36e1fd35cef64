"""Controllers and scheduler as parts of a process, over whatever client the process has."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from sampan.apimachinery.object import Object
from sampan.client.client import Client
from sampan.cmd.layout import ClusterLayout
from sampan.cmd.process import Part

GetClient: TypeAlias = Callable[[], Awaitable[Client]]
ClientFor: TypeAlias = Callable[[str], Client]
"""A client that acts as a ServiceAccount of kube-system."""


def controllers(cluster: ClusterLayout, client: GetClient, client_for: ClientFor) -> Part:
    """The controller manager; each loop writes as its own ServiceAccount, all read through one set of informers."""

    async def part() -> None:
        connected = await client()
        from sampan.controllers.config import ControllerManagerConfig  # after the API serves: it need not wait
        from sampan.controllers.manager import run

        await run(connected, ControllerManagerConfig(
            client_for=client_for, cluster_cidr=cluster.pod_range, root_ca=(cluster.pki_dir / "ca.crt").read_bytes(),
            signing_cert=cluster.pki_dir / "ca.crt", signing_key=cluster.pki_dir / "ca.key",
            service_account_key=cluster.pki_dir / "sa.key", check_policy=_type_warnings,
        ))

    return part


def _type_warnings(policy: Object) -> Sequence[Object]:
    from sampan.apiserver.admission.policies.type_check import warnings_of  # CEL is loaded with the first policy

    return warnings_of(policy)


def scheduler(client: GetClient) -> Part:
    """The scheduler."""

    async def part() -> None:
        connected = await client()
        from sampan.scheduler.config import SchedulerConfig
        from sampan.scheduler.scheduler import run

        await run(connected, SchedulerConfig())

    return part
