"""The cells of `kubectl get pods`: READY, STATUS, RESTARTS and the wide ones, as upstream prints them.

STATUS starts from the phase and is overruled by what is closer to the truth: init containers (`Init:1/3`,
`Init:CrashLoopBackOff`), then the containers' own reasons (`CrashLoopBackOff`, `Completed`), then deletion.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sampan.api.columns import AGE, NAME, NONE, parse_time
from sampan.api.kind import Column
from sampan.apimachinery.duration import human_duration
from sampan.apimachinery.object import Object, dig, is_being_deleted

_NODE_LOST = "NodeLost"
_ENDED = {"Succeeded": "The pod has completed successfully.", "Failed": "The pod failed."}


@dataclass(slots=True)
class Summary:
    """What the first columns say."""

    reason: str
    ready: int = 0
    total: int = 0
    restarts: int = 0
    last_restart: datetime | None = None

    def restarted(self, status: Object) -> None:
        self.restarts += status.get("restartCount") or 0
        moment = parse_time(dig(status, "lastState", "terminated", "finishedAt"))
        if moment and (self.last_restart is None or moment > self.last_restart):
            self.last_restart = moment


def is_sidecar(container: Object) -> bool:
    """An init container that keeps running beside the others."""
    return container.get("restartPolicy") == "Always"


def summarise(pod: Object) -> Summary:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    conditions = {condition.get("type"): condition for condition in status.get("conditions") or ()}
    sidecars = {container.get("name") for container in spec.get("initContainers") or () if is_sidecar(container)}
    found = Summary(status.get("reason") or status.get("phase") or "")
    if (conditions.get("PodScheduled") or {}).get("reason") == "SchedulingGated":
        found.reason = "SchedulingGated"
    found.total = len(spec.get("containers") or ()) + len(sidecars)
    initializing, sidecar_restarts = _init_containers(spec, status, sidecars, found)
    if not initializing or (conditions.get("Initialized") or {}).get("status") == "True":
        found.restarts, found.last_restart = sidecar_restarts.restarts, sidecar_restarts.last_restart
        _containers(status, (conditions.get("Ready") or {}).get("status") == "True", found)
    if is_being_deleted(pod):
        if status.get("reason") == _NODE_LOST:
            found.reason = "Unknown"
        elif status.get("phase") not in ("Succeeded", "Failed"):
            found.reason = "Terminating"
    return found


def _init_containers(spec: Object, status: Object, sidecars: set[str | None], found: Summary) -> tuple[bool, Summary]:
    """Whether initialisation still goes on, and the restarts of the sidecars alone."""
    of_sidecars = Summary("")
    for position, container in enumerate(status.get("initContainerStatuses") or ()):
        found.restarted(container)
        sidecar = container.get("name") in sidecars
        if sidecar:
            of_sidecars.restarted(container)
        terminated, waiting = dig(container, "state", "terminated"), dig(container, "state", "waiting")
        if terminated is not None and not terminated.get("exitCode"):
            continue
        if sidecar and container.get("started"):
            found.ready += bool(container.get("ready"))
            continue
        if terminated is not None:
            found.reason = f"Init:{_ended(terminated)}"
        elif waiting and waiting.get("reason") not in (None, "", "PodInitializing"):
            found.reason = f"Init:{waiting['reason']}"
        else:
            found.reason = f"Init:{position}/{len(spec.get('initContainers') or ())}"
        return True, of_sidecars
    return False, of_sidecars


def _containers(status: Object, pod_ready: bool, found: Summary) -> None:
    """The first container with a reason names the pod's, so the list is read from its end."""
    running = False
    for container in reversed(status.get("containerStatuses") or []):
        found.restarted(container)
        state = container.get("state") or {}
        waiting, terminated = state.get("waiting"), state.get("terminated")
        if waiting is not None and waiting.get("reason"):
            found.reason = waiting["reason"]
        elif terminated is not None:
            found.reason = _ended(terminated)
        elif container.get("ready") and state.get("running") is not None:
            running = True
            found.ready += 1
    if found.reason == "Completed" and running:
        found.reason = "Running" if pod_ready else "NotReady"


def _ended(terminated: Object) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def ready_text(pod: Object, now: datetime) -> str:
    found = summarise(pod)
    return f"{found.ready}/{found.total}"


def status_text(pod: Object, now: datetime) -> str:
    return summarise(pod).reason


def restarts_text(pod: Object, now: datetime) -> str:
    found = summarise(pod)
    if found.restarts and found.last_restart:
        return f"{found.restarts} ({human_duration((now - found.last_restart).total_seconds())} ago)"
    return str(found.restarts)


def ip_text(pod: Object, now: datetime) -> str:
    return str(dig(pod, "status", "podIPs", 0, "ip") or dig(pod, "status", "podIP") or NONE)


def node_text(pod: Object, now: datetime) -> str:
    return str(dig(pod, "spec", "nodeName") or NONE)


def nominated_text(pod: Object, now: datetime) -> str:
    return str(dig(pod, "status", "nominatedNodeName") or NONE)


def gates_text(pod: Object, now: datetime) -> str:
    gates = dig(pod, "spec", "readinessGates", default=())
    if not gates:
        return NONE
    true = {condition.get("type") for condition in dig(pod, "status", "conditions", default=())
            if condition.get("status") == "True"}
    return f"{sum(gate.get('conditionType') in true for gate in gates)}/{len(gates)}"


def row_conditions(pod: Object) -> list[Object]:
    """That it has ended, and how."""
    phase = dig(pod, "status", "phase", default="")
    message = _ENDED.get(phase)
    return [{"type": "Completed", "status": "True", "reason": phase, "message": message}] if message else []


COLUMNS = (
    NAME,
    Column("Ready", "string", ready_text, "The aggregate readiness state of this pod for accepting traffic."),
    Column("Status", "string", status_text, "The aggregate status of the containers in this pod."),
    Column("Restarts", "string", restarts_text,
           "The number of times the containers in this pod have been restarted and when the last container in this "
           "pod has restarted."),
    AGE,
    Column("IP", "string", ip_text, doc="core.v1.PodStatus#podIP", priority=1),
    Column("Node", "string", node_text, doc="core.v1.PodSpec#nodeName", priority=1),
    Column("Nominated Node", "string", nominated_text, doc="core.v1.PodStatus#nominatedNodeName", priority=1),
    Column("Readiness Gates", "string", gates_text, doc="core.v1.PodSpec#readinessGates", priority=1),
)
