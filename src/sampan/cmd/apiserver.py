"""The API server as a process of its own."""

from __future__ import annotations

from sampan.cmd.process import Process, start


async def body(process: Process) -> None:
    from sampan.cmd.api import Serving

    await process.run(Serving(process.cluster).parts)


if __name__ == "__main__":
    start("apiserver", body)
