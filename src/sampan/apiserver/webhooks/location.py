"""A webhook's `clientConfig` as an address: a URL as it stands, or a Service at its cluster IP or one of its endpoints.

A Service's certificate must be for `NAME.NAMESPACE.svc`, whatever address is dialled. The server runs where cluster IPs
are routed; a headless Service has none, so one of its ready endpoints is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit

from sampan import effects
from sampan.api.resources import ENDPOINT_SLICES, SERVICES
from sampan.apimachinery.object import Object, dig
from sampan.apiserver.seams import Reader

DEFAULT_PORT: Final = 443


class Unreachable(Exception):
    """There is nobody to ask; `str` says why."""


@dataclass(frozen=True, slots=True)
class Location:
    """`url` is how it is called, in messages too; `host` and `port` are dialled; TLS must prove `server_name`."""

    url: str
    host: str
    port: int
    path: str
    server_name: str
    authority: str


def locate(config: Object, reader: Reader) -> Location:
    """Raises Unreachable."""
    service = config.get("service")
    return _of_service(service, reader) if service else _of_url(str(config.get("url") or ""))


def _of_url(url: str) -> Location:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or DEFAULT_PORT
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    return Location(url, host, port, path or "/", host, parts.netloc)


def _of_service(service: Object, reader: Reader) -> Location:
    name, namespace = str(service.get("name", "")), str(service.get("namespace", ""))
    port = int(service.get("port") or DEFAULT_PORT)
    server_name = f"{name}.{namespace}.svc"
    path = "/" + quote(str(service.get("path") or "").lstrip("/"), safe="/:@!$&'()*+,;=~%")
    url = f"https://{server_name}:{port}{path}"
    host, dialled = _address(name, namespace, port, reader)
    return Location(url, host, dialled, path, server_name, f"{server_name}:{port}")


def _address(name: str, namespace: str, port: int, reader: Reader) -> tuple[str, int]:
    found = reader.get(SERVICES, name, namespace)
    if found is None:
        raise Unreachable(f'service "{name}" not found')
    spec: Object = found.get("spec") or {}
    if spec.get("type") == "ExternalName":
        return str(spec.get("externalName", "")), port
    entry = next((one for one in spec.get("ports") or () if one.get("port") == port), None)
    if entry is None:
        raise Unreachable(f'no service port {port} found for service "{name}"')
    if spec.get("clusterIP") not in (None, "", "None"):
        return str(spec["clusterIP"]), port
    return _endpoint(name, namespace, str(entry.get("name") or ""), reader)


def _endpoint(name: str, namespace: str, port_name: str, reader: Reader) -> tuple[str, int]:
    candidates: list[tuple[str, int]] = []
    for endpoints in reader.list(ENDPOINT_SLICES, namespace, {"kubernetes.io/service-name": name}):
        number: Any = next(
            (one.get("port") for one in endpoints.get("ports") or () if (one.get("name") or "") == port_name), None
        )
        for endpoint in endpoints.get("endpoints") or ():
            if number and dig(endpoint, "conditions", "ready", default=True):
                candidates += [(str(address), int(number)) for address in endpoint.get("addresses") or ()]
    if not candidates:
        raise Unreachable(f'no endpoints available for service "{name}"')
    return effects.rng().choice(candidates)
