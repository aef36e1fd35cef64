"""The controller manager, and beside it metrics.k8s.io, as a process of its own, over HTTPS."""

from __future__ import annotations

from sampan.client.client import Client
from sampan.cmd import controlling, credentials
from sampan.cmd.process import Process, start


async def body(process: Process) -> None:
    async def client() -> Client:
        return credentials.client(process.cluster, "controller-manager", field_manager="kube-controller-manager")

    def client_for(account: str) -> Client:
        return credentials.client(
            process.cluster, "controller-manager", field_manager=account,
            impersonate=f"system:serviceaccount:kube-system:{account}",
        )

    async def metrics_client() -> Client:
        return client_for("metrics-server")

    await process.run({
        "controllers": controlling.controllers(process.cluster, client, client_for),
        "metrics": controlling.metrics(process.cluster, metrics_client),
    })


if __name__ == "__main__":
    start("controller-manager", body)
