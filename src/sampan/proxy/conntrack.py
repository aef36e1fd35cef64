"""Forgets UDP flows that lead to endpoints which are gone.

A TCP connection to a lost endpoint ends by itself and the next one is sent elsewhere. A UDP client that keeps its port
keeps its flow, and the kernel would go on sending to the lost endpoint as long as the client goes on: so flows
through a Service to what is no longer an endpoint of it are deleted, and the next datagram is balanced anew. The same
for flows that began before the Service had any endpoint.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from sampan.proxy.model import ServicePort

log = logging.getLogger(__name__)

UDP = 17
FLOWS = Path("/proc/thread-self/net/nf_conntrack")
_LINE = re.compile(
    r" udp +17 .*?src=(\S+) dst=(\S+) sport=(\d+) dport=(\d+) .*?src=(\S+) dst=\S+ sport=(\d+) dport=\d+"
)

Frontends: TypeAlias = Mapping[tuple[str, int], frozenset[tuple[str, int]]]
"""(address, port) of a Service, address "" for a node port, to the endpoints that may serve it."""


@dataclass(frozen=True, slots=True)
class Flow:
    """A tracked flow: who asked whom, and who answers."""

    source: str
    source_port: int
    destination: str
    destination_port: int
    server: str
    server_port: int


def frontends(old: Iterable[ServicePort], new: Iterable[ServicePort]) -> Frontends:
    """The UDP frontends whose endpoints changed between two states of the same Services."""
    before, after = _endpoints(old), _endpoints(new)
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    return {key: after.get(key, frozenset()) for key in changed}


def stale(flows: Iterable[Flow], changed: Frontends) -> list[Flow]:
    """The flows to forget."""
    found = []
    for flow in flows:
        server = (flow.server, flow.server_port)
        direct = server == (flow.destination, flow.destination_port)
        endpoints = changed.get((flow.destination, flow.destination_port))
        if endpoints is None and not direct:
            endpoints = changed.get(("", flow.destination_port))
        # A flow that no Service took is stale only once there is an endpoint that could take it.
        if endpoints is not None and server not in endpoints and (endpoints or not direct):
            found.append(flow)
    return found


def forget(changed: Frontends) -> int:
    """Delete stale flows in the calling thread's namespace; how many. Loads the netlink library only if there are
    any."""
    gone = stale(current(), changed)
    if not gone:
        return 0
    from pyroute2 import NFCTSocket
    from pyroute2.netlink.exceptions import NetlinkError
    from pyroute2.netlink.nfnetlink.nfctsocket import NFCTAttrTuple

    with NFCTSocket() as socket:
        for flow in gone:
            entry = NFCTAttrTuple(
                saddr=flow.source, daddr=flow.destination, proto=UDP, sport=flow.source_port,
                dport=flow.destination_port,
            )
            try:
                socket.entry("del", tuple_orig=entry)
            except NetlinkError as error:
                if error.code != errno.ENOENT:  # it may have ended meanwhile
                    raise OSError(error.code, f"flow {flow} could not be deleted") from error
    return len(gone)


def current() -> Iterator[Flow]:
    """The UDP flows of the calling thread's namespace, as /proc shows them; none where the kernel has no such file."""
    try:
        with FLOWS.open() as lines:
            for line in lines:
                found = _LINE.search(line)
                if found:
                    source, destination, source_port, port, server, server_port = found.groups()
                    yield Flow(_short(source), int(source_port), _short(destination), int(port),
                               _short(server), int(server_port))
    except FileNotFoundError:
        log.debug("this kernel does not show its flows in %s", FLOWS)


def _endpoints(ports: Iterable[ServicePort]) -> dict[tuple[str, int], frozenset[tuple[str, int]]]:
    found: dict[tuple[str, int], frozenset[tuple[str, int]]] = {}
    for port in ports:
        if port.protocol != "udp":
            continue
        serving = frozenset((endpoint.ip, endpoint.port) for endpoint in port.endpoints)
        for address in (*port.cluster_ips, *port.external_ips, *port.balancer_ips):
            found[address, port.port] = serving
        if port.node_port:
            found["", port.node_port] = serving
    return found


def _short(address: str) -> str:
    """IPv6 addresses are printed in full there."""
    return str(ipaddress.ip_address(address)) if ":" in address else address
