"""Keeps the processes of a local cluster running: `python -m sampan.cmd.supervisor --cluster NAME`.

It opens the sockets of API server and DNS, starts every process of the topology in its network namespace, and starts
again what ends, after a back-off that grows from 0.1 s to 10 s and is forgotten once a process has run for 10 s. A
process that an earlier supervisor started, and that still runs, is adopted: killing the supervisor interrupts nothing.
It keeps their logs small. It imports only the standard library, because it is always there and should weigh nothing.

SIGTERM ends the processes in reverse order and leaves containers running; they belong to their shims.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import functools
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import IO

from sampan import effects
from sampan.cmd import handover, layout, topology
from sampan.cmd.layout import ClusterLayout
from sampan.cmd.topology import ListenerSpec, ProcessSpec
from sampan.machines import namespace
from sampan.machines.layout import CLUSTER_VARIABLE

log = logging.getLogger("sampan.supervisor")

_SYS_PIDFD_GETFD = 438
_FIRST_BACKOFF_S, _LONGEST_BACKOFF_S, _STABLE_AFTER_S = 0.1, 10.0, 10.0
_STOP_GRACE_S = 10.0
_LOG_LIMIT_BYTES, _LOG_INTERVAL_S = 20 << 20, 60.0


def open_listener(spec: ListenerSpec) -> socket.socket:
    """A bound (TCP: listening) socket in the listener's namespace; it stays there wherever it is used."""

    def opened() -> socket.socket:
        listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if spec.udp else socket.SOCK_STREAM)
        if not spec.udp:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((spec.address, spec.port))
        if not spec.udp:
            listener.listen(1024)
        return listener

    return namespace.call_in(spec.namespace, opened) if spec.namespace else opened()


def start_time(pid: int) -> str:
    """When a process started, in clock ticks since boot: together with the pid it names one process for ever.

    Empty when it has ended, also if nobody has reaped it yet.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def running_pid(cluster: ClusterLayout, name: str) -> int:
    """The pid of a supervised process (or of "supervisor" itself) if it runs now, else 0."""
    try:
        recorded = json.loads((cluster.run_dir / "pids" / f"{name}.json").read_text())
    except (OSError, ValueError):
        return 0
    alive = recorded["start_time"] and start_time(recorded["pid"]) == recorded["start_time"]
    return int(recorded["pid"]) if alive else 0


def record(cluster: ClusterLayout, name: str, pid: int, listeners: dict[str, int] | None = None) -> None:
    """Write down that `pid` is the process `name`, and which of its file descriptors are the listeners."""
    pid_file = cluster.run_dir / "pids" / f"{name}.json"
    pid_file.parent.mkdir(parents=True, exist_ok=True)
    draft = pid_file.with_suffix(".new")
    draft.write_text(json.dumps({"pid": pid, "start_time": start_time(pid), "listeners": listeners or {}}))
    draft.replace(pid_file)  # whoever reads it never sees half of it


class Process:
    """One supervised process: started or adopted, watched until it ends."""

    def __init__(self, cluster: ClusterLayout, spec: ProcessSpec, sockets: dict[str, socket.socket]) -> None:
        self.spec = spec
        self.restarts = -1
        self._cluster = cluster
        self._sockets = sockets
        self._pid_file = cluster.run_dir / "pids" / f"{spec.name}.json"
        self.pid = 0

    async def keep_running(self) -> None:
        """Until cancelled: adopt or start, wait for the end, back off, again."""
        backoff_s = _FIRST_BACKOFF_S
        adopted = self._adopt()
        while True:
            began = effects.monotonic()
            try:
                if not adopted:
                    await self._prerequisites()
                    self._start()
                    began = effects.monotonic()
                adopted = False
                await _ended(self.pid)
            except OSError as error:  # no memory for a process, no room for its log: it may come back
                log.error("%s: %s", self.spec.name, error)
            self.restarts += 1
            if effects.monotonic() - began >= _STABLE_AFTER_S:
                backoff_s = _FIRST_BACKOFF_S
            log.warning("%s (pid %d) ended; starting it again in %.1f s", self.spec.name, self.pid, backoff_s)
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, _LONGEST_BACKOFF_S)

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL after a grace; nothing when it does not run, since its pid may be another's by now."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if not running_pid(self._cluster, self.spec.name):
                break
            try:
                os.kill(self.pid, number)
                await asyncio.wait_for(_ended(self.pid), _STOP_GRACE_S)
            except ProcessLookupError:
                break
            except TimeoutError:
                continue
        self._pid_file.unlink(missing_ok=True)

    def _adopt(self) -> bool:
        self.pid = running_pid(self._cluster, self.spec.name)
        if not self.pid:
            return False
        log.info("adopted %s (pid %d)", self.spec.name, self.pid)
        return True

    async def _prerequisites(self) -> None:
        while not all(os.path.exists(path) for path in self.spec.needs):  # noqa: ASYNC110 - only while starting
            await asyncio.sleep(0.02)

    def _start(self) -> None:
        sockets = [self._sockets[name] for name in self.spec.listeners]
        environment = {
            **os.environ, CLUSTER_VARIABLE: self._cluster.name,
            "SAMPAN_LISTENERS": json.dumps({n: self._sockets[n].fileno() for n in self.spec.listeners}),
        }
        with self._log_file() as output:
            child = subprocess.Popen(
                namespace.exec_in(self.spec.namespace, self.spec.argv, self.spec.hostname),
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment, cwd="/",
                start_new_session=True, pass_fds=[s.fileno() for s in sockets],
            )
        listeners = {name: self._sockets[name].fileno() for name in self.spec.listeners}
        try:
            record(self._cluster, self.spec.name, child.pid, listeners)
        except OSError:
            child.kill()  # nobody would ever find it again
            child.wait()
            raise
        self.pid = child.pid
        child.returncode = 0  # this object does not wait for it; `_ended` does
        log.info("started %s (pid %d)", self.spec.name, self.pid)

    def _log_file(self) -> IO[bytes]:
        return (self._cluster.log_dir / f"{self.spec.name}.log").open("ab")


def rotate_logs(directory: Path, limit_bytes: int = _LOG_LIMIT_BYTES) -> None:
    """Copy each log that has grown too large to `NAME.log.1` and empty it; whoever appends to it goes on at its start.

    The audit log is not among them: the API server looks after it.
    """
    for path in directory.glob("*.log"):
        if path.name != "audit.log" and path.stat().st_size > limit_bytes:
            shutil.copyfile(path, path.with_suffix(".log.1"))
            os.truncate(path, 0)


async def _keep_logs_small(cluster: ClusterLayout) -> None:
    while True:
        try:
            await asyncio.to_thread(rotate_logs, cluster.log_dir)
        except OSError as error:
            log.error("logs cannot be rotated: %s", error)
        await asyncio.sleep(_LOG_INTERVAL_S)


async def _ended(pid: int) -> None:
    """Return once the process has ended; reap it if it is a child of ours."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    loop.add_reader(descriptor, _settle, over)
    try:
        await over
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    try:
        os.waitpid(pid, os.WNOHANG)  # noqa: ASYNC222 - it has ended, so this does not wait
    except ChildProcessError:
        pass  # adopted: init reaps it


