"""What becomes of a pod on a simulated node, as data: stages with a condition, a delay and an effect, as kwok has them.

The first stage whose condition holds is next; after its delay (a range, in seconds, drawn from `effects.rng()`) its
effect is applied, and the pod's new state selects the next one. A pod may say otherwise for itself by annotations:

    sim.sampan/ready-after-seconds   how long after it runs it becomes ready
    sim.sampan/run-seconds           it ends after that time
    sim.sampan/exit-code             with this code (0)
    sim.sampan/fail-percent          or, as often as that, with 1
    sim.sampan/stop-seconds          how long it takes to end when it is told to, unless its grace is over before
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sampan import effects
from sampan.apimachinery.object import Object, annotations_of, is_being_deleted, meta

READY_AFTER = "sim.sampan/ready-after-seconds"
RUN_SECONDS = "sim.sampan/run-seconds"
EXIT_CODE = "sim.sampan/exit-code"
FAIL_PERCENT = "sim.sampan/fail-percent"
STOP_SECONDS = "sim.sampan/stop-seconds"

_ENDED = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class PodPlace:
    """Where a pod is: what its status says of addresses."""

    node_name: str
    host_ip: str
    pod_ip: str


@dataclass(frozen=True, slots=True)
class Stage:
    """`effect` gives the status to merge, None to remove the pod. `delay_s(pod)`, if not None, overrides the range."""

    name: str
    applies: Callable[[Object], bool]
    between_s: tuple[float, float]
    effect: Callable[[Object, PodPlace], Object | None]
    delay_s: Callable[[Object], float | None] = lambda pod: None

    def delay(self, pod: Object) -> float:
        chosen = self.delay_s(pod)
        return effects.rng().uniform(*self.between_s) if chosen is None else chosen


def _phase(pod: Object) -> str:
    return str((pod.get("status") or {}).get("phase") or "Pending")


def _is_ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def _number(pod: Object, annotation: str) -> float | None:
    text = annotations_of(pod).get(annotation)
    return float(text) if text else None


def _ends(pod: Object) -> bool:
    """Whether the pod is one that ends: it says so, or a Job made it."""
    if RUN_SECONDS in annotations_of(pod):
        return True
    return any(owner.get("kind") == "Job" for owner in meta(pod).get("ownerReferences") or [])


def _running(pod: Object, place: PodPlace) -> Object:
    now = effects.timestamp()
    return {
        "phase": "Running", "hostIP": place.host_ip, "podIP": place.pod_ip, "startTime": now,
        "hostIPs": [{"ip": place.host_ip}], "podIPs": [{"ip": place.pod_ip}],
        "conditions": _conditions(("Initialized", True), ("ContainersReady", False), ("Ready", False)),
        "containerStatuses": _containers(pod, {"running": {"startedAt": now}}, ready=False),
    }


def _ready(pod: Object, place: PodPlace) -> Object:
    started = (pod.get("status") or {}).get("startTime") or effects.timestamp()
    return {
        "conditions": _conditions(("ContainersReady", True), ("Ready", True)),
        "containerStatuses": _containers(pod, {"running": {"startedAt": started}}, ready=True),
    }


def _completed(pod: Object, place: PodPlace) -> Object:
    code = int(_number(pod, EXIT_CODE) or 0)
    if not code and effects.rng().random() * 100 < (_number(pod, FAIL_PERCENT) or 0):
        code = 1
    started = (pod.get("status") or {}).get("startTime") or effects.timestamp()
    ended = {
        "exitCode": code, "reason": "Error" if code else "Completed", "startedAt": started,
        "finishedAt": effects.timestamp(),
    }
    return {
        "phase": "Failed" if code else "Succeeded",
        "conditions": _conditions(("ContainersReady", False), ("Ready", False)),
        "containerStatuses": _containers(pod, {"terminated": ended}, ready=False),
    }


def _removed(pod: Object, place: PodPlace) -> Object | None:
    return None


def _grace(pod: Object) -> float | None:
    """A simulated container ends at once when it is told to, or takes as long as its pod says; the pod goes at the
    latest when its grace is over."""
    grace = meta(pod).get("deletionGracePeriodSeconds")
    if grace == 0:
        return 0.0
    takes = _number(pod, STOP_SECONDS)
    return takes if takes is None or grace is None else min(takes, float(grace))


def _cut_short(pod: Object) -> bool:
    """Told to go before its end, and held by a finalizer: whoever holds it waits for a phase that says how it ended."""
    return is_being_deleted(pod) and _phase(pod) not in _ENDED and bool(meta(pod).get("finalizers"))


STAGES: tuple[Stage, ...] = (
    Stage("fail", _cut_short, (0.1, 0.5), lambda pod, place: {"phase": "Failed"}, _grace),
    Stage("remove", is_being_deleted, (0.2, 1.0), _removed, _grace),
    Stage("run", lambda pod: _phase(pod) == "Pending", (0.2, 1.5), _running),
    Stage(
        "complete", lambda pod: _phase(pod) == "Running" and _ends(pod), (1.0, 5.0), _completed,
        lambda pod: _number(pod, RUN_SECONDS),
    ),
    Stage(
        "become ready", lambda pod: _phase(pod) == "Running" and not _is_ready(pod), (0.1, 1.0), _ready,
        lambda pod: _number(pod, READY_AFTER),
    ),
)


def _interrupted(pod: Object, place: PodPlace) -> Object:
    """Its containers ended with the machine; the kubelet starts them again, unless they are never to."""
    if (pod.get("spec") or {}).get("restartPolicy") == "Never":
        return _completed({**pod, "metadata": {**meta(pod), "annotations": {EXIT_CODE: "137"}}}, place)
    again = _running(pod, place)
    for status, before in zip(
        again["containerStatuses"], (pod.get("status") or {}).get("containerStatuses") or [], strict=False
    ):
        status["restartCount"] = (before.get("restartCount") or 0) + 1
    return again


RESTART = Stage(
    "restart", lambda pod: _phase(pod) == "Running" and not is_being_deleted(pod), (0.0, 0.0), _interrupted
)
"""What befalls the pods of a machine that was switched off and on."""


def next_stage(pod: Object, stages: tuple[Stage, ...] = STAGES) -> Stage | None:
    """What happens to the pod next, None if nothing does by itself."""
    if _phase(pod) in _ENDED and not is_being_deleted(pod):
        return None
    return next((stage for stage in stages if stage.applies(pod)), None)


def _conditions(*truths: tuple[str, bool]) -> list[Object]:
    now = effects.timestamp()
    return [
        {"type": type, "status": "True" if truth else "False", "lastProbeTime": None, "lastTransitionTime": now}
        for type, truth in truths
    ]


def _containers(pod: Object, state: Object, *, ready: bool) -> list[Object]:
    return [
        {
            "name": container["name"], "image": container.get("image", ""), "imageID": "", "restartCount": 0,
            "containerID": f"sim://{meta(pod).get('uid')}/{container['name']}", "ready": ready,
            "started": "running" in state, "state": state, "lastState": {},
        }
        for container in (pod.get("spec") or {}).get("containers") or []
    ]
