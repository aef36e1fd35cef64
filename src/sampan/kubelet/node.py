"""The Node object: what this kubelet says of its machine. Pure: documents in, documents out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sampan.apimachinery.object import Object, dig
from sampan.apimachinery.quantity import ZERO, Format, Quantity
from sampan.cri.runtime import Image
from sampan.kubelet.config import KUBELET_VERSION, KubeletConfig
from sampan.kubelet.machine import Disk, Machine

MAX_IMAGES = 50
MAX_NAMES = 5


@dataclass(frozen=True, slots=True)
class Pressure:
    """What is short on the node."""

    memory: bool = False
    disk: bool = False
    pids: bool = False


@dataclass(frozen=True, slots=True)
class NodeReadings:
    """What changes: images, the runtime, pressure, and what keeps the node from being ready."""

    now: str
    runtime_version: str
    images: Sequence[Image] = ()
    not_ready: tuple[str, ...] = ()
    pressure: Pressure = Pressure()


def labels(config: KubeletConfig, machine: Machine) -> dict[str, str]:
    """The labels every kubelet sets, and the configured ones."""
    return {
        "beta.kubernetes.io/arch": machine.architecture, "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": machine.architecture, "kubernetes.io/hostname": config.node_name,
        "kubernetes.io/os": "linux", **config.node_labels,
    }


def node_document(config: KubeletConfig, machine: Machine, status: Object) -> Object:
    """For creating the Node. It starts tainted, so that nothing is scheduled before it is ready."""
    spec: Object = {
        "taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}, *config.node_taints],
    }
    if config.provider_id:
        spec["providerID"] = config.provider_id
    return {
        "apiVersion": "v1", "kind": "Node",
        "metadata": {
            "name": config.node_name, "labels": labels(config, machine),
            "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
        },
        "spec": spec, "status": status,
    }


def capacity(config: KubeletConfig, machine: Machine, disk: Disk) -> dict[str, str]:
    """All there is."""
    return {
        "cpu": str(machine.cpus), "memory": f"{machine.memory_bytes // 1024}Ki",
        "ephemeral-storage": f"{disk.capacity_bytes // 1024}Ki", "hugepages-1Gi": "0", "hugepages-2Mi": "0",
        "pods": str(config.max_pods),
    }


def advertised(known: Object | None) -> dict[str, str]:
    """Extended resources: somebody wrote them into the node's capacity, the kubelet makes them allocatable."""
    found: Mapping[str, str] = dig(known, "status", "capacity", default={})
    return {name: amount for name, amount in found.items() if "/" in name and "kubernetes.io/" not in name}


def vanished(known: Object | None, wanted: Mapping[str, str]) -> dict[str, None]:
    """Extended resources that are allocatable still though nobody advertises them any more, as a merge patch."""
    return {name: None for name in dig(known, "status", "allocatable", default={}) if name not in wanted}


def allocatable(config: KubeletConfig, total: Mapping[str, str]) -> dict[str, str]:
    """What pods may ask for: capacity less what the system reserves and eviction keeps free."""
    held = {name: Quantity.parse(text) for name, text in config.system_reserved.items()}
    memory_floor = Quantity.of(config.eviction.memory_available_bytes, Format.BINARY_SI)
    held["memory"] = held.get("memory", ZERO) + memory_floor
    result: dict[str, str] = {}
    for name, text in total.items():
        amount = Quantity.parse(text)
        if name == "ephemeral-storage":
            kept = 1 - config.eviction.nodefs_available_fraction
            result[name] = str(int(amount.value * kept) - held.get(name, ZERO).value)
        elif name in held:
            left = amount - held[name]
            result[name] = str(left) if left > ZERO else "0"
        else:
            result[name] = text
    return result


