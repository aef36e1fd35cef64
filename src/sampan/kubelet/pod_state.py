"""What the runtime knows of one pod: its sandboxes and containers, newest first. Immutable; made by the PLEG."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sampan.cri.runtime import ContainerStatus, SandboxStatus


@dataclass(frozen=True, slots=True)
class PodContainer:
    """A container of the pod in the sandbox that it ran in."""

    status: ContainerStatus
    sandbox_id: str

    @property
    def id(self) -> str:
        return self.status.id

    @property
    def name(self) -> str:
        return self.status.name

    @property
    def is_running(self) -> bool:
        return self.status.state == "RUNNING"

    @property
    def has_exited(self) -> bool:
        return self.status.state == "EXITED"


@dataclass(frozen=True, slots=True)
class PodState:
    """Sandboxes and containers of the pod with this uid, newest first."""

    uid: str
    name: str = ""
    namespace: str = ""
    sandboxes: tuple[SandboxStatus, ...] = ()
    containers: tuple[PodContainer, ...] = ()
    _by_name: dict[str, list[PodContainer]] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        for container in self.containers:
            self._by_name.setdefault(container.name, []).append(container)

    def all_named(self, name: str) -> list[PodContainer]:
        """Every run of this container, newest first."""
        return self._by_name.get(name, [])

    def latest(self, name: str) -> PodContainer | None:
        runs = self._by_name.get(name)
        return runs[0] if runs else None

    def latest_in(self, sandbox_id: str, name: str) -> PodContainer | None:
        """The newest run in this sandbox."""
        return next((run for run in self.all_named(name) if run.sandbox_id == sandbox_id), None)

    @property
    def newest_sandbox(self) -> SandboxStatus | None:
        return self.sandboxes[0] if self.sandboxes else None

    @property
    def ready_sandbox(self) -> SandboxStatus | None:
        """The newest sandbox, if it is ready."""
        newest = self.newest_sandbox
        return newest if newest is not None and newest.sandbox.state == "READY" else None

    @property
    def ips(self) -> tuple[str, ...]:
        ready = self.ready_sandbox
        return ready.ips if ready is not None else ()

    @property
    def running(self) -> list[PodContainer]:
        return [container for container in self.containers if container.is_running]

    @property
    def is_live(self) -> bool:
        """Whether anything of the pod still runs."""
        return bool(self.running) or any(item.sandbox.state == "READY" for item in self.sandboxes)


def pod_state(
    uid: str, sandboxes: Iterable[SandboxStatus], containers: Iterable[PodContainer]
) -> PodState:
    """Ordered as PodState wants it."""
    boxes = sorted(sandboxes, key=lambda item: (item.sandbox.attempt, item.sandbox.created_at_ns), reverse=True)
    runs = sorted(containers, key=lambda run: (run.status.attempt, run.status.created_at_ns), reverse=True)
    first = boxes[0].sandbox if boxes else None
    return PodState(
        uid, first.name if first else "", first.namespace if first else "", tuple(boxes), tuple(runs)
    )
