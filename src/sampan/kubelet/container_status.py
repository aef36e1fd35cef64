"""The API's view of one container: ContainerStatus from what the runtime knows and why a start failed. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeAlias

from sampan.apimachinery.object import Object, dig
from sampan.kubelet import spec
from sampan.kubelet.pod_state import PodContainer, PodState

Reasons: TypeAlias = Mapping[str, tuple[str, str]]
"""Container name -> (reason, message) of its last failed start."""

LOST_REASON = "ContainerStatusUnknown"
LOST_MESSAGE = "The container could not be located when the pod was deleted.  The container used to be Running"


@dataclass(frozen=True, slots=True)
class ContainerFacts:
    """What container statuses depend on besides the pod's spec and the runtime."""

    reasons: Reasons = field(default_factory=dict)
    ready: frozenset[str] = frozenset()
    started: frozenset[str] = frozenset()
    termination_message: Callable[[PodContainer], str] = lambda run: ""
    runtime_name: str = "containerd"
    is_ending: bool = False
    resources: Callable[[PodContainer], Object | None] = lambda run: None
    """What a run has, where that may differ from its container's spec."""


def timestamp(nanoseconds: int) -> str | None:
    """A Kubernetes Time; None for "has not happened"."""
    if nanoseconds <= 0:
        return None
    return datetime.fromtimestamp(nanoseconds // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def terminated(run: PodContainer, facts: ContainerFacts) -> Object:
    """A ContainerStateTerminated."""
    status = run.status
    result: Object = {
        "exitCode": status.exit_code,
        "reason": status.reason or ("Completed" if status.exit_code == 0 else "Error"),
        "startedAt": timestamp(status.started_at_ns), "finishedAt": timestamp(status.finished_at_ns),
        "containerID": f"{facts.runtime_name}://{run.id}",
    }
    message = facts.termination_message(run) or status.message
    if message:
        result["message"] = message
    return result


def container_status(pod: Object, container: Object, state: PodState, facts: ContainerFacts) -> Object:
    """One item of containerStatuses, initContainerStatuses or ephemeralContainerStatuses."""
    name = container["name"]
    runs = state.all_named(name)
    known = known_status(pod, name)
    result: Object = {
        "name": name, "state": {}, "lastState": {}, "ready": False, "restartCount": 0,
        "image": container.get("image", ""), "imageID": "", "started": False,
    }
    if container.get("resources") is not None:
        result["resources"] = container["resources"]
        if container["resources"].get("requests"):
            result["allocatedResources"] = container["resources"]["requests"]
    mounts = [_mount_status(mount) for mount in container.get("volumeMounts") or []]
    if mounts:
        result["volumeMounts"] = mounts
    if not runs:
        _without_run(pod, container, known, facts, result)
        return result
    latest = runs[0]
    result |= {
        "restartCount": max(latest.status.attempt, 0),
        "image": latest.status.image or result["image"],
        "imageID": latest.status.image_ref,
        "containerID": f"{facts.runtime_name}://{latest.id}",
    }
    actual = facts.resources(latest)
    if actual is not None:
        result["resources"] = actual
    _of_run(pod, container, latest, facts, result)
    previous = next((run for run in runs[1:] if run.has_exited), None)
    if previous is not None and not result["lastState"]:
        result["lastState"] = {"terminated": terminated(previous, facts)}
    return result


def _of_run(pod: Object, container: Object, latest: PodContainer, facts: ContainerFacts, result: Object) -> None:
    reason = facts.reasons.get(container["name"])
    if latest.is_running:
        result["state"] = {"running": {"startedAt": timestamp(latest.status.started_at_ns)}}
        result["ready"] = latest.id in facts.ready
        result["started"] = latest.id in facts.started
    elif not latest.has_exited:
        result["state"] = {"waiting": {"reason": "ContainerCreating"}}
        if reason is not None:
            result["state"] = {"waiting": {"reason": reason[0], "message": reason[1]}}
    elif reason is not None and not facts.is_ending:
        result["state"] = {"waiting": {"reason": reason[0], "message": reason[1]}}
        result["lastState"] = {"terminated": terminated(latest, facts)}
    else:
        result["state"] = {"terminated": terminated(latest, facts)}
        is_init = any(item["name"] == container["name"] for item in spec.init_containers(pod))
        if is_init and not spec.is_sidecar(container):
            result["ready"] = latest.status.exit_code == 0


def _without_run(pod: Object, container: Object, known: Object | None, facts: ContainerFacts, result: Object) -> None:
    """It has not run yet, or the runtime has lost it."""
    name = container["name"]
    if known is not None and known.get("containerID"):
        result["restartCount"] = known.get("restartCount", 0)
        if dig(known, "state", "terminated"):
            for key in ("state", "lastState", "image", "imageID", "containerID", "ready"):
                if key in known:
                    result[key] = known[key]
            return
        if dig(known, "state", "running"):
            lost = {"terminated": {"exitCode": 137, "reason": LOST_REASON, "message": LOST_MESSAGE,
                                   "startedAt": None, "finishedAt": None}}
            result["restartCount"] += 1
            if facts.is_ending:
                result["state"] = lost
                return
            result["lastState"] = lost
        else:
            result["lastState"] = known.get("lastState") or {}
    reason = facts.reasons.get(name)
    if reason is not None:
        result["state"] = {"waiting": {"reason": reason[0], "message": reason[1]}}
        return
    is_init = any(item["name"] == name for item in spec.init_containers(pod))
    waits_for_init = bool(spec.init_containers(pod)) and not _is_ephemeral(pod, name)
    result["state"] = {
        "waiting": {"reason": "PodInitializing" if waits_for_init or is_init else "ContainerCreating"}
    }


def known_status(pod: Object, name: str) -> Object | None:
    """What the API already has for this container."""
    for key in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        for status in dig(pod, "status", key, default=[]):
            if status["name"] == name:
                return dict(status)
    return None


def _is_ephemeral(pod: Object, name: str) -> bool:
    return any(item["name"] == name for item in spec.ephemeral_containers(pod))


def _mount_status(mount: Object) -> Object:
    result = {"name": mount["name"], "mountPath": mount["mountPath"]}
    if mount.get("readOnly"):
        result |= {"readOnly": True, "recursiveReadOnly": "Disabled"}
    return result
