"""What connections cost the API server in memory: `python -m bench.connections`.

Rounds of TLS watches are opened and cut off again, as clients on bad networks do. Printed are the memory that a round
leaves behind, which should not grow from round to round, what an open watch takes, and the CPU µs of opening and losing
one, as a multiple of the bare responder's GET.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import uvloop

from bench import api, load, machine

ROUNDS, WATCHES = 24, 300
RETURNED_S = 6.0  # serving gives freed memory back every five
WATCH = load.request("GET", f"{api.CORE}/pods?watch=true&labelSelector=tenth%3Dt1")


async def opened(server: api.Server, count: int) -> list[asyncio.StreamWriter]:
    """Watches whose first event has arrived."""

    async def one() -> asyncio.StreamWriter:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=server.tls)
        writer.write(WATCH)
        await reader.readuntil(b'{"type":')
        return writer

    return await asyncio.gather(*(one() for _ in range(count)))


async def cut(server: api.Server, writers: list[asyncio.StreamWriter]) -> None:
    """Lose them all, and wait until the server knows."""
    for writer in writers:
        writer.transport.abort()
    while len(list(Path(f"/proc/{server.pid}/fd").iterdir())) > WATCHES // 2:
        await asyncio.sleep(0.05)


async def rounds(server: api.Server, bare_us: float) -> None:
    await cut(server, await opened(server, 10))
    idle_mib = machine.pss_mib(server.pid)
    print(f"idle                        {idle_mib:6.1f} MiB")
    used = server.cpu_s()
    for number in range(1, ROUNDS + 1):
        writers = await opened(server, WATCHES)
        if number == ROUNDS:
            used_us = (server.cpu_s() - used) / (ROUNDS * WATCHES) * 1e6
            per_watch_kib = (machine.pss_mib(server.pid) - idle_mib) / WATCHES * 1024
        await cut(server, writers)
        if number == 1 or not number % 8:
            await asyncio.sleep(RETURNED_S)
            print(f"after {number:3} rounds of {WATCHES}     {machine.pss_mib(server.pid):6.1f} MiB")
    print(f"an open watch               {per_watch_kib:6.1f} KiB at most, {used_us:.0f} µs   × {used_us / bare_us:.2f}")


async def main() -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        directory = Path(name)
        pki, tls = api.credentials(directory)
        with api.serving("bare", directory) as (bare_pid, bare_port), api.serving("api", directory) as (pid, port):
            await api.prepare(directory, pki, port)
            bare = await api.Server(bare_pid, bare_port, tls).send([load.request("GET", "/")] * 4000)
            await rounds(api.Server(pid, port, tls), bare.cpu_us)


if __name__ == "__main__":
    uvloop.run(main())
