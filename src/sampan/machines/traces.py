"""Finds what a cluster left on this machine: processes, namespaces, mounts, cgroups.

A process belongs to a cluster when a pid file names it, when it sits in one of the cluster's network namespaces or
cgroups, or when its environment carries the cluster's marker. Never is it found by what it is called. The process
that asks, and those that started it, are never in the answer.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sampan.machines import namespace
from sampan.machines.layout import CGROUP_ROOT, CLUSTER_VARIABLE, CNI_CACHE, NETNS_DIR, Layout


@dataclass(frozen=True, slots=True)
class Process:
    """A live process. `started` (clock ticks since boot) tells it from a later one with the same number.

    `own` are those that carry the cluster's marker: sampan's and the runtime's, but not what runs in containers.
    """

    pid: int
    started: int
    command: str
    own: bool = False


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Everything of one cluster that is on the machine now; falsy when there is nothing."""

    processes: list[Process] = field(default_factory=list)
    namespaces: list[Path] = field(default_factory=list)
    mounts: list[str] = field(default_factory=list)
    cgroups: list[Path] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.processes or self.namespaces or self.mounts or self.cgroups or self.files)

    def __str__(self) -> str:
        lines = [f"process {p.pid} {p.command}" for p in self.processes]
        lines += [f"namespace {path}" for path in self.namespaces]
        lines += [f"mount {path}" for path in self.mounts]
        lines += [f"cgroup {path}" for path in self.cgroups]
        lines += [f"directory {path}" for path in self.files]
        return "\n".join(lines)


def leftovers(cluster: str, layout: Layout | None = None) -> Leftovers:
    """What the cluster has on this machine now."""
    place = layout or Layout(cluster)
    namespaces = network_namespaces(place)
    return Leftovers(
        processes=processes(place, set(inodes(namespaces).values())),
        namespaces=namespaces, mounts=mounts(place), cgroups=cgroups(place), files=files(place),
    )


def network_namespaces(layout: Layout) -> list[Path]:
    """Pods' namespaces first, then nodes', then the fabric's."""
    own = inodes(namespace.path_of(name) for name in layout.namespaces())
    candidates = {path: inode for path, inode in inodes(_pod_namespace_files(layout)).items()
                  if inode not in own.values()}
    noted = _noted_sandboxes(layout)
    pods = [p for p in candidates
            if p.is_relative_to(layout.run) or p.is_relative_to(layout.state) or p.name in noted]
    pods += _neighbours([p for p in candidates if p not in pods], list(own))
    # A pod whose node is gone has no cable left to follow, but its processes may still be in the cluster's cgroups.
    in_cgroups = {_namespace_of(pid) for pid in _pids_in_cgroups(layout)}
    orphans = [path for path, inode in candidates.items() if inode in in_cgroups and path not in pods]
    return [*pods, *orphans, *sorted(own, key=lambda path: path.name == layout.fabric)]


def processes(layout: Layout, namespaces: set[int]) -> list[Process]:
    """The cluster's live processes; `namespaces` are the inodes of its network namespaces."""
    spared = _ancestors()
    marker = f"{CLUSTER_VARIABLE}={layout.name}".encode()
    recorded = set(_recorded(layout))
    in_cgroups = _pids_in_cgroups(layout)
    found = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit() or int(entry.name) in spared:
            continue
        pid = int(entry.name)
        process = read_process(pid, marker)
        if process is None:
            continue
        known = (pid, process.started) in recorded
        if known or process.own or pid in in_cgroups or _namespace_of(pid) in namespaces:
            found.append(process)
    return found


def mounts(layout: Layout) -> list[str]:
    """Mount points below the cluster's directories, the last mounted first: the order in which they can go."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), line.split()[4])
        path = Path(point)
        if path.is_relative_to(layout.state) or path.is_relative_to(layout.run):
            found.append(point)
    return found[::-1]


def cgroups(layout: Layout) -> list[Path]:
    """The cluster's directories in every hierarchy, v1 and v2, children before parents."""
    roots = [CGROUP_ROOT, *(p for p in CGROUP_ROOT.iterdir() if p.is_dir())] if CGROUP_ROOT.is_dir() else []
    found = []
    for root in roots:
        top = root / layout.cgroup
        if top.is_dir():
            found += [Path(directory) for directory, _, _ in os.walk(top, topdown=False)]
    return found


