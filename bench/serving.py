"""Servers to measure, each a process of its own: `python -m bench.serving (api|bare) DIRECTORY`.

`api` is the API server as users have it: sqlite, TLS, RBAC, audit. `bare` answers every request with the same bytes
over TLS, with uvloop and httptools and nothing else: what the machine and the protocol cost. Both print their port.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path
from typing import cast

import uvloop
from httptools import HttpRequestParser

from sampan.apiserver.config import APIServerConfig
from sampan.apiserver.listener import TLSFiles, serve
from sampan.apiserver.server import APIServer
from sampan.cmd.memory import keep_returning, settle
from sampan.storage.sqlite import SqliteStore

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1024\r\n\r\n" + b"x" * 1024


def tls(directory: Path) -> TLSFiles:
    pki = directory / "pki"
    return TLSFiles(str(pki / "apiserver.crt"), str(pki / "apiserver.key"), str(pki / "ca.crt"))


class Bare(asyncio.Protocol):
    """One connection that is always answered."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._parser = HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Looked at and forgotten."""

    def on_message_complete(self) -> None:
        self._transport.write(ANSWER)


async def bare(directory: Path, listener: socket.socket) -> None:
    await asyncio.get_running_loop().create_server(Bare, sock=listener, ssl=tls(directory).context())


async def api(directory: Path, listener: socket.socket) -> None:
    pki = directory / "pki"
    server = APIServer(await SqliteStore.open(directory / "store.db"), APIServerConfig(
        client_ca_file=str(pki / "ca.crt"), service_account_key_files=(str(pki / "sa.pub"),),
        service_account_signing_key_file=str(pki / "sa.key"), audit_log_path=str(directory / "audit.log"),
    ))
    await server.start()
    await serve(server, [listener], tls(directory))


async def main() -> None:
    kind, directory = sys.argv[1], Path(sys.argv[2])
    listener = socket.create_server(("127.0.0.1", 0))
    await (bare if kind == "bare" else api)(directory, listener)
    settle()  # as `sampan.cmd.process` does once a process is ready
    print(listener.getsockname()[1], flush=True)
    await keep_returning(5.0)


if __name__ == "__main__":
    uvloop.run(main())
