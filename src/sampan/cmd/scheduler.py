"""The scheduler as a process of its own, over HTTPS."""

from __future__ import annotations

from sampan.client.client import Client
from sampan.cmd import controlling, credentials
from sampan.cmd.process import Process, start


async def body(process: Process) -> None:
    async def client() -> Client:
        return credentials.client(process.cluster, "scheduler", field_manager="kube-scheduler")

    await process.run({"scheduler": controlling.scheduler(process.cluster, client)})


if __name__ == "__main__":
    start("scheduler", body)