def files(layout: Layout) -> list[Path]:
    """The cluster's two directories, as far as they are there, and what libcni cached of its pods."""
    return [p for p in (layout.state, layout.run) if p.exists()] + _cached_results(layout)


def read_process(pid: int, marker: bytes = b"\0") -> Process | None:
    """The process with this number, None when it is gone or a zombie."""
    try:
        # The command's name is in parentheses and may hold anything; what follows the last one is regular.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] in "ZX":
        return None
    command = _command_line(pid).replace(b"\0", b" ").decode(errors="replace").strip()
    return Process(pid, int(fields[19]), command[:120], marker in _environment(pid))


def inodes(paths: Iterable[Path]) -> dict[Path, int]:
    """The mounted namespaces among these files; one that vanishes meanwhile is left out."""
    found: dict[Path, int] = {}
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            if namespace.is_namespace(path):
                found[path] = namespace.inode(path)
    return found


def _pod_namespace_files(layout: Layout) -> Iterator[Path]:
    yield from NETNS_DIR.glob("cni-*")
    for point in mounts(layout):
        yield Path(point)


def _cached_results(layout: Layout) -> list[Path]:
    """libcni's notes, called NETWORK-CONTAINER-INTERFACE, of every container that was in the cluster's pod network."""
    names = [p.name for p in CNI_CACHE.iterdir()] if CNI_CACHE.is_dir() else []
    own = re.compile(rf"{re.escape(layout.network)}-([0-9a-f]{{64}})-.*")
    containers = {match[1] for name in names if (match := own.fullmatch(name))}
    return [CNI_CACHE / name for name in names if any(part in containers for part in name.split("-"))]


def _noted_sandboxes(layout: Layout) -> set[str]:
    """Names of the pods' namespaces in libcni's notes."""
    found: set[str] = set()
    for file in _cached_results(layout):
        try:
            interfaces = json.loads(file.read_text())["result"]["interfaces"]
            found.update(Path(each["sandbox"]).name for each in interfaces if each.get("sandbox"))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # half written in a crash; the pod's cable or its processes give it away all the same
    return found


def _neighbours(paths: list[Path], own: list[Path]) -> list[Path]:
    """Those into which a cable leads from one of the cluster's nodes: the node has an id for the namespace."""
    if not paths:
        return []
    from pyroute2 import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError

    def known_here() -> list[Path]:
        found = []
        with IPRoute() as route:
            for path in paths:
                try:
                    with path.open("rb") as handle:
                        answer = route.get_netnsid(fd=handle.fileno())
                except (OSError, NetlinkError):
                    continue  # it ended meanwhile; other clusters' pods come and go
                number = answer["nsid"] if isinstance(answer, dict) else answer
                if number is not None and 0 <= int(number) < 0x7FFFFFFF:
                    found.append(path)
        return found

    return list(dict.fromkeys(path for node in own for path in namespace.call_in(node.name, known_here)))


def _recorded(layout: Layout) -> Iterator[tuple[int, int]]:
    """Number and start of each process that the supervisor wrote down."""
    for file in layout.pids.glob("*.json") if layout.pids.is_dir() else ():
        try:
            note = json.loads(file.read_text())
            yield int(note["pid"]), int(note["start_time"])
        except (OSError, ValueError, KeyError, TypeError):
            continue  # half written in a crash; the process's marker, or its namespace, gives it away all the same


def _pids_in_cgroups(layout: Layout) -> set[int]:
    found: set[int] = set()
    for directory in cgroups(layout):
        try:
            found.update(int(line) for line in (directory / "cgroup.procs").read_text().split())
        except OSError:
            continue  # a cgroup that vanished since, or a threaded one, whose processes its parent lists
    return found


def _namespace_of(pid: int) -> int:
    try:
        return namespace.inode(f"/proc/{pid}/ns/net")
    except OSError:
        return 0


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _ancestors() -> set[int]:
    """This process and all that started it."""
    pid, found = os.getpid(), set()
    while pid > 0 and pid not in found:
        found.add(pid)
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except FileNotFoundError:
            break
    return found
