"""Which kernel parameters a pod may set: upstream's safe ones, and unsafe ones that the node's owner allowed. Pure.

Only parameters that belong to a namespace can be a pod's own; those of the network and of IPC are refused when the pod
shares that namespace with its node.
"""

from __future__ import annotations

from collections.abc import Sequence

from sampan.apimachinery.object import Object, dig
from sampan.kubelet.refusal import Refusal

REASON = "SysctlForbidden"

SAFE = frozenset({
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
})
_IPC = ("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")


def normalized(name: str) -> str:
    """With dots between its parts: `net/ipv4/x.y` and `net.ipv4.x/y` are two ways to write one name."""
    dot, slash = name.find("."), name.find("/")
    if slash == -1 or (dot != -1 and dot < slash):
        return name
    return name.translate(str.maketrans("./", "/."))


def refusal(pod: Object, allowed: Sequence[str]) -> Refusal | None:
    """None if every sysctl of the pod is allowed. `allowed` are names, or prefixes that end in `*`."""
    for item in dig(pod, "spec", "securityContext", "sysctls", default=[]):
        name = normalized(item["name"])
        if name not in SAFE and not any(_matches(pattern, name) for pattern in allowed):
            return Refusal(REASON, f'forbidden sysctl: "{name}" not allowlisted')
        if pod["spec"].get("hostNetwork") and name.startswith("net."):
            return Refusal(REASON, f'forbidden sysctl: "{name}" not allowed with host net enabled')
        if pod["spec"].get("hostIPC") and name.startswith(_IPC):
            return Refusal(REASON, f'forbidden sysctl: "{name}" not allowed with host ipc enabled')
    return None


def _matches(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else pattern == name
