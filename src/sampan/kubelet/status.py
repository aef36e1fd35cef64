"""A pod's status as the kubelet reports it: phase, conditions and container statuses. Pure.

Rules are upstream's (pkg/kubelet/kubelet_pods.go, pkg/kubelet/status/generate.go): phase from the containers' states,
Initialized / ContainersReady / Ready / PodReadyToStartContainers with their reasons and messages. Conditions that
belong to others (PodScheduled, readiness gates, DisruptionTarget) are kept as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sampan.apimachinery.object import Object, dig
from sampan.kubelet import resources, spec
from sampan.kubelet.container_status import ContainerFacts, container_status
from sampan.kubelet.pod_state import PodState

OWNED = (
    "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodResizePending", "PodResizeInProgress"
)
TERMINAL = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class PodFacts:
    """What a pod's status depends on besides its spec and the runtime. `verdict` ends it: (phase, reason, message)."""

    containers: ContainerFacts
    host_ips: tuple[str, ...]
    now: str
    verdict: tuple[str, str, str] | None = None
    is_ending: bool = False
    passing: tuple[Object, ...] = ()
    """Conditions that are there only now and then: of a resize, of an eviction."""


def pod_status(pod: Object, state: PodState, facts: PodFacts) -> Object:
    """The whole status document, with the other owners' conditions carried over."""
    known = pod.get("status") or {}
    result: Object = {}
    generation = pod["metadata"].get("generation")
    if generation is not None:
        result["observedGeneration"] = generation
    result["initContainerStatuses"] = [
        container_status(pod, item, state, facts.containers) for item in spec.init_containers(pod)
    ]
    result["containerStatuses"] = [
        container_status(pod, item, state, facts.containers) for item in spec.containers(pod)
    ]
    result["ephemeralContainerStatuses"] = [
        container_status(pod, item, state, facts.containers) for item in spec.ephemeral_containers(pod)
    ]
    result["phase"] = phase(pod, result)
    if result["phase"] in TERMINAL and state.running:  # a phase is final: sidecars are yet to end
        result["phase"] = "Running"
    if spec.is_terminal(pod):
        result["phase"] = known["phase"]
        result |= {key: known[key] for key in ("reason", "message") if known.get(key)}
    elif facts.verdict is not None and not state.running:
        result["phase"], result["reason"], result["message"] = facts.verdict
    elif facts.is_ending and not state.running:
        result["phase"] = _final_phase(pod, result)
    result["startTime"] = known.get("startTime") or facts.now
    result["qosClass"] = known.get("qosClass") or resources.qos_class(pod)
    _addresses(pod, state, facts, known, result)
    judged = {**result, "phase": facts.verdict[0]} if facts.verdict is not None else result
    result["conditions"] = conditions(pod, judged, state, facts)
    result["containerStatuses"].sort(key=lambda item: str(item["name"]))
    result["ephemeralContainerStatuses"].sort(key=lambda item: str(item["name"]))
    for key in ("initContainerStatuses", "ephemeralContainerStatuses", "containerStatuses"):
        if not result[key]:
            del result[key]
    return result


def _addresses(pod: Object, state: PodState, facts: PodFacts, known: Object, result: Object) -> None:
    if facts.host_ips:
        result["hostIP"] = facts.host_ips[0]
        result["hostIPs"] = [{"ip": ip} for ip in facts.host_ips]
    ips: Sequence[str] = facts.host_ips if spec.uses_host_network(pod) else state.ips
    if not ips and known.get("podIPs") and result["phase"] in ("Running", "Succeeded", "Failed"):
        ips = [item["ip"] for item in known["podIPs"]]
    if ips and (state.sandboxes or known.get("podIPs")):
        result["podIP"] = ips[0]
        result["podIPs"] = [{"ip": ip} for ip in ips]


def phase(pod: Object, status: Object) -> str:
    """Pending, Running, Succeeded or Failed, from the container statuses alone, in whatever order."""
    known = {
        item["name"]: item for key in ("initContainerStatuses", "containerStatuses") for item in status.get(key) or []
    }
    pending_init = failed_init = False
    for container, item in ((one, known[one["name"]]) for one in spec.init_containers(pod)):
        if spec.is_sidecar(container):
            pending_init = pending_init or not (item.get("started") or _ended(item) is not None)
        elif (exit_code := _ended(item)) is None or (exit_code and dig(item, "state", "waiting")):
            pending_init = True
        elif exit_code:
            failed_init = True
            pending_init = True
    containers = [(one, known[one["name"]]) for one in spec.containers(pod)]
    has_begun = any(_ended(item) is not None or dig(item, "state", "running") for _, item in containers)
    if failed_init and spec.restart_policy(pod) == "Never":
        return "Failed"
    if pending_init and not has_begun:
        return "Pending"
    if any(dig(item, "state", "running") is None and _ended(item) is None for _, item in containers):
        return "Pending"
    if any(dig(item, "state", "running") is not None for _, item in containers):
        return "Running"
    codes = [(container, _ended(item) or 0) for container, item in containers]
    if any(spec.should_restart(pod, container, code) for container, code in codes):
        return "Running"
    return "Failed" if any(code for _, code in codes) else "Succeeded"


