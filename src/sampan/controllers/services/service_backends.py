"""Which pods stand behind a Service, and on which ports: what Endpoints and EndpointSlices have in common.

A pod counts once it has an address and until it has finished. A Service port that names its target port may mean
another number on each pod. Services without a selector are someone else's to fill, and ExternalName ones have no
backends.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Callable, Iterable
from typing import NamedTuple

from sampan.apimachinery import selectors
from sampan.apimachinery.object import Object, dig, is_being_deleted, key_of, labels_of, name_of, namespace_of, uid_of
from sampan.client.lister import Lister
from sampan.controllers.pods import condition, is_finished
from sampan.reconcile.controller import Keys

HEADLESS_LABEL = "service.kubernetes.io/headless"


def is_ours(service: Object) -> bool:
    """Whether its backends follow from a selector."""
    return bool(dig(service, "spec", "selector")) and dig(service, "spec", "type") != "ExternalName"


def is_headless(service: Object) -> bool:
    return bool(dig(service, "spec", "clusterIP") == "None")


def publishes_all(service: Object) -> bool:
    """Whether pods that are not ready count as if they were."""
    return bool(dig(service, "spec", "publishNotReadyAddresses"))


def addresses_of(pod: Object, family: str) -> list[str]:
    """The pod's addresses of one family, IPv4 or IPv6, in their usual form."""
    listed = [entry.get("ip") for entry in dig(pod, "status", "podIPs", default=())]
    found = [address_of(text) for text in (listed or [dig(pod, "status", "podIP")]) if text]
    return [one.text for one in found if one is not None and one.family == family]


class Address(NamedTuple):
    """An address in its usual form, and the family it is of: IPv4 or IPv6."""

    family: str
    text: str


@functools.lru_cache(maxsize=4096)
def address_of(text: str) -> Address | None:
    """What an address means however it is written: with zeros in front, in capitals, IPv4 inside of IPv6. None if it
    is no address. Reading one takes longer than all else that is asked of a pod, and it stays the same."""
    plain = text if ":" in text else ".".join(part.lstrip("0") or part[:1] for part in text.split("."))
    try:
        found = ipaddress.ip_address(plain)
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return Address(f"IPv{found.version}", str(found))


def families_of(service: Object) -> tuple[str, ...]:
    return tuple(dig(service, "spec", "ipFamilies", default=())) or ("IPv4",)


def belongs(pod: Object, *, terminating: bool) -> bool:
    """Whether the pod may be a backend at all; `terminating`: also while it is being deleted."""
    has_address = bool(dig(pod, "status", "podIP") or dig(pod, "status", "podIPs"))
    return has_address and not is_finished(pod) and (terminating or not is_being_deleted(pod))


def backend_facts(pod: Object) -> object:
    """What of a pod endpoints are made of, and the time that a change of it goes back to."""
    if not belongs(pod, terminating=True):
        return None
    status = pod["status"]
    return (
        is_being_deleted(pod), condition(pod, "Ready"), status.get("podIP"), status.get("podIPs"), labels_of(pod),
        pod.get("spec"),
    )


def port_of(pod: Object, service_port: Object) -> int | None:
    """The number of the pod's port that a Service port means; None if the pod has no such port."""
    target = service_port.get("targetPort")
    if target is None:
        return int(service_port["port"])
    if isinstance(target, int):
        return target or int(service_port["port"])
    protocol = service_port.get("protocol", "TCP")
    sidecars = [
        container for container in dig(pod, "spec", "initContainers", default=())
        if container.get("restartPolicy") == "Always"
    ]
    for container in [*dig(pod, "spec", "containers", default=()), *sidecars]:
        for port in container.get("ports") or ():
            if port.get("name") == target and port.get("protocol", "TCP") == protocol:
                return int(port["containerPort"])
    return None


def ports_by_pod(service: Object) -> Callable[[Object], list[Object]]:
    """What gives the ports of a pod; worked out once for all of them, unless a target port is a name."""
    if any(isinstance(port.get("targetPort"), str) for port in dig(service, "spec", "ports", default=())):
        return lambda pod: ports_of(pod, service)
    ports = ports_of({}, service)
    return lambda pod: ports


def ports_of(pod: Object, service: Object) -> list[Object]:
    """The pod's ports for every Service port it serves: name, port, protocol and perhaps appProtocol."""
    found = []
    for service_port in dig(service, "spec", "ports", default=()):
        number = port_of(pod, service_port)
        if number is None:
            continue
        port: Object = {
            "name": service_port.get("name", ""), "port": number, "protocol": service_port.get("protocol", "TCP"),
        }
        if service_port.get("appProtocol"):
            port["appProtocol"] = service_port["appProtocol"]
        found.append(port)
    return sorted(found, key=lambda port: (port["name"], port["protocol"], port["port"]))


def target_of(pod: Object) -> Object:
    return {"kind": "Pod", "namespace": namespace_of(pod), "name": name_of(pod), "uid": uid_of(pod)}


def hostname_of(pod: Object, service: Object) -> str:
    """The name under which a headless Service knows the pod alone."""
    spec = pod.get("spec") or {}
    return spec.get("hostname", "") if spec.get("subdomain") == name_of(service) else ""


def selected_by(service: Object, pods: Lister) -> tuple[Object, ...]:
    """The pods that the Service's selector matches, by name."""
    matches = selectors.from_labels(dig(service, "spec", "selector")).matches
    return tuple(sorted(pods.list(namespace_of(service), matches), key=key_of))


def services_of_pod(services: Lister) -> Keys:
    """A pod concerns the Services whose selector matches it."""

    def keys(pod: Object) -> list[str]:
        labels = labels_of(pod).items()
        return [
            key_of(service) for service in services.list(namespace_of(pod))
            if is_ours(service) and service["spec"]["selector"].items() <= labels
        ]

    return keys


def without_reserved(labels: Iterable[tuple[str, str]], *reserved: str) -> dict[str, str]:
    return {key: value for key, value in labels if key not in reserved}
