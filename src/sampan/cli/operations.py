"""What the command line asks of local clusters. `sampan.cmd.local_cluster` is the implementation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias


class OperationError(Exception):
    """Something a person can mend; `hint` says how."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


Progress: TypeAlias = Callable[[str], None]
"""Told what is being done now, in a few words."""


@dataclass(frozen=True, slots=True)
class UpOptions:
    """`wait_s` 0 returns as soon as everything has been started.

    None: as the cluster is, or one node, combined, on sqlite, with all controllers. `processes` is "combined",
    "separate" or "static-pods"; `store` is "sqlite" or "etcd"; `controllers` names control loops as upstream's flag,
    `controller_manager_args` are others of its flags as NAME=VALUE.
    """

    name: str
    nodes: int | None = None
    processes: str | None = None
    store: str | None = None
    controllers: str | None = None
    controller_manager_args: tuple[str, ...] | None = None
    wait_s: float = 120.0


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """A process: its pid (0: not running) and what its parts say."""

    name: str
    pid: int
    parts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """A cluster as `sampan status` shows it."""

    name: str
    server: str
    kubeconfig: str
    ready: bool
    waiting_for: tuple[str, ...]
    processes: tuple[ProcessStatus, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """Which pod `sampan why` is about, in which cluster: the local one of that name, or the one of a kubeconfig. The
    scheduler to ask is the cluster's own, or the one at an address."""

    namespace: str
    pod: str
    cluster: str
    kubeconfig: Path | None = None
    scheduler: str = ""
    scheduler_ca: Path | None = None


@dataclass(frozen=True, slots=True)
class PlacementRow:
    """What one plugin says about these nodes, and what would change its mind."""

    nodes: tuple[str, ...]
    plugin: str
    reason: str
    helps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """What the scheduler's last attempt to place a pod really saw; the rows have no remedies."""

    number: int
    at: str
    message: str
    rows: tuple[PlacementRow, ...] = ()
    nominated_node: str = ""


@dataclass(frozen=True, slots=True)
class PlacementReport:
    """`sampan why pod/…`. `smallest_change` is what would make the pod fit on `node`, tried on paper if `confirmed`.

    `rows` are verdicts of this moment, `attempt` is the scheduler's own last one; `untold` says why that is missing.
    """

    headline: str
    last_attempt: str = ""
    rows: tuple[PlacementRow, ...] = ()
    node: str = ""
    smallest_change: tuple[str, ...] = ()
    confirmed: bool = False
    attempt: FailedAttempt | None = None
    untold: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing `sampan doctor` looked at. `fix` is the exact command that mends it."""

    what: str
    fine: bool
    detail: str = ""
    fix: str = ""


class LocalClusters(Protocol):
    """The clusters on this machine."""

    def up(self, options: UpOptions, progress: Progress) -> Awaitable[ClusterStatus]: ...
    def down(self, name: str, progress: Progress) -> Awaitable[list[str]]: ...
    def status(self, name: str) -> Awaitable[ClusterStatus | None]: ...
    def names(self) -> Sequence[str]: ...
    def kubeconfig(self, name: str) -> Path: ...
    def merge_kubeconfig(self, name: str, into: Path | None) -> Path: ...
    def load_images(self, name: str, archives: Sequence[Path]) -> Awaitable[list[str]]: ...
    def build_image(self, name: str, recipe: Path) -> Awaitable[list[str]]: ...
    def images(self, name: str) -> Awaitable[list[dict[str, str]]]: ...
    def remove_image(self, name: str, reference: str) -> Awaitable[None]: ...
    def why(self, question: Question) -> Awaitable[PlacementReport]: ...
    def doctor(self) -> list[Finding]: ...
