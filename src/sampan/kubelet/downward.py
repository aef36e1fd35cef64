"""The downward API: a pod's own fields and its containers' resources, for environment variables and files. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

import orjson

from sampan.apimachinery.object import Object, annotations_of, dig, labels_of, meta
from sampan.apimachinery.quantity import NANO, Quantity
from sampan.kubelet import spec
from sampan.kubelet.errors import ConfigError

_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What of the node the downward API shows. Amounts are the node's allocatable."""

    name: str
    ips: tuple[str, ...]
    cpu: Quantity
    memory: Quantity
    ephemeral_storage: Quantity


def field_value(pod: Object, path: str, node: NodeFacts, pod_ips: tuple[str, ...] = ()) -> str:
    """The value of a `fieldRef.fieldPath`. Raises ConfigError for a path that is not supported."""
    subscript = _SUBSCRIPT.fullmatch(path)
    if subscript:
        found = labels_of(pod) if subscript[1] == "labels" else annotations_of(pod)
        return found.get(subscript[2], "")
    if path == "metadata.labels":
        return _lines(labels_of(pod))
    if path == "metadata.annotations":
        return _lines(annotations_of(pod))
    simple = {
        "metadata.name": meta(pod).get("name", ""),
        "metadata.namespace": meta(pod).get("namespace", ""),
        "metadata.uid": meta(pod).get("uid", ""),
        "spec.nodeName": node.name,
        "spec.serviceAccountName": dig(pod, "spec", "serviceAccountName", default=""),
        "status.hostIP": node.ips[0] if node.ips else "",
        "status.hostIPs": ",".join(node.ips),
        "status.podIP": pod_ips[0] if pod_ips else "",
        "status.podIPs": ",".join(pod_ips),
    }
    if path not in simple:
        raise ConfigError(f"unsupported fieldPath: {path}")
    return str(simple[path])


def _lines(pairs: dict[str, str]) -> str:
    return "\n".join(f"{key}={orjson.dumps(pairs[key]).decode()}" for key in sorted(pairs))


def resource_value(pod: Object, container: Object, reference: Object, node: NodeFacts) -> str:
    """The value of a `resourceFieldRef`, in units of its divisor, rounded up."""
    name = reference.get("containerName")
    owner = spec.container_named(pod, name) if name else container
    if owner is None:
        raise ConfigError(f"container {name} not found")
    section, _, resource = str(reference["resource"]).partition(".")
    text = dig(owner, "resources", section, resource)
    amount = Quantity.parse(text) if text is not None else _default(section, resource, node)
    divisor = Quantity.parse(reference.get("divisor") or "1")
    divisor = divisor if divisor else Quantity(NANO)
    if resource == "cpu":  # upstream divides in milli-units for CPU, in whole units otherwise
        return str(-(-amount.milli_value // max(divisor.milli_value, 1)))
    return str(-(-amount.value // max(divisor.value, 1)))


def _default(section: str, resource: str, node: NodeFacts) -> Quantity:
    """An unset limit is all of the node; an unset request is nothing."""
    if section == "requests":
        return Quantity(0)
    known = {"cpu": node.cpu, "memory": node.memory, "ephemeral-storage": node.ephemeral_storage}
    return known.get(resource, Quantity(0))
