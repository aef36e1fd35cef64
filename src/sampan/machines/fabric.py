"""The fabric: a network namespace with a bridge that the nodes of a cluster are plugged into.

It has an address (172.30.0.1), which is the nodes' default gateway, and a `prohibit` default route of its own: what a
pod sends to the world outside is refused at once with an ICMP error rather than lost. (The error of an `unreachable`
route is a passing one to a UDP socket, so whoever looked up a name would wait for its timeout.) No link leads from the
fabric to the machine, so there is no way out unless somebody builds one.
"""

from __future__ import annotations

import socket
from pathlib import Path

from pyroute2 import IPRoute

from sampan.machines import namespace
from sampan.machines.layout import FABRIC_ADDRESS, NODE_RANGE, POD_RANGE, Layout, node_address

BRIDGE = "fabric"


def ensure(layout: Layout) -> None:
    """Make the fabric, or mend what is missing of it."""
    namespace.create(layout.fabric)
    namespace.call_in(layout.fabric, _configure)


def destroy(layout: Layout) -> None:
    """Remove it; the nodes' ends of its cables go with it."""
    namespace.delete(layout.fabric)


def write_sysctls(values: dict[str, str]) -> None:
    """Set kernel parameters of the calling thread's namespace; one that this kernel lacks is passed over."""
    for key, value in values.items():
        file = Path("/proc/sys") / key
        if file.exists() and file.read_text().split() != value.split():
            file.write_text(value)


def _configure() -> None:
    # Frames between nodes are not packets of this host: without this, its (empty) firewall would see them all.
    write_sysctls({"net/ipv4/ip_forward": "1", "net/bridge/bridge-nf-call-iptables": "0",
                   "net/ipv4/conf/all/send_redirects": "0", "net/ipv4/conf/default/send_redirects": "0",
                   # A resolver asks for two kinds of address at once, and both deserve their refusal.
                   "net/ipv4/icmp_ratelimit": "0"})
    with IPRoute() as route:
        route.link("set", index=1, state="up")
        found = route.link_lookup(ifname=BRIDGE)
        if not found:
            route.link("add", ifname=BRIDGE, kind="bridge")
            found = route.link_lookup(ifname=BRIDGE)
        route.link("set", index=found[0], state="up")
        route.addr("replace", index=found[0], address=str(FABRIC_ADDRESS), prefixlen=NODE_RANGE.prefixlen)
        route.route("replace", dst="0.0.0.0/0", family=socket.AF_INET, type="prohibit")
        # The refusal must find its way back to the pod; any node knows where each pod is, and the first always exists.
        route.route("replace", dst=str(POD_RANGE), gateway=str(node_address(1)))
