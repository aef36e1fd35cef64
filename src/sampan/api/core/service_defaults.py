"""Service: its defaults, and what an update takes over from the object that exists.

What the API server allocates (addresses, node ports) survives an update that leaves it out, and goes away with the type
that needed it. Allocation itself is the registry's.
"""

from __future__ import annotations

from sampan.api.strategy import ensure, keep_status, setdefault
from sampan.apimachinery.object import Object

_AFFINITY_TIMEOUT_S = 10800
_WITH_CLUSTER_IP = ("ClusterIP", "NodePort", "LoadBalancer")


def needs_cluster_ip(spec: Object) -> bool:
    return spec.get("type") in _WITH_CLUSTER_IP


def needs_node_port(spec: Object) -> bool:
    if spec.get("type") == "NodePort":
        return True
    return spec.get("type") == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is not False


def needs_health_check_port(spec: Object) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def is_external(spec: Object) -> bool:
    """Reached from outside the cluster through ports of nodes."""
    return spec.get("type") in ("NodePort", "LoadBalancer")


def prepare_create(obj: Object) -> None:
    obj["status"] = {"loadBalancer": {}}


def default(obj: Object) -> None:
    ensure(ensure(obj, "status"), "loadBalancer")
    spec = ensure(obj, "spec")
    if not spec.get("sessionAffinity"):
        spec["sessionAffinity"] = "None"
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP":
        client = ensure(ensure(spec, "sessionAffinityConfig"), "clientIP")
        setdefault(client, "timeoutSeconds", _AFFINITY_TIMEOUT_S)
    if not spec.get("type"):
        spec["type"] = "ClusterIP"
    for port in spec.get("ports") or ():
        if not port.get("protocol"):
            port["protocol"] = "TCP"
        if not port.get("targetPort") and port.get("port"):
            port["targetPort"] = port["port"]
    if is_external(spec) and not spec.get("externalTrafficPolicy"):
        spec["externalTrafficPolicy"] = "Cluster"
    if needs_cluster_ip(spec):
        setdefault(spec, "internalTrafficPolicy", "Cluster")
    if spec["type"] == "LoadBalancer":
        setdefault(spec, "allocateLoadBalancerNodePorts", True)


def prepare_update(new: Object, old: Object) -> None:
    keep_status(new, old)
    after, before = ensure(new, "spec"), old.get("spec") or {}
    keep_allocated(after, before)
    drop_unneeded(after, before)


def keep_allocated(after: Object, before: Object) -> None:
    """An update that leaves out what was allocated keeps it."""
    if needs_cluster_ip(before) and needs_cluster_ip(after):
        if not after.get("clusterIP") and before.get("clusterIP"):
            after["clusterIP"] = before["clusterIP"]
        same = after.get("clusterIP") == before.get("clusterIP")
        if same and not after.get("clusterIPs") and before.get("clusterIPs"):
            after["clusterIPs"] = before["clusterIPs"]
    if needs_node_port(before) and needs_node_port(after):
        _keep_node_ports(after, before)
    if needs_health_check_port(before) and needs_health_check_port(after) and not after.get("healthCheckNodePort"):
        _copy(after, before, "healthCheckNodePort")


def _keep_node_ports(after: Object, before: Object) -> None:
    allocated = {(port.get("protocol"), port.get("port")): port.get("nodePort") for port in before.get("ports") or ()}
    used = {(port.get("protocol"), port.get("nodePort")) for port in after.get("ports") or () if port.get("nodePort")}
    for port in after.get("ports") or ():
        if port.get("nodePort"):
            continue
        number = allocated.get((port.get("protocol"), port.get("port")))
        if number and (port.get("protocol"), number) not in used:
            port["nodePort"] = number
            used.add((port.get("protocol"), number))


def drop_unneeded(after: Object, before: Object) -> None:
    """What the new type cannot have goes away, if the client only carried it along unchanged."""
    if needs_cluster_ip(before) and not needs_cluster_ip(after):
        if after.get("clusterIPs") == before.get("clusterIPs"):
            after.pop("clusterIP", None)
            after.pop("clusterIPs", None)
        for key in ("ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"):
            _drop_if_same(after, before, key)
    if needs_node_port(before) and not needs_node_port(after) and _node_ports(after) == _node_ports(before):
        for port in after.get("ports") or ():
            port.pop("nodePort", None)
    if needs_health_check_port(before) and not needs_health_check_port(after):
        _drop_if_same(after, before, "healthCheckNodePort")
    if before.get("type") == "LoadBalancer" != after.get("type"):
        for key in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
            _drop_if_same(after, before, key)
    if is_external(before) and not is_external(after):
        _drop_if_same(after, before, "externalTrafficPolicy")


def _node_ports(spec: Object) -> set[int]:
    return {port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")}


def _drop_if_same(after: Object, before: Object, key: str) -> None:
    if after.get(key) == before.get(key):
        after.pop(key, None)


def _copy(after: Object, before: Object, key: str) -> None:
    if before.get(key):
        after[key] = before[key]
