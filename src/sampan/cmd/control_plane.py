"""API server, controllers, scheduler and metrics in one process; the others call the server without a socket."""

from __future__ import annotations

from sampan.apimachinery.http import UserInfo
from sampan.client.client import Client
from sampan.cmd.process import Process, start

CONTROLLER_MANAGER = UserInfo("system:kube-controller-manager", groups=("system:authenticated",))
SCHEDULER = UserInfo("system:kube-scheduler", groups=("system:authenticated",))


def service_account(name: str) -> UserInfo:
    """A controller's identity: the ServiceAccount of kube-system that upstream gives it."""
    groups = ("system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated")
    return UserInfo(f"system:serviceaccount:kube-system:{name}", groups=groups)


async def body(process: Process) -> None:
    from sampan.cmd import controlling
    from sampan.cmd.api import Serving

    serving = Serving(process.cluster)

    async def controllers_client() -> Client:
        return await serving.client(CONTROLLER_MANAGER, "kube-controller-manager")

    def client_for(account: str) -> Client:
        return serving.client_now(service_account(account), account)

    async def scheduler_client() -> Client:
        return await serving.client(SCHEDULER, "kube-scheduler")

    async def metrics_client() -> Client:
        return await serving.client(service_account("metrics-server"), "metrics-server")

    await process.run({
        **serving.parts,
        "controllers": controlling.controllers(process.cluster, controllers_client, client_for),
        "scheduler": controlling.scheduler(process.cluster, scheduler_client),
        "metrics": controlling.metrics(process.cluster, metrics_client),
    })


if __name__ == "__main__":
    start("control-plane", body)
