"""Where a stream goes: the pod, its container, the node it runs on, the kubelet there. Messages are upstream's."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from sampan.api.resources import NODES, PODS
from sampan.apimachinery import errors
from sampan.apimachinery.errors import BadRequest
from sampan.apimachinery.object import Object, annotations_of, dig, name_of
from sampan.apiserver.context import RequestContext
from sampan.apiserver.seams import ServerParts

KUBELET_PORT = 10250
DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
_ADDRESS_TYPES = ("InternalIP", "ExternalIP", "InternalDNS", "ExternalDNS", "Hostname")


@dataclass(frozen=True, slots=True)
class Kubelet:
    """A kubelet's address and the node it serves."""

    node: str
    host: str
    port: int


async def find_pod(ctx: RequestContext, parts: ServerParts) -> Object:
    """The pod that the request names. Raises NotFound."""
    pod = parts.reader.get(PODS, ctx.name, ctx.namespace)
    if pod is None:
        await parts.reader.fresh(PODS)
        pod = parts.reader.get(PODS, ctx.name, ctx.namespace)
    if pod is None:
        raise errors.not_found(PODS, ctx.name)
    return pod


def choose_container(pod: Object, wanted: str) -> str:
    """The container asked for, or the only or annotated one. Raises BadRequest."""
    spec = pod.get("spec") or {}
    by_kind = {
        kind: [name_or_empty(one) for one in spec.get(kind) or ()]
        for kind in ("containers", "initContainers", "ephemeralContainers")
    }
    if wanted:
        if not any(wanted in names for names in by_kind.values()):
            raise BadRequest(f"container {wanted} is not valid for pod {name_of(pod)}")
        return wanted
    containers = by_kind["containers"]
    if len(containers) == 1:
        return containers[0]
    annotated = annotations_of(pod).get(DEFAULT_CONTAINER, "")
    if annotated in containers:
        return annotated
    text = f"a container name must be specified for pod {name_of(pod)}"
    if containers:
        text += f", choose one of: [{' '.join(containers)}]"
    if by_kind["initContainers"]:
        text += f" or one of the init containers: [{' '.join(by_kind['initContainers'])}]"
    raise BadRequest(text)


def name_or_empty(container: Object) -> str:
    return str(container.get("name", ""))


async def kubelet_of(pod: Object, parts: ServerParts) -> Kubelet:
    """The kubelet that runs a pod. Raises BadRequest for a pod on no node."""
    node = dig(pod, "spec", "nodeName", default="")
    if not node:
        raise BadRequest(f"pod {name_of(pod)} does not have a host assigned")
    return await kubelet_on(node, parts)


async def kubelet_on(node_name: str, parts: ServerParts) -> Kubelet:
    """The kubelet of a node. Raises NotFound, BadRequest for a node without an address."""
    node = parts.reader.get(NODES, node_name)
    if node is None:
        await parts.reader.fresh(NODES)
        node = parts.reader.get(NODES, node_name)
    if node is None:
        raise errors.not_found(NODES, node_name)
    port = dig(node, "status", "daemonEndpoints", "kubeletEndpoint", "Port", default=0) or KUBELET_PORT
    return Kubelet(node_name, address_of(node), int(port))


def address_of(node: Object) -> str:
    addresses = dig(node, "status", "addresses", default=())
    for wanted in _ADDRESS_TYPES:
        for address in addresses:
            if address.get("type") == wanted and address.get("address"):
                return str(address["address"])
    known = [address.get("type") for address in addresses]
    raise BadRequest(f"no preferred addresses found; known addresses: {known}")


def check_proxyable(host: str) -> None:
    """Refuse addresses behind which the server itself would answer: loopback, link-local. Raises BadRequest."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise BadRequest("address not allowed") from None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped  # ::ffff:127.0.0.1 is where 127.0.0.1 is
    if address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified:
        raise BadRequest("address not allowed")
