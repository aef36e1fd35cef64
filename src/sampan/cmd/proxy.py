"""The service proxy as a process of its own."""

from __future__ import annotations

from sampan.cmd import node_parts
from sampan.cmd.process import Process, start


async def body(process: Process) -> None:
    cluster, node = process.cluster, process.node
    await process.run({"proxy": node_parts.proxy(cluster, node)})


if __name__ == "__main__":
    start("proxy", body, of_node=True)
