"""Ports for servers whose number must be known before they listen."""

from __future__ import annotations

import os
import socket
from pathlib import Path

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port() -> int:
    """A port that nothing listens on, and none that the kernel gives to whoever asks for any before it is used."""
    first = int(RANGE.read_text().split()[0])
    while True:
        port = first // 2 + int.from_bytes(os.urandom(4), "big") % (first - first // 2)
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(type=kind) as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    break
        else:
            return port
