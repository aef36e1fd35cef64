"""What to do for a pod: a pure function from its spec and what the runtime knows to a Plan.

The order is upstream's: a sandbox first; then init containers one after the other, where a sidecar (restartPolicy
Always) only has to have started; then the containers, all at once. A changed container or one whose liveness or startup
probe failed is killed and, if its policy allows, started again. Crash back-off is the executor's: it may start later
than planned, never in another order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from sampan.apimachinery.object import Object
from sampan.kubelet import spec
from sampan.kubelet.pod_state import PodContainer, PodState

HASH_ANNOTATION = "io.kubernetes.container.hash"

FailedProbe: TypeAlias = Literal["liveness", "startup"]


@dataclass(frozen=True, slots=True)
class ProbeFacts:
    """What probes say, by container id: who has started, and whose liveness or startup failed."""

    started: frozenset[str] = frozenset()
    failed: Mapping[str, FailedProbe] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kill:
    """A container to end; `message` goes into the Killing event."""

    container: PodContainer
    message: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """Kills first, then the sandbox if `create_sandbox` (after ending the old ones), then starts in order."""

    kills: tuple[Kill, ...] = ()
    create_sandbox: bool = False
    sandbox_id: str = ""
    attempt: int = 0
    start: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not (self.kills or self.create_sandbox or self.start)


def plan_pod(pod: Object, state: PodState, probes: ProbeFacts) -> Plan:
    """The next step for a pod that is meant to run."""
    usable = _usable_sandbox(pod, state)
    if usable is None:
        return _with_new_sandbox(pod, state, probes)
    steps = _Steps(pod, state, usable, probes)
    steps.initialize()
    return Plan(tuple(steps.kills), False, usable, 0, tuple(steps.start))


def _usable_sandbox(pod: Object, state: PodState) -> str | None:
    """The id of the sandbox to go on with: the newest, ready, of the right network, with an address."""
    ready = state.ready_sandbox
    if ready is None or sum(item.sandbox.state == "READY" for item in state.sandboxes) > 1:
        return None
    if (ready.network == "NODE") != spec.uses_host_network(pod):
        return None
    if not spec.uses_host_network(pod) and not ready.ips:
        return None
    return ready.sandbox.id


def _with_new_sandbox(pod: Object, state: PodState, probes: ProbeFacts) -> Plan:
    newest = state.newest_sandbox
    attempt = newest.sandbox.attempt + 1 if newest is not None else 0
    kills = tuple(Kill(run, "Stopping container " + run.name) for run in state.running)
    steps = _Steps(pod, state, "", probes)
    if not steps.wanted_containers():
        return Plan()
    steps.initialize()
    return Plan(kills, True, "", attempt, tuple(steps.start))


class _Steps:
    """Walks the containers in order and notes whom to start and whom to kill."""

    def __init__(self, pod: Object, state: PodState, sandbox_id: str, probes: ProbeFacts) -> None:
        self.pod = pod
        self.state = state
        self.sandbox_id = sandbox_id
        self.probes = probes
        self.start: list[str] = []
        self.kills: list[Kill] = []

    def initialize(self) -> None:
        """Init containers, then (once they are through) the containers; ephemeral ones whenever there is a sandbox."""
        if self.sandbox_id:
            self._ephemeral()
        if self._has_begun():
            for container in spec.sidecars(self.pod):
                self._keep(container, self._run(container))
            self._containers()
        elif self._init_containers():
            self._containers()

    def wanted_containers(self) -> list[Object]:
        """Containers that are (to be) running: never run yet, running, or to be started again."""
        return [item for item in spec.containers(self.pod) if self._wants_run(item, self.state.latest(item["name"]))]

    def _has_begun(self) -> bool:
        """Whether a container of this sandbox was ever started, which means that initialization was complete."""
        return bool(self.sandbox_id) and any(self._run(item) is not None for item in spec.containers(self.pod))

    def _run(self, container: Object) -> PodContainer | None:
        return self.state.latest_in(self.sandbox_id, container["name"]) if self.sandbox_id else None

    def _init_containers(self) -> bool:
        """Whether initialization is complete; otherwise the next one is in `start`, or is running, or has failed."""
        for container in spec.init_containers(self.pod):
            run = self._run(container)
            if spec.is_sidecar(container):
                self._keep(container, run)
                if run is None or not run.is_running or run.id not in self.probes.started:
                    return False
            elif run is None or run.status.state in ("CREATED", "UNKNOWN"):
                self.start.append(container["name"])
                return False
            elif run.is_running:
                return False
            elif run.status.exit_code != 0:
                if spec.restart_policy(self.pod) != "Never":
                    self.start.append(container["name"])
                return False
        return True

    def _containers(self) -> None:
        for container in spec.containers(self.pod):
            run = self._run(container)
            if run is not None and run.is_running:
                self._keep(container, run)
            elif self._wants_run(container, self.state.latest(container["name"])):
                self.start.append(container["name"])

    def _wants_run(self, container: Object, run: PodContainer | None) -> bool:
        if run is None or not run.has_exited:
            return True
        return spec.should_restart(self.pod, container, run.status.exit_code)

    def _keep(self, container: Object, run: PodContainer | None) -> None:
        """Start it if it does not run; replace it if it must not go on like this."""
        name = container["name"]
        if run is None or not run.is_running:
            self.start.append(name)
            return
        failed = self.probes.failed.get(run.id)
        restarts = spec.should_restart(self.pod, container, 1)
        if _definition_changed(container, run):
            self.kills.append(Kill(run, f"Container {name} definition changed, will be restarted"))
            self.start.append(name)
        elif failed is not None:
            message = f"Container {name} failed {failed} probe"
            self.kills.append(Kill(run, message + (", will be restarted" if restarts else ""), f"{failed}Probe"))
            if restarts:
                self.start.append(name)

    def _ephemeral(self) -> None:
        for container in spec.ephemeral_containers(self.pod):
            if self.state.latest(container["name"]) is None:
                self.start.append(container["name"])


def _definition_changed(container: Object, run: PodContainer) -> bool:
    known = run.status.annotations.get(HASH_ANNOTATION)
    return known is not None and known != spec.container_hash(container)
