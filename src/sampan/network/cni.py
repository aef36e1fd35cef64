"""The pods' network on one node, as a CNI configuration list that the container runtime reads.

Debian's plugins do the work: `bridge` plugs each pod into `cni0`, `host-local` hands out addresses of the node's pod
CIDR, `portmap` opens hostPorts. The bridge is the pods' gateway and reflects frames (hairpin), so a pod reaches
itself through its Service. Nothing is masqueraded here: pods talk to each other under their own addresses, and there
is no way out of a local cluster.
"""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

import orjson

from sampan.apimachinery.object import Object

FILE_NAME = "10-sampan.conflist"


@dataclass(frozen=True, slots=True)
class CNIConfig:
    """`network` names the network (it is part of the names of libcni's files); `data_dir` holds host-local's leases."""

    network: str
    conf_dir: Path
    data_dir: Path
    bridge: str = "cni0"
    mtu: int = 1500
    host_ports: bool = True


def conflist(config: CNIConfig, pod_cidrs: list[str]) -> Object:
    """The configuration list for a node with these pod CIDRs (one, or one of each family). Raises ValueError."""
    if not pod_cidrs:
        raise ValueError("a node's network needs at least one pod CIDR")
    subnets = [ipaddress.ip_network(cidr) for cidr in pod_cidrs]
    bridge: Object = {
        "type": "bridge",
        "bridge": config.bridge,
        "isGateway": True,
        "hairpinMode": True,
        "ipMasq": False,
        "mtu": config.mtu,
        "ipam": {
            "type": "host-local",
            "dataDir": str(config.data_dir),
            "ranges": [[{"subnet": str(subnet)}] for subnet in subnets],
            "routes": [{"dst": "0.0.0.0/0" if subnet.version == 4 else "::/0"} for subnet in subnets],
        },
    }
    plugins = [bridge]
    if config.host_ports:
        plugins.append({"type": "portmap", "capabilities": {"portMappings": True}, "snat": True})
    return {"cniVersion": "1.0.0", "name": config.network, "plugins": plugins}


def write(config: CNIConfig, pod_cidrs: list[str]) -> bool:
    """Put the list where the runtime watches for it, whole or not at all. False when it says so already."""
    content = orjson.dumps(conflist(config, pod_cidrs), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    target = config.conf_dir / FILE_NAME
    if target.exists() and target.read_bytes() == content:
        return False
    config.conf_dir.mkdir(parents=True, exist_ok=True)
    config.data_dir.mkdir(parents=True, exist_ok=True)
    draft = target.with_suffix(".new")  # the runtime looks only at .conf, .conflist and .json
    draft.write_bytes(content)
    os.replace(draft, target)
    return True
