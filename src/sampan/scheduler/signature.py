"""Signature: what scheduling reads of a pod's template, parsed once and shared by all pods that are alike.

A pod's document is reduced to the fields that can matter to placement, and the bytes of that reduction are the key
under which its signature is interned. So the thousand pods of a Deployment share one object, whatever their names,
token volumes and host names; masks and scores computed for one of them hold for all (`framework/shared.py`).

Guarantee: everything in a signature is a function of its key. What differs between pods of one template (name, uid,
node, start time) is in `PodInfo`.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import orjson

from sampan.apimachinery.object import Object, controller_of, labels_of, namespace_of
from sampan.scheduler import node_selector
from sampan.scheduler.node_selector import NodeSelector, Preference
from sampan.scheduler.pod_affinity import PodAffinity, compile_affinity
from sampan.scheduler.resources import Amounts, pod_requests, pod_requests_for_scoring

HostPort: TypeAlias = tuple[str, str, int]
"""(address, protocol, port); the address 0.0.0.0 stands for all."""

DEFAULT_SCHEDULER = "default-scheduler"

_FIELDS = (
    "affinity", "nodeSelector", "overhead", "preemptionPolicy", "priority", "resourceClaims", "resources",
    "schedulerName", "schedulingGates", "schedulingGroup", "tolerations", "topologySpreadConstraints", "workloadRef",
)
_CONTAINER_FIELDS = ("image", "name", "resources", "restartPolicy")
_LOCAL_VOLUMES = frozenset(("configMap", "downwardAPI", "emptyDir", "hostPath", "image", "projected", "secret"))
"""Volumes that every node can have; their names differ between pods of a template."""


@dataclass(slots=True, eq=False, weakref_slot=True)
class Signature:
    """Compared and hashed by identity: equal ones are the same object. Not to be changed."""

    namespace: str
    labels: Mapping[str, str]
    labels_key: frozenset[tuple[str, str]]
    owner_uid: str
    """The uid of the controller that made the pod, empty if none did."""
    spec: Object
    """The part of the pod's spec that scheduling may read."""
    spec_key: bytes
    """Equal for equal specs, whatever the labels."""
    scheduler_name: str
    priority: int
    preempts: bool
    requests: Amounts
    scoring_requests: Amounts
    demanded: tuple[tuple[str, int], ...]
    """What it requests more than nothing of."""
    ports: tuple[HostPort, ...]
    tolerations: tuple[Object, ...]
    selector: NodeSelector | None
    preferences: tuple[Preference, ...]
    affinity: PodAffinity
    spread: tuple[Object, ...]
    images: tuple[str, ...]
    gates: tuple[str, ...]
    volumes: tuple[Object, ...]
    """Those that may limit where the pod can go."""
    group: str
    """The key, `namespace/name`, of its PodGroup; empty if it has none."""


_Key: TypeAlias = tuple[str, str, bytes, bytes]
_interned: weakref.WeakValueDictionary[_Key, Signature] = weakref.WeakValueDictionary()


def signature_of(pod: Object) -> Signature:
    """The pod's signature, made if this is the first pod of its sort."""
    spec = reduced(pod.get("spec") or {})
    namespace, labels = namespace_of(pod), labels_of(pod)
    owner = (controller_of(pod) or {}).get("uid") or ""
    key = (namespace, owner, orjson.dumps(labels), orjson.dumps(spec))
    found = _interned.get(key)
    if found is None:
        found = _interned[key] = _parse(namespace, labels, owner, spec, key[-1])
    return found


def reduced(spec: Object) -> Object:
    """A pod's spec without what placement never looks at."""
    kept = {name: spec[name] for name in _FIELDS if name in spec}
    kept["containers"] = [_container(container) for container in spec.get("containers") or ()]
    if spec.get("initContainers"):
        kept["initContainers"] = [_container(container) for container in spec["initContainers"]]
    volumes = [volume for volume in spec.get("volumes") or () if _LOCAL_VOLUMES.isdisjoint(volume)]
    if volumes:
        kept["volumes"] = volumes
    return kept


def _container(container: Object) -> Object:
    kept = {name: container[name] for name in _CONTAINER_FIELDS if name in container}
    ports = [port for port in container.get("ports") or () if port.get("hostPort")]
    if ports:
        kept["ports"] = ports
    return kept


def _parse(namespace: str, labels: Mapping[str, str], owner: str, spec: Object, spec_key: bytes) -> Signature:
    pod: Object = {"spec": spec}
    containers = [*(spec.get("initContainers") or []), *spec["containers"]]
    requests = pod_requests(pod)
    group = (spec.get("schedulingGroup") or {}).get("podGroupName")
    return Signature(
        namespace=namespace,
        labels=labels,
        labels_key=frozenset(labels.items()),
        owner_uid=owner,
        spec=spec,
        spec_key=spec_key,
        scheduler_name=spec.get("schedulerName") or DEFAULT_SCHEDULER,
        priority=spec.get("priority") or 0,
        preempts=spec.get("preemptionPolicy") != "Never",
        requests=requests,
        scoring_requests=pod_requests_for_scoring(pod),
        demanded=tuple((name, amount) for name, amount in requests.items() if amount),
        ports=_host_ports(spec),
        tolerations=tuple(spec.get("tolerations") or ()),
        selector=node_selector.required(spec),
        preferences=node_selector.preferred(spec),
        affinity=compile_affinity(spec.get("affinity") or {}, namespace, labels),
        spread=tuple(spec.get("topologySpreadConstraints") or ()),
        images=tuple(container["image"] for container in containers if container.get("image")),
        gates=tuple(gate["name"] for gate in spec.get("schedulingGates") or ()),
        volumes=tuple(spec.get("volumes") or ()),
        group=f"{namespace}/{group}" if group else "",
    )


def _host_ports(spec: Object) -> tuple[HostPort, ...]:
    """Ports that the pod takes on its node: of its containers and of its sidecars."""
    sidecars = [c for c in spec.get("initContainers") or [] if c.get("restartPolicy") == "Always"]
    return tuple(
        (port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", port["hostPort"])
        for container in [*spec["containers"], *sidecars]
        for port in container.get("ports") or []
    )

