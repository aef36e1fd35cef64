"""A server over HTTPS with RBAC, and the components that run alone against it, as processes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from sampan.apiserver.config import APIServerConfig
from sampan.apiserver.listener import TLSFiles, serve
from sampan.apiserver.server import ITSELF, APIServer
from sampan.client.client import Client
from sampan.pki.cluster import ClusterPKI
from sampan.storage.memory import MemoryStore

SAMPAN = Path(sys.executable).with_name("sampan")


@dataclass
class Served:
    """A server: a client that may do everything, the directory of its keys, the file with which a user reaches it."""

    client: Client
    pki: ClusterPKI
    files: Path
    kubeconfig: Path


@contextlib.asynccontextmanager
async def served(directory: Path, user: str, **config: Any) -> AsyncIterator[Served]:
    """`config` is of the API server."""
    files = directory / "pki"
    pki = ClusterPKI.ensure(files)
    server = APIServer(MemoryStore(), APIServerConfig(
        client_ca_file=str(files / "ca.crt"), service_account_key_files=(str(files / "sa.pub"),),
        service_account_signing_key_file=str(files / "sa.key"), **config,
    ))
    await server.start()
    listener = socket.create_server(("127.0.0.1", 0))
    tls = TLSFiles(str(files / "apiserver.crt"), str(files / "apiserver.key"), str(files / "ca.crt"))
    listeners = await serve(server, [listener], tls)
    kubeconfig = directory / f"{user}.conf"
    url = f"https://127.0.0.1:{listener.getsockname()[1]}"
    kubeconfig.write_bytes(orjson.dumps(pki.kubeconfig(user, url, "test")))
    try:
        yield Served(Client(server.transport(ITSELF)), pki, files, kubeconfig)
    finally:
        await listeners.close()
        await server.stop()


@contextlib.asynccontextmanager
async def running(component: str, cluster: Served, *flags: str) -> AsyncIterator[Process]:
    """`sampan COMPONENT`, ended with SIGTERM if it has not ended by itself."""
    process = await asyncio.create_subprocess_exec(
        SAMPAN, component, f"--kubeconfig={cluster.kubeconfig}", "--bind-address=127.0.0.1", *flags,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    try:
        async with asyncio.timeout(60):
            while not await condition():
                await asyncio.sleep(0.05)
    except TimeoutError:
        pytest.fail(f"it never came about that {what}")
