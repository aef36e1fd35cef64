"""From a container of a pod to what CreateContainer is told. Pure; paths and values are prepared by the caller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from sampan.apimachinery.object import Object
from sampan.cri.runtime import ContainerConfig, Device, Image, Mount, Propagation
from sampan.kubelet import resources, security, spec
from sampan.kubelet.expansion import expand
from sampan.kubelet.plan import HASH_ANNOTATION
from sampan.kubelet.sandbox_config import CONTAINER_NAME, pod_labels

RESTART_COUNT = "io.kubernetes.container.restartCount"
TERMINATION_PATH = "io.kubernetes.container.terminationMessagePath"
TERMINATION_POLICY = "io.kubernetes.container.terminationMessagePolicy"
GRACE_PERIOD = "io.kubernetes.pod.terminationGracePeriod"
PRE_STOP = "io.kubernetes.container.preStopHandler"
RESOURCES = "sampan.dev/container.resources"

DEFAULT_TERMINATION_PATH = "/dev/termination-log"

_PROPAGATION: Mapping[str, Propagation] = {
    "HostToContainer": "HOST_TO_CONTAINER", "Bidirectional": "BIDIRECTIONAL", "None": "PRIVATE",
}


@dataclass(frozen=True, slots=True)
class ContainerInputs:
    """What was prepared for one start of one container."""

    image: Image
    attempt: int
    environment: Mapping[str, str]
    mounts: tuple[Mount, ...]
    memory_capacity_bytes: int
    target_id: str = ""
    devices: tuple[Device, ...] = ()


def propagation(mount: Object) -> Propagation:
    """A volumeMount's mountPropagation."""
    return _PROPAGATION[mount.get("mountPropagation") or "None"]


def resources_text(container: Object) -> str:
    """The resources that a container was started with, to see later whether they changed."""
    return orjson.dumps(container.get("resources") or {}, option=orjson.OPT_SORT_KEYS).decode()


def container_annotations(pod: Object, container: Object, attempt: int) -> dict[str, str]:
    """What a restarted kubelet must know of a container even if its pod is gone from the API."""
    result = {
        HASH_ANNOTATION: spec.container_hash(container),
        RESTART_COUNT: str(attempt),
        TERMINATION_PATH: container.get("terminationMessagePath") or DEFAULT_TERMINATION_PATH,
        TERMINATION_POLICY: container.get("terminationMessagePolicy") or "File",
        RESOURCES: resources_text(container),
        GRACE_PERIOD: str(pod["spec"].get("terminationGracePeriodSeconds", spec.DEFAULT_GRACE_PERIOD_S)),
    }
    pre_stop = (container.get("lifecycle") or {}).get("preStop")
    if pre_stop:
        result[PRE_STOP] = orjson.dumps(pre_stop).decode()
    return result


def container_config(pod: Object, container: Object, inputs: ContainerInputs) -> ContainerConfig:
    """Raises ConfigError when the security context forbids this image."""
    name, attempt = container["name"], inputs.attempt
    return ContainerConfig(
        name=name,
        image=inputs.image.id,
        attempt=attempt,
        command=tuple(expand(item, inputs.environment) for item in container.get("command") or []),
        args=tuple(expand(item, inputs.environment) for item in container.get("args") or []),
        working_dir=container.get("workingDir") or "",
        envs=tuple(inputs.environment.items()),
        mounts=inputs.mounts,
        devices=inputs.devices,
        labels={**pod_labels(pod), CONTAINER_NAME: name},
        annotations=container_annotations(pod, container, attempt),
        log_path=f"{name}/{attempt}.log",
        stdin=bool(container.get("stdin")),
        stdin_once=bool(container.get("stdinOnce")),
        tty=bool(container.get("tty")),
        resources=resources.container_resources(pod, container, inputs.memory_capacity_bytes),
        security=security.container_security(pod, container, inputs.image, inputs.target_id),
    )
