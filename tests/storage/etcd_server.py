"""Real etcd servers for tests: one, or several that form a cluster, on loopback."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

from tests.ports import free_port

from sampan.storage.etcd.config import EtcdConfig
from sampan.storage.etcd.connection import Connection
from sampan.storage.etcd.store import EtcdStore

STARTS_WITHIN_S = 30.0
_pause = threading.Event()


class EtcdMember:
    """One etcd process; `args` as on its command line."""

    def __init__(self, directory: Path, url: str, args: list[str]) -> None:
        self.url = url
        self._directory = directory
        self._log = directory.with_suffix(".log")
        self._args = [
            "etcd", "--data-dir", str(directory), "--listen-client-urls", url, "--advertise-client-urls", url,
            "--unsafe-no-fsync", "--logger=zap", *args,
        ]
        self.start()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._args, stdout=log, stderr=log)

    def wait_ready(self) -> None:
        deadline = time.monotonic() + STARTS_WITHIN_S
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        while True:
            try:
                with socket.create_connection((host, int(port)), 1):
                    return
            except OSError:
                assert self._process.poll() is None, self._log.read_text()
                assert time.monotonic() < deadline, self._log.read_text()
                _pause.wait(0.02)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    def remove(self) -> None:
        if self._process.poll() is None:
            self.go_on()
            self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)


def members(directory: Path, count: int = 1) -> list[EtcdMember]:
    """A cluster of `count`, ready to serve."""
    peers = {f"m{n}": f"http://127.0.0.1:{free_port()}" for n in range(count)}
    cluster = ",".join(f"{name}={url}" for name, url in peers.items())
    found = [
        EtcdMember(directory / name, f"http://127.0.0.1:{free_port()}", [
            "--name", name, "--listen-peer-urls", url, "--initial-advertise-peer-urls", url,
            "--initial-cluster", cluster, "--heartbeat-interval=50", "--election-timeout=500",
        ])
        for name, url in peers.items()
    ]
    for member in found:
        member.wait_ready()
    return found


class OwningEtcdStore(EtcdStore):
    """A store whose closing also removes its etcd."""

    def __init__(self, connection: Connection, owned: list[EtcdMember]) -> None:
        super().__init__(connection)
        self.owned = owned

    @classmethod
    async def on(cls, owned: list[EtcdMember]) -> OwningEtcdStore:
        """A store on running members."""
        store = cls(Connection(EtcdConfig(tuple(member.url for member in owned))), owned)
        await store.revision()
        return store

    async def disconnect(self) -> None:
        await super().close()

    async def close(self) -> None:
        await super().close()
        for member in self.owned:
            member.remove()
