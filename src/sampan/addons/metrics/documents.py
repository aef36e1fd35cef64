"""metrics.k8s.io/v1beta1 as documents: discovery, NodeMetrics, PodMetrics. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from sampan.addons.metrics.samples import Used
from sampan.apimachinery.object import Object, labels_of, name_of, namespace_of

GROUP, VERSION = "metrics.k8s.io", "v1beta1"
API_VERSION = f"{GROUP}/{VERSION}"

RESOURCES: Object = {
    "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": API_VERSION, "resources": [
        {"name": "nodes", "singularName": "", "namespaced": False, "kind": "NodeMetrics", "verbs": ["get", "list"]},
        {"name": "pods", "singularName": "", "namespaced": True, "kind": "PodMetrics", "verbs": ["get", "list"]},
    ],
}
_THIS = {"groupVersion": API_VERSION, "version": VERSION}
API_GROUP: Object = {
    "kind": "APIGroup", "apiVersion": "v1", "name": GROUP, "versions": [_THIS], "preferredVersion": _THIS,
}
API_GROUPS: Object = {
    "kind": "APIGroupList", "apiVersion": "v1",
    "groups": [{key: value for key, value in API_GROUP.items() if key not in ("kind", "apiVersion")}],
}


def node_metrics(node: Object, used: Used) -> Object:
    """What a node uses."""
    return {
        "kind": "NodeMetrics", "apiVersion": API_VERSION, "metadata": _metadata(node), **_moment([used]),
        "usage": _usage(used),
    }


def pod_metrics(pod: Object, containers: Mapping[str, Used]) -> Object:
    """What a pod's containers use."""
    return {
        "kind": "PodMetrics", "apiVersion": API_VERSION, "metadata": _metadata(pod), **_moment(containers.values()),
        "containers": [{"name": name, "usage": _usage(containers[name])} for name in sorted(containers)],
    }


def listed(kind: str, items: list[Object]) -> Object:
    return {"kind": f"{kind}List", "apiVersion": API_VERSION, "metadata": {}, "items": items}


def _metadata(obj: Object) -> Object:
    """Of the object that was measured; its labels, so that selectors work on metrics too."""
    found: Object = {"name": name_of(obj), "creationTimestamp": obj["metadata"].get("creationTimestamp")}
    if namespace_of(obj):
        found["namespace"] = namespace_of(obj)
    if labels_of(obj):
        found["labels"] = labels_of(obj)
    return found


def _moment(measured: Iterable[Used]) -> Object:
    """The oldest of the measurements: none is older than it says."""
    oldest = min(measured, key=lambda used: used.time_s)
    time = datetime.fromtimestamp(oldest.time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"timestamp": time, "window": f"{oldest.window_s:.3f}".rstrip("0").rstrip(".") + "s"}


def _usage(used: Used) -> Object:
    return {"cpu": f"{used.cpu_ns}n", "memory": f"{used.memory_bytes // 1024}Ki"}
