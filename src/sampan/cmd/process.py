"""What every process of sampan has in common: arguments, log, event loop, parts, health, an orderly end.

A process is a set of named parts, each a coroutine that runs until cancelled. A part that ends with an error is logged,
counted and started again after a back-off, without disturbing the others. The process answers on a unix socket, one
JSON document a connection, what its parts are doing; `sampan status` and `sampan up` ask there.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from sampan import effects
from sampan.cmd import handover, layout
from sampan.cmd.layout import ClusterLayout, NodeLayout
from sampan.cmd.memory import keep_returning, settle

log = logging.getLogger("sampan.process")

Part: TypeAlias = Callable[[], Awaitable[None]]

_FIRST_BACKOFF_S, _LONGEST_BACKOFF_S = 0.2, 15.0
_SETTLED_AFTER_S = 5.0
_SOCKETS = "SAMPAN_LISTENERS"


@dataclass(slots=True)
class PartHealth:
    """How one part fares: `state` is starting, running or failed."""

    state: str = "starting"
    restarts: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Process:
    """The process that runs now: its cluster, its node if it belongs to one, and its parts' health."""

    name: str
    cluster: ClusterLayout
    node: NodeLayout
    health: dict[str, PartHealth] = field(default_factory=dict)

    async def run(self, parts: Mapping[str, Part]) -> None:
        """All parts until cancelled."""
        async with self._health_server(), asyncio.TaskGroup() as group:
            for name, part in parts.items():
                self.health[name] = PartHealth()
                group.create_task(self._keep(name, part), name=name)
            asyncio.get_running_loop().call_later(_SETTLED_AFTER_S, settle)

    async def _keep(self, name: str, part: Part) -> None:
        backoff_s = _FIRST_BACKOFF_S
        health = self.health[name]
        while True:
            began = effects.monotonic()
            try:
                health.state = "running"
                await part()
                health.error = "ended"
            except Exception as error:
                log.exception("%s failed", name)
                health.error = f"{type(error).__name__}: {error}"
            health.state, health.restarts = "failed", health.restarts + 1
            if effects.monotonic() - began > _LONGEST_BACKOFF_S:
                backoff_s = _FIRST_BACKOFF_S
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, _LONGEST_BACKOFF_S)

    @contextlib.asynccontextmanager
    async def _health_server(self) -> AsyncIterator[None]:
        path = self.cluster.health_socket(self.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._answer_health, path)
        try:
            yield
        finally:
            server.close()
            path.unlink(missing_ok=True)

    async def _answer_health(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parts = {n: {"state": h.state, "restarts": h.restarts, "error": h.error} for n, h in self.health.items()}
        writer.write(json.dumps({"process": self.name, "parts": parts}).encode())
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()


def take_sockets(supervisor: Path, process: str, *names: str) -> None:
    """Become the heir of these sockets although the supervisor did not start this process; once is enough.

    Raises OSError when the supervisor is away.
    """
    if _SOCKETS not in os.environ:
        os.environ[_SOCKETS] = json.dumps(handover.ask(supervisor, process, *names))


def inherited_sockets(*names: str) -> list[socket.socket]:
    """The sockets that the supervisor handed down, those with these names or all; always new duplicates."""
    descriptors = json.loads(os.environ.get(_SOCKETS, "{}"))
    sockets = [socket.socket(fileno=os.dup(descriptors[name])) for name in names or descriptors if name in descriptors]
    for inherited in sockets:
        inherited.setblocking(False)
    return sockets


async def ask_health(path: Path, timeout_s: float = 1.0) -> dict[str, Any] | None:
    """What the process behind a health socket answers, and its `pid`; None when nobody answers."""
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_unix_connection(path)
            pid = handover.peer(writer.get_extra_info("socket"))
            document: dict[str, Any] = json.loads(await reader.read())
            writer.close()
            return {**document, "pid": pid}
    except (OSError, TimeoutError, ValueError):
        return None


def start(kind: str, body: Callable[[Process], Awaitable[None]], *, of_node: bool = False) -> None:
    """Run `body` as the process's main coroutine until SIGTERM or SIGINT.

    What is heavy is imported by `body`, because only then the collector rests: while modules load it would traverse,
    again and again, what stays for ever, which is a fifth of the time to start.
    """
    gc.disable()
    parser = argparse.ArgumentParser(prog=f"sampan-{kind}")
    parser.add_argument("--cluster", required=True)
    parser.add_argument("--node", type=int, default=1, help="the node's number, counted from 1")
    parser.add_argument("-v", "--verbose", action="store_true")
    arguments = parser.parse_args()
    cluster = layout.load(arguments.cluster)
    if cluster is None:
        raise SystemExit(f"no cluster {arguments.cluster}; `sampan up` makes one")
    logging.basicConfig(
        level=logging.DEBUG if arguments.verbose else logging.INFO,
        format="%(asctime)s %(levelname).1s %(name)s %(message)s",
    )
    name = f"{kind}-{arguments.node}" if of_node else kind
    process = Process(name, cluster, NodeLayout(cluster.machines, arguments.node))
    with contextlib.suppress(asyncio.CancelledError):
        _run(_until_signalled(body(process)))


async def _until_signalled(main: Awaitable[None]) -> None:
    task = asyncio.ensure_future(main)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    returning = asyncio.create_task(keep_returning(), name="memory")
    try:
        await task
    finally:
        returning.cancel()


def _run(main: Any) -> None:
    import uvloop  # here, so that tools which only ask for health need not load it

    uvloop.run(main)