def node_status(
    config: KubeletConfig, machine: Machine, disk: Disk, readings: NodeReadings, known: Object | None
) -> Object:
    """The whole status. `known` is the Node as the API has it, for transition times."""
    total = capacity(config, machine, disk) | advertised(known)
    return {
        "capacity": total, "allocatable": allocatable(config, total),
        "conditions": conditions(readings, dig(known, "status", "conditions", default=[])),
        "addresses": [
            {"type": "InternalIP", "address": config.node_ip}, {"type": "Hostname", "address": config.node_name},
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": config.server_port}},
        "nodeInfo": {
            "machineID": machine.machine_id, "systemUUID": machine.system_uuid, "bootID": machine.boot_id,
            "kernelVersion": machine.kernel, "osImage": machine.os_image,
            "containerRuntimeVersion": readings.runtime_version, "kubeletVersion": KUBELET_VERSION,
            "kubeProxyVersion": "", "operatingSystem": "linux", "architecture": machine.architecture,
        },
        "features": {"supplementalGroupsPolicy": False},
        "images": images(readings.images),
    }


def images(found: Sequence[Image]) -> list[Object]:
    """The largest images, by digest and tag."""
    largest = sorted(found, key=lambda image: -image.size_bytes)[:MAX_IMAGES]
    return [
        {"names": [*image.repo_digests, *image.repo_tags][:MAX_NAMES], "sizeBytes": image.size_bytes}
        for image in largest if image.repo_digests or image.repo_tags
    ]


_PRESSURES = (
    ("MemoryPressure", "memory", "KubeletHasInsufficientMemory", "KubeletHasSufficientMemory",
     "kubelet has insufficient memory available", "kubelet has sufficient memory available"),
    ("DiskPressure", "disk", "KubeletHasDiskPressure", "KubeletHasNoDiskPressure",
     "kubelet has disk pressure", "kubelet has no disk pressure"),
    ("PIDPressure", "pids", "KubeletHasInsufficientPID", "KubeletHasSufficientPID",
     "kubelet has insufficient PID available", "kubelet has sufficient PID available"),
)


def conditions(readings: NodeReadings, known: Sequence[Object]) -> list[Object]:
    """MemoryPressure, DiskPressure, PIDPressure and Ready, then everybody else's."""
    wanted: list[Object] = []
    for type, attribute, bad, good, bad_message, good_message in _PRESSURES:
        is_bad = bool(getattr(readings.pressure, attribute))
        wanted.append({
            "type": type, "status": "True" if is_bad else "False", "reason": bad if is_bad else good,
            "message": bad_message if is_bad else good_message,
        })
    if readings.not_ready:
        message = readings.not_ready[0] if len(readings.not_ready) == 1 else f"[{', '.join(readings.not_ready)}]"
        wanted.append({"type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": message})
    else:
        wanted.append({
            "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status"
        })
    before = {item["type"]: item for item in known}
    result: list[Object] = []
    for item in wanted:
        old = before.pop(item["type"], {})
        same = old.get("status") == item["status"] and old.get("lastTransitionTime")
        result.append({
            "type": item["type"], "status": item["status"], "lastHeartbeatTime": readings.now,
            "lastTransitionTime": old["lastTransitionTime"] if same else readings.now,
            "reason": item["reason"], "message": item["message"],
        })
    return [*result, *before.values()]


_TRANSITIONS = {
    ("MemoryPressure", "True"): "NodeHasInsufficientMemory", ("MemoryPressure", "False"): "NodeHasSufficientMemory",
    ("DiskPressure", "True"): "NodeHasDiskPressure", ("DiskPressure", "False"): "NodeHasNoDiskPressure",
    ("PIDPressure", "True"): "NodeHasInsufficientPID", ("PIDPressure", "False"): "NodeHasSufficientPID",
    ("Ready", "True"): "NodeReady", ("Ready", "False"): "NodeNotReady",
}


def transitions(before: Sequence[Object], after: Sequence[Object]) -> list[str]:
    """The reasons of the events that a change of conditions calls for."""
    known = {item["type"]: item["status"] for item in before}
    return [
        _TRANSITIONS[item["type"], item["status"]] for item in after
        if known.get(item["type"]) != item["status"] and (item["type"], item["status"]) in _TRANSITIONS
    ]


def without_heartbeats(status: Object) -> Object:
    """The status without times that always change, conditions by type, to see whether anything else did."""
    return {**status, "conditions": {
        item["type"]: {key: value for key, value in item.items() if key != "lastHeartbeatTime"}
        for item in status.get("conditions") or []
    }}