def _final_phase(pod: Object, status: Object) -> str:
    """Of a pod that is being ended and has nothing running: Succeeded only if every container ran and succeeded."""
    codes = [_ended(item) for item in status["containerStatuses"]]
    inits = [
        _ended(item) for container, item in zip(spec.init_containers(pod), status["initContainerStatuses"], strict=True)
        if not spec.is_sidecar(container)
    ]
    return "Succeeded" if all(code == 0 for code in (*codes, *inits)) else "Failed"


def _ended(item: Object) -> int | None:
    """The exit code of its present or, while it waits for a restart, last end; None if it never ended."""
    if dig(item, "state", "running") is not None:
        return None
    ended = dig(item, "state", "terminated") or dig(item, "lastState", "terminated")
    return None if ended is None else int(ended.get("exitCode", 0))


def conditions(pod: Object, status: Object, state: PodState, facts: PodFacts) -> list[Object]:
    """The kubelet's four, then everybody else's; lastTransitionTime moves only when the status does."""
    containers_ready = _containers_ready(pod, status)
    has_sandbox = state.ready_sandbox is not None and (spec.uses_host_network(pod) or bool(state.ips))
    wanted = [
        {"type": "PodReadyToStartContainers", "status": _text(has_sandbox)},
        _initialized(pod, status),
        _ready(pod, containers_ready),
        {"type": "ContainersReady", **containers_ready},
        *facts.passing,
    ]
    known = {item["type"]: item for item in dig(pod, "status", "conditions", default=[])}
    generation = status.get("observedGeneration")
    result: list[Object] = []
    for condition in wanted:
        old = known.get(condition["type"], {})
        same = old.get("status") == condition["status"]
        condition = {"type": condition["type"], "status": condition["status"], "lastProbeTime": None,
                     "lastTransitionTime": old["lastTransitionTime"] if same else facts.now, **condition}
        if generation is not None:
            condition["observedGeneration"] = generation
        result.append(condition)
    mine = {*OWNED, *(item["type"] for item in wanted)}
    others = [item for item in known.values() if item["type"] not in mine]
    if "PodScheduled" not in known:
        others.append({"type": "PodScheduled", "status": "True", "lastProbeTime": None,
                       "lastTransitionTime": facts.now,
                       **({"observedGeneration": generation} if generation is not None else {})})
    return [*result, *others]


def _text(value: bool) -> str:
    return "True" if value else "False"


def _names(items: list[str]) -> str:
    return "[" + " ".join(items) + "]"


def _initialized(pod: Object, status: Object) -> Object:
    if status["phase"] == "Succeeded":
        return {"type": "Initialized", "status": "True", "reason": "PodCompleted"}
    begun = any(
        dig(item, "state", "running") or _ended(item) is not None for item in status["containerStatuses"]
    )
    incomplete = [
        item["name"]
        for container, item in zip(spec.init_containers(pod), status["initContainerStatuses"], strict=True)
        if not (item.get("started") if spec.is_sidecar(container) else _ended(item) == 0)
    ]
    if incomplete and not begun:
        return {"type": "Initialized", "status": "False", "reason": "ContainersNotInitialized",
                "message": f"containers with incomplete status: {_names(incomplete)}"}
    return {"type": "Initialized", "status": "True"}


def _containers_ready(pod: Object, status: Object) -> Object:
    if status["phase"] == "Succeeded":
        return {"status": "False", "reason": "PodCompleted"}
    if status["phase"] == "Failed":
        return {"status": "False", "reason": "PodFailed"}
    sidecars = {item["name"] for item in spec.sidecars(pod)}
    watched = [
        *(item for item in status["initContainerStatuses"] if item["name"] in sidecars), *status["containerStatuses"]
    ]
    unready = [item["name"] for item in watched if not item["ready"]]
    if unready:
        return {"status": "False", "reason": "ContainersNotReady",
                "message": f"containers with unready status: {_names(unready)}"}
    return {"status": "True"}


def _ready(pod: Object, containers_ready: Object) -> Object:
    if containers_ready["status"] != "True":
        return {"type": "Ready", **containers_ready}
    known = {item["type"]: item["status"] for item in dig(pod, "status", "conditions", default=[])}
    complaints: list[str] = []
    for gate in pod["spec"].get("readinessGates") or []:
        name = gate["conditionType"]
        if name not in known:
            complaints.append(f'corresponding condition of pod readiness gate "{name}" does not exist.')
        elif known[name] != "True":
            complaints.append(f'the status of pod readiness gate "{name}" is not "True", but {known[name]}')
    if complaints:
        message = complaints[0] if len(complaints) == 1 else f"[{', '.join(complaints)}]"
        return {"type": "Ready", "status": "False", "reason": "ReadinessGatesNotReady", "message": message}
    return {"type": "Ready", "status": "True"}
