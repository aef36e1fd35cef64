"""Ports for servers whose number must be known before they listen.

A port is claimed by a lock on a file, which lasts as long as the process that asked: nobody else who asks here is given
it, also while the server that had it is away. It is none of those that the kernel gives to whoever asks for any.
"""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from pathlib import Path

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
CLAIMS = Path(tempfile.gettempdir()) / "sampan-test-ports"
_claimed: dict[int, int] = {}
"""Ports of this process, and the open files that hold them."""


def free_port() -> int:
    """A port that nothing listens on, and that is nobody else's."""
    first = int(RANGE.read_text().split()[0])
    while True:
        port = first // 2 + int.from_bytes(os.urandom(4), "big") % (first - first // 2)
        if _unused(port) and _claim(port):
            return port


def _unused(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(type=kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


def _claim(port: int) -> bool:
    if port in _claimed:
        return False
    CLAIMS.mkdir(exist_ok=True)
    claim = os.open(CLAIMS / str(port), os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(claim)
        return False
    _claimed[port] = claim
    return True
