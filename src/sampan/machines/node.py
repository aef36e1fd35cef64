"""A node of a local cluster: a network namespace with one cable, `eth0`, into the fabric.

The node's kubelet, containerd, service proxy and DNS run inside it, and so, on the first node, does the control plane.
`ensure` may be called at any time: it makes what is missing and leaves the rest alone, so running pods do not notice.
"""

from __future__ import annotations

import errno
import ipaddress
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from sampan.machines import fabric, namespace
from sampan.machines.layout import FABRIC_ADDRESS, NODE_RANGE, Layout, node_address

T = TypeVar("T")

UPLINK = "eth0"

SYSCTLS = {
    # A node forwards between its pods and the fabric.
    "net/ipv4/ip_forward": "1",
    # Packets that one pod sends to another over the bridge must pass connection tracking, or the answers of a Service's
    # endpoint on the same node would reach the client under the endpoint's own address.
    "net/bridge/bridge-nf-call-iptables": "1",
    # A Service's answer may leave by another link than the one the request came by.
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/conf/default/send_redirects": "0",
    "net/ipv4/ping_group_range": "0 2147483647",
    "net/ipv6/conf/default/accept_dad": "0",
}


@dataclass(frozen=True, slots=True)
class NodeMachine:
    """The machine under one node. `index` counts from 1 and decides the address."""

    cluster: str
    node: str
    index: int
    layout: Layout | None = None

    @property
    def _layout(self) -> Layout:
        return self.layout or Layout(self.cluster)

    @property
    def namespace(self) -> str:
        return self._layout.namespace(self.node)

    @property
    def address(self) -> ipaddress.IPv4Address:
        return node_address(self.index)

    def exists(self) -> bool:
        return namespace.exists(self.namespace)

    def create(self) -> None:
        """The same as `ensure`."""
        self.ensure()

    def ensure(self) -> None:
        """Make fabric, namespace, cable, address, routes and kernel parameters, as far as they are missing."""
        fabric.ensure(self._layout)
        self._layout.machines.mkdir(parents=True, exist_ok=True)
        (self._layout.machines / self.node).touch()
        namespace.create(self.namespace)
        namespace.call_in(self.namespace, lambda: fabric.write_sysctls(SYSCTLS))
        if not self._is_plugged_in():
            namespace.call_in(self.namespace, _drop_uplink)
            namespace.call_in(self._layout.fabric, self._plug_in)
        namespace.call_in(self.namespace, self._configure)

    def destroy(self) -> None:
        """Remove the namespace with all its links and tables. Its processes must have ended (`sweep` sees to that)."""
        namespace.delete(self.namespace)
        (self._layout.machines / self.node).unlink(missing_ok=True)

    def call(self, function: Callable[[], T]) -> T:
        """Run `function` inside the node's namespace, in a thread of its own."""
        return namespace.call_in(self.namespace, function)

    def exec(self, argv: Sequence[str]) -> list[str]:
        """The command line that runs `argv` on this node."""
        return namespace.exec_in(self.namespace, argv)

    @property
    def _port(self) -> str:
        return f"port{self.index}"

    def _is_plugged_in(self) -> bool:
        """True when both ends of the cable are there and belong together.

        Looking at one is not enough: the kernel takes a moment to remove the links of a namespace that was deleted,
        so an end may still be there though its other end is in a fabric that is gone.
        """
        near = namespace.call_in(self.namespace, lambda: _ends(UPLINK))
        far = namespace.call_in(self._layout.fabric, lambda: _ends(self._port))
        return near is not None and far is not None and near == far[::-1]

    def _plug_in(self) -> None:
        """Runs in the fabric: a cable from a port of its bridge to the node's `eth0`."""
        port = self._port
        descriptor = os.open(namespace.path_of(self.namespace), os.O_RDONLY | os.O_CLOEXEC)
        try:
            with IPRoute() as route:
                for stale in route.link_lookup(ifname=port):
                    route.link("del", index=stale)
                route.link("add", ifname=port, kind="veth", peer={"ifname": UPLINK, "net_ns_fd": descriptor})
                bridge = route.link_lookup(ifname=fabric.BRIDGE)[0]
                route.link("set", index=route.link_lookup(ifname=port)[0], master=bridge, state="up")
        finally:
            os.close(descriptor)

    def _configure(self) -> None:
        """Runs in the node: addresses and routes. The default route leads to the fabric, where it ends."""
        with IPRoute() as route:
            route.link("set", index=1, state="up")
            uplink = route.link_lookup(ifname=UPLINK)[0]
            route.link("set", index=uplink, state="up")
            route.addr("replace", index=uplink, address=str(self.address), prefixlen=NODE_RANGE.prefixlen)
            route.route("replace", dst="default", gateway=str(FABRIC_ADDRESS), oif=uplink)


def _ends(name: str) -> tuple[int, int] | None:
    """The interface numbers of a cable's end and of its other end; None when there is no such link here."""
    with IPRoute() as route:
        for link in route.get_links():
            if link.get_attr("IFLA_IFNAME") == name:
                return int(link["index"]), int(link.get_attr("IFLA_LINK") or 0)
    return None


def _drop_uplink() -> None:
    with IPRoute() as route:
        for stale in route.link_lookup(ifname=UPLINK):
            try:
                route.link("del", index=stale)
            except NetlinkError as error:
                if error.code != errno.ENODEV:  # the kernel was quicker
                    raise
