"""Which pods a node takes."""

from __future__ import annotations

from typing import Any

import pytest
from tests.kubelet.world import pod

from sampan.kubelet.admission import admit

NODE: dict[str, Any] = {
    "metadata": {"name": "n1", "labels": {"zone": "a", "size": "4"}},
    "spec": {"taints": [{"key": "gone", "effect": "NoExecute"}, {"key": "soft", "effect": "NoSchedule"}]},
    "status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "3"}},
}
TOLERANT = [{"key": "gone", "operator": "Exists"}]


def affinity(*expressions: dict[str, Any]) -> dict[str, Any]:
    terms = [{"matchExpressions": list(expressions)}]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}


def requesting(name: str, **requests: str) -> dict[str, Any]:
    return pod(name, [{"name": "c", "resources": {"requests": requests}}], tolerations=TOLERANT)


def test_a_pod_that_fits_is_taken() -> None:
    assert admit(requesting("a", cpu="1"), NODE, [requesting("b", cpu="1")]) is None


def test_what_is_short_is_named() -> None:
    refusal = admit(requesting("a", memory="600Mi"), NODE, [requesting("b", memory="500Mi")])
    assert refusal is not None and refusal.reason == "OutOfmemory"
    assert refusal.message == (
        "Node didn't have enough resource: memory, requested: 629145600, used: 524288000, capacity: 1073741824"
    )
    refusal = admit(requesting("a"), NODE, [requesting(str(n)) for n in range(3)])
    assert refusal is not None and refusal.reason == "OutOfpods"


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"nodeSelector": {"zone": "b"}}, "NodeAffinity"),
        ({"nodeSelector": {"zone": "a"}}, None),
        ({"affinity": affinity({"key": "size", "operator": "Gt", "values": ["5"]})}, "NodeAffinity"),
        ({"affinity": affinity({"key": "size", "operator": "Gt", "values": ["3"]})}, None),
        ({"affinity": affinity({"key": "x", "operator": "DoesNotExist"})}, None),
        ({"tolerations": []}, "TaintToleration"),
        ({"os": {"name": "windows"}}, "PodOSNotSupported"),
    ],
)
def test_predicates(spec: dict[str, Any], reason: str | None) -> None:
    refusal = admit(pod(**{"tolerations": TOLERANT, **spec}), NODE, [])
    assert (refusal.reason if refusal else None) == reason


def test_a_host_port_is_given_once() -> None:
    def using(name: str, **port: Any) -> dict[str, Any]:
        return pod(name, [{"name": "c", "ports": [{"containerPort": 80, **port}]}], tolerations=TOLERANT)

    taken = [using("a", hostPort=8080)]
    refusal = admit(using("b", hostPort=8080), NODE, taken)
    assert refusal is not None and refusal.reason == "NodePorts"
    assert admit(using("b", hostPort=8080, protocol="UDP"), NODE, taken) is None
    assert admit(using("b", hostPort=8081), NODE, taken) is None


@pytest.mark.parametrize(("sysctl", "spec", "allowed", "message"), [
    ("kernel.shm_rmid_forced", {}, (), ""),
    ("net/ipv4/ip_local_port_range", {}, (), ""),
    ("kernel.msgmax", {}, (), 'forbidden sysctl: "kernel.msgmax" not allowlisted'),
    ("kernel.msgmax", {}, ("kernel.msg*",), ""),
    ("net.ipv4.tcp_syncookies", {"hostNetwork": True}, (),
     'forbidden sysctl: "net.ipv4.tcp_syncookies" not allowed with host net enabled'),
    ("kernel.shm_rmid_forced", {"hostIPC": True}, (),
     'forbidden sysctl: "kernel.shm_rmid_forced" not allowed with host ipc enabled'),
])
def test_sysctls_are_allowed_by_name(
    sysctl: str, spec: dict[str, Any], allowed: tuple[str, ...], message: str
) -> None:
    context = {"sysctls": [{"name": sysctl, "value": "1"}]}
    refusal = admit(pod(tolerations=TOLERANT, securityContext=context, **spec), NODE, [], allowed)
    assert (refusal.message if refusal else "") == message
    assert refusal is None or refusal.reason == "SysctlForbidden"


def test_strict_groups_are_refused_where_the_runtime_cannot_keep_them() -> None:
    context = {"supplementalGroupsPolicy": "Strict"}
    refusal = admit(pod(tolerations=TOLERANT, securityContext=context), NODE, [])
    assert refusal is not None and refusal.reason == "SupplementalGroupsPolicyNotSupported"
