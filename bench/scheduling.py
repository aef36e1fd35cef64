"""The scheduler as a process of its own: `python -m bench.scheduling KUBECONFIG`."""

from __future__ import annotations

import sys

import uvloop

from sampan.client.client import Client
from sampan.client.transport import HTTPTransport
from sampan.scheduler.scheduler import run


async def main() -> None:
    await run(Client(HTTPTransport.from_kubeconfig(sys.argv[1]), field_manager="kube-scheduler"))


if __name__ == "__main__":
    uvloop.run(main())
