"""What `pods`, `services` and `nodes` proxy requests aim at. Names may carry a scheme and a port: `https:NAME:8443`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sampan import effects
from sampan.api.resources import ENDPOINT_SLICES, ENDPOINTS, PODS, SERVICES
from sampan.apimachinery import errors
from sampan.apimachinery.errors import BadRequest, ServiceUnavailable
from sampan.apimachinery.object import Object, dig
from sampan.apiserver.context import RequestContext
from sampan.apiserver.seams import ServerParts
from sampan.apiserver.streams import location, upstream
from sampan.apiserver.streams.upstream import Target


@dataclass(frozen=True, slots=True)
class Named:
    """`[SCHEME:]NAME[:PORT]`."""

    scheme: str
    name: str
    port: str

    @classmethod
    def parse(cls, text: str, what: str) -> Named:
        """Raises BadRequest."""
        parts = text.split(":")
        if len(parts) == 1:
            return cls("", parts[0], "")
        if len(parts) == 2:
            return cls("", parts[0], parts[1])
        if len(parts) == 3 and parts[0] in ("http", "https"):
            return cls(parts[0], parts[1], parts[2])
        raise BadRequest(f'invalid {what} request "{text}"')


async def pod_target(ctx: RequestContext, parts: ServerParts) -> Target:
    """The pod's own address; without a port, the first port its containers name, else 80."""
    named = Named.parse(ctx.name, "pod")
    pod = await _found(parts, PODS, named.name, ctx.namespace)
    port = named.port
    if not port:
        containers = dig(pod, "spec", "containers", default=())
        ports = [one for container in containers for one in container.get("ports") or ()]
        port = str(ports[0]["containerPort"]) if ports else ""
    address = dig(pod, "status", "podIP", default="")
    if not address:
        raise BadRequest("address not allowed")
    location.check_proxyable(address)
    return _target(named.scheme, address, _number(port) if port else _default_port(named.scheme))


async def node_target(ctx: RequestContext, parts: ServerParts) -> Target:
    """The node's kubelet; another port of the node only when named."""
    named = Named.parse(ctx.name, "node")
    kubelet = await location.kubelet_on(named.name, parts)
    if not named.port or _number(named.port) == kubelet.port:
        return Target(kubelet.host, kubelet.port, upstream.kubelet_tls(parts.config))
    location.check_proxyable(kubelet.host)
    return _target(named.scheme, kubelet.host, _number(named.port))


async def service_target(ctx: RequestContext, parts: ServerParts) -> Target:
    """One ready endpoint of the service, chosen at random. Raises ServiceUnavailable without any."""
    named = Named.parse(ctx.name, "service")
    service = await _found(parts, SERVICES, named.name, ctx.namespace)
    port_name = _port_name(service, named)
    candidates = _from_slices(parts, ctx.namespace, named.name, port_name)
    if not candidates:
        candidates = _from_endpoints(parts, ctx.namespace, named.name, port_name)
    if not candidates:
        raise ServiceUnavailable(f'no endpoints available for service "{named.name}"')
    address, number = effects.rng().choice(candidates)
    location.check_proxyable(address)
    return _target(named.scheme, address, number)


def _port_name(service: Object, named: Named) -> str:
    ports = dig(service, "spec", "ports", default=[])
    if not named.port:
        if len(ports) == 1:
            return str(ports[0].get("name", ""))
        if any(not port.get("name") for port in ports):
            return ""
        raise ServiceUnavailable(f'no endpoints available for service "{named.name}"')
    for port in ports:
        if named.port in (port.get("name"), str(port.get("port"))):
            return str(port.get("name", ""))
    raise ServiceUnavailable(f'no service port "{named.port}" found for service "{named.name}"')


def _from_slices(parts: ServerParts, namespace: str, service: str, port_name: str) -> list[tuple[str, int]]:
    found = []
    for slice in parts.reader.list(ENDPOINT_SLICES, namespace, {"kubernetes.io/service-name": service}):
        numbers = [port["port"] for port in slice.get("ports") or () if (port.get("name") or "") == port_name]
        for endpoint in slice.get("endpoints") or ():
            if dig(endpoint, "conditions", "ready") is False:
                continue
            addresses = endpoint.get("addresses") or ()
            found += [(str(addresses[0]), int(number)) for number in numbers if addresses and number]
    return found


def _from_endpoints(parts: ServerParts, namespace: str, service: str, port_name: str) -> list[tuple[str, int]]:
    endpoints: Any = parts.reader.get(ENDPOINTS, service, namespace) or {}
    return [
        (str(address["ip"]), int(port["port"]))
        for subset in endpoints.get("subsets") or () for port in subset.get("ports") or ()
        if (port.get("name") or "") == port_name for address in subset.get("addresses") or ()
    ]


async def _found(parts: ServerParts, resource: Any, name: str, namespace: str) -> Object:
    found = parts.reader.get(resource, name, namespace)
    if found is None:
        await parts.reader.fresh(resource)
        found = parts.reader.get(resource, name, namespace)
    if found is None:
        raise errors.not_found(resource, name)
    return found


def _default_port(scheme: str) -> int:
    return 443 if scheme == "https" else 80


def _number(port: str) -> int:
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise BadRequest(f'invalid port "{port}"')
    return int(port)


def _target(scheme: str, host: str, port: int) -> Target:
    return Target(host, port, upstream.insecure_tls() if scheme == "https" else None)
