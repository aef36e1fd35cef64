"""Hands the supervisor's sockets to a process that somebody else starts, such as the API server in a static pod.

A child gets the cluster's listening sockets by inheritance; the kubelet's containers are nobody's children. So the
supervisor answers on a unix socket: who asks names itself and what it wants, gets the descriptors (SCM_RIGHTS) and says
under which numbers it has them. That is written down as for a child: should the supervisor die, the next one takes the
sockets from there, and a server that is started again comes back on sockets that never closed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

log = logging.getLogger("sampan.supervisor")

_LIMIT_BYTES, _LIMIT_SOCKETS = 4096, 64
_TIMEOUT_S = 5.0
_CREDENTIALS = struct.Struct("3i")
"""pid, uid, gid, as SO_PEERCRED gives them."""


class Record(Protocol):
    """Writes down that process `name` is `pid` and holds these descriptors."""

    def __call__(self, name: str, pid: int, listeners: dict[str, int]) -> None: ...


async def serve(path: Path, sockets: Mapping[str, socket.socket], record: Record) -> None:
    """Answer at `path` until cancelled. Only root can ask: the directory is closed to everybody else."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.unlink(missing_ok=True)
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
        door.bind(str(path))
        door.listen(8)
        door.setblocking(False)
        while True:
            asker, _ = await loop.sock_accept(door)
            with asker:
                try:
                    async with asyncio.timeout(_TIMEOUT_S):
                        await _answer(asker, sockets, record)
                except (OSError, ValueError, KeyError, TypeError, TimeoutError) as error:
                    log.warning("a process that asked for sockets got none: %r", error)


async def _answer(asker: socket.socket, sockets: Mapping[str, socket.socket], record: Record) -> None:
    loop = asyncio.get_running_loop()
    asker.setblocking(False)
    wanted = json.loads(await loop.sock_recv(asker, _LIMIT_BYTES))
    names = [name for name in wanted["listeners"] if name in sockets]
    socket.send_fds(asker, [json.dumps(names).encode()], [sockets[name].fileno() for name in names])
    held = json.loads(await loop.sock_recv(asker, _LIMIT_BYTES))
    pid = peer(asker)
    record(wanted["process"], pid, {name: int(held[name]) for name in names})
    asker.send(b"{}")
    log.info("%s (pid %d) has taken %s", wanted["process"], pid, ", ".join(names))


def peer(connected: socket.socket) -> int:
    """The process at the other end of a unix socket, numbered as this one sees it, whichever namespace it is in."""
    pid, _, _ = _CREDENTIALS.unpack(connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return int(pid)


def ask(path: Path, process: str, *names: str) -> dict[str, int]:
    """Get these listening sockets: their descriptors by name. Raises OSError when nobody answers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asker:
        asker.settimeout(_TIMEOUT_S)
        asker.connect(str(path))
        asker.send(json.dumps({"process": process, "listeners": names}).encode())
        text, descriptors, _, _ = socket.recv_fds(asker, _LIMIT_BYTES, _LIMIT_SOCKETS)
        held = dict(zip(json.loads(text), descriptors, strict=True))
        asker.send(json.dumps(held).encode())
        asker.recv(_LIMIT_BYTES)  # it is on record now: whoever replaces the supervisor finds them here
        return held
