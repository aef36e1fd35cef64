"""Removes everything that a cluster left on this machine, in the order in which it can go, also after a crash.

Processes first (asked, then killed), then pods' namespaces while the nodes' still lead to them, mounts, nodes, fabric,
cgroups, files. Each step looks at the machine anew instead of trusting a record, so a sweep that was interrupted is
simply done again; on a clean machine it does nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import signal
from pathlib import Path

from sampan.effects import monotonic
from sampan.machines import namespace, traces
from sampan.machines.layout import CGROUP_ROOT, CNI_CACHE, Layout
from sampan.machines.removal import remove_tree

log = logging.getLogger(__name__)

GRACE_S = 5.0
"""How long processes have between SIGTERM and SIGKILL."""
GONE_S = 30.0
"""How long what was killed or taken away may take to be gone: on a busy machine, or one with a slow disk."""


class StillThere(Exception):
    """Something could not be removed; the message lists it."""


async def sweep(
    cluster: str, layout: Layout | None = None, *, keep_state: bool = False, grace_s: float = GRACE_S
) -> traces.Leftovers:
    """Remove all traces of the cluster and say what they were.

    `keep_state` leaves the state directory, from which the cluster can start again (as after a reboot). Raises
    StillThere when something resists.
    """
    place = layout or Layout(cluster)
    found = traces.leftovers(cluster, place)
    await end_processes(place, grace_s)
    pods = traces.network_namespaces(place)
    for path in pods:
        namespace.release(path)
    for point in traces.mounts(place):
        namespace.unmount(point)
    for directory in traces.cgroups(place):
        with contextlib.suppress(OSError):  # a dying process may hold it for a moment more; looked at again below
            directory.rmdir()
    _remove_files(place, keep_state)
    await _wait_until_gone(place, keep_state)
    return found


async def end_processes(layout: Layout, grace_s: float = GRACE_S) -> None:
    """SIGTERM to the cluster's processes, SIGKILL to those that stay; also to what they start meanwhile.

    Containers are killed at once, and so are their shims: most programs that run as a container's first process ignore
    SIGTERM, and nobody will need their state. Who is given up has been killed before, however long this process was
    itself held up.
    """
    inodes = set(traces.inodes(traces.network_namespaces(layout)).values())
    late_at, given_up_at = monotonic() + grace_s, math.inf
    asked: set[traces.Process] = set()
    while running := traces.processes(layout, inodes):
        late = (now := monotonic()) > late_at
        if now > given_up_at:
            raise StillThere("\n".join(f"process {p.pid} {p.command}" for p in running))
        if late:
            given_up_at = min(given_up_at, now + GONE_S)
        for process in running:
            force = late or not process.own or "containerd-shim" in process.command.partition(" ")[0]
            if force or process not in asked:
                _signal(process, signal.SIGKILL if force else signal.SIGTERM)
                asked.add(process)
        await asyncio.sleep(0.05)


def _signal(process: traces.Process, number: signal.Signals) -> None:
    """Through a pidfd, so that a process that took over the number is never hit."""
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(process.pid)
        try:
            current = traces.read_process(process.pid)
            if current and current.started == process.started:
                signal.pidfd_send_signal(descriptor, number)
        finally:
            os.close(descriptor)


def _remove_files(layout: Layout, keep_state: bool) -> None:
    for path in traces.files(layout):
        if path.is_dir():
            if not (keep_state and path == layout.state):
                remove_tree(path)
        else:
            path.unlink(missing_ok=True)
    for root in (layout.run_root, *([] if keep_state else [layout.state_root]), CNI_CACHE, CNI_CACHE.parent):
        with contextlib.suppress(OSError):  # missing, or others are still in it
            root.rmdir()


async def _wait_until_gone(layout: Layout, keep_state: bool) -> None:
    deadline = monotonic() + GONE_S
    while True:
        for directory in traces.cgroups(layout):
            with contextlib.suppress(OSError):
                directory.rmdir()
        rest = traces.leftovers(layout.name, layout)
        remaining = [path for path in rest.files if not (keep_state and path == layout.state)]
        if not (rest.processes or rest.namespaces or rest.mounts or rest.cgroups or remaining):
            _drop_shared_cgroups()
            return
        if monotonic() > deadline:
            raise StillThere(str(rest))
        _remove_files(layout, keep_state)
        await asyncio.sleep(0.05)


def _drop_shared_cgroups() -> None:
    """The parent of all clusters' cgroups goes with the last of them."""
    for parent in (CGROUP_ROOT / "sampan", *CGROUP_ROOT.glob("*/sampan")):
        with contextlib.suppress(OSError):  # other clusters are still there
            Path(parent).rmdir()