def _settle(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)


def inherited_listeners(cluster: ClusterLayout) -> dict[str, socket.socket]:
    """Listening sockets that processes of an earlier supervisor still hold, by the listener's name."""
    found: dict[str, socket.socket] = {}
    for pid_file in (cluster.run_dir / "pids").glob("*.json"):
        recorded = json.loads(pid_file.read_text())
        if recorded.get("listeners") and start_time(recorded["pid"]) == recorded["start_time"] != "":
            try:
                for name, descriptor in recorded["listeners"].items():
                    found[name] = socket.socket(fileno=_taken_from(recorded["pid"], descriptor))
            except OSError as error:
                log.warning("%s is ending: %s", pid_file.stem, error)
    return found


def _taken_from(pid: int, descriptor: int) -> int:
    """A duplicate of another process's file descriptor."""
    process = os.pidfd_open(pid)
    try:
        taken = int(ctypes.CDLL(None, use_errno=True).syscall(_SYS_PIDFD_GETFD, process, descriptor, 0))
    finally:
        os.close(process)
    if taken < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"pidfd_getfd from {pid}: {os.strerror(code)}")
    return taken


async def supervise(cluster: ClusterLayout) -> None:
    """Run everything until SIGTERM or SIGINT. Cancelled instead, it lets go of the processes and stops none."""
    sockets = inherited_listeners(cluster)
    sockets |= {spec.name: open_listener(spec) for spec in topology.listeners(cluster) if spec.name not in sockets}
    supervised = [Process(cluster, spec, sockets) for spec in topology.processes(cluster)]
    keepers = [asyncio.create_task(process.keep_running()) for process in supervised]
    keepers.append(asyncio.create_task(_keep_logs_small(cluster)))
    if cluster.processes == "static-pods":
        taken = functools.partial(record, cluster)
        keepers.append(asyncio.create_task(handover.serve(cluster.handover_socket, sockets, taken)))
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    record(cluster, "supervisor", os.getpid())
    try:
        await over.wait()
    finally:
        for keeper in keepers:
            keeper.cancel()
    for process in reversed(supervised):
        await process.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cluster", required=True)
    cluster = layout.load(parser.parse_args().cluster)
    if cluster is None:
        raise SystemExit("no such cluster; `sampan up` makes one")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    asyncio.run(supervise(cluster))


if __name__ == "__main__":
    main()
