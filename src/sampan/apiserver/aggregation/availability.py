"""Can the server behind an APIService be asked? The Available condition, and what it serves.

Checked in upstream's order, with its reasons: the Service exists, it has the port, there are endpoints, and the server
answers for the group version. That answer, its list of resources, is kept for discovery.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from sampan import effects
from sampan.api.resources import ENDPOINT_SLICES, SERVICES
from sampan.apimachinery.errors import APIError
from sampan.apimachinery.http import UserInfo
from sampan.apimachinery.object import Object, dig
from sampan.apiserver.aggregation.backend_server import headers_for, target
from sampan.apiserver.config import APIServerConfig
from sampan.apiserver.seams import Reader
from sampan.apiserver.streams import upstream

CHECK_S: Final = 5.0
SERVICE_NAME: Final = "kubernetes.io/service-name"
MAX_BYTES: Final = 4 * 1024 * 1024
_ASKING: Final = UserInfo("system:kube-aggregator", groups=("system:masters",))


@dataclass(frozen=True, slots=True)
class Availability:
    """The condition, and the resources where it is true. `openapi` is the address of the version's OpenAPI v3."""

    available: bool
    reason: str
    message: str
    resources: list[Object] = field(default_factory=list)
    openapi: str = ""

    def condition(self, before: Object | None) -> Object:
        """As in the status; the transition time changes with the status only."""
        status = "True" if self.available else "False"
        same = before is not None and before.get("status") == status
        since = before["lastTransitionTime"] if same and before else effects.timestamp()
        return {
            "type": "Available", "status": status, "lastTransitionTime": since, "reason": self.reason,
            "message": self.message,
        }


async def check(spec: Object, reader: Reader, config: APIServerConfig) -> Availability:
    """Ask now."""
    missing = _service_problem(spec["service"], reader)
    if missing is not None:
        return missing
    group_version = f"apis/{spec['group']}/{spec['version']}"
    service = spec["service"]
    url = f"https://{service['name']}.{service['namespace']}.svc:{service.get('port', 443)}/{group_version}"
    try:
        async with asyncio.timeout(CHECK_S):
            found = await _get(spec, reader, config, f"/{group_version}")
            openapi = await _openapi(spec, reader, config, group_version)
    except (APIError, TimeoutError, ValueError) as error:
        message = f"failing or missing response from {url}: {error or 'context deadline exceeded'}"
        return Availability(False, "FailedDiscoveryCheck", message)
    resources = found.get("resources")
    return Availability(
        True, "Passed", "all checks passed", resources if isinstance(resources, list) else [], openapi
    )


def _service_problem(service: Object, reader: Reader) -> Availability | None:
    name, namespace, port = service["name"], service["namespace"], service.get("port", 443)
    named = f'service/{name} in "{namespace}"'
    found = reader.get(SERVICES, name, namespace)
    if found is None:
        return Availability(False, "ServiceNotFound", f"{named} is not present")
    if dig(found, "spec", "type") == "ExternalName":
        return None
    entry = next((one for one in dig(found, "spec", "ports", default=()) if one.get("port") == port), None)
    if entry is None:
        return Availability(False, "ServicePortError", f"{named} is not listening on port {port}")
    port_name = entry.get("name") or ""
    slices = reader.list(ENDPOINT_SLICES, namespace, {SERVICE_NAME: name})
    if not slices:
        return Availability(False, "EndpointsNotFound", f'cannot find endpointslices for {named}')
    ready = any(
        dig(endpoint, "conditions", "ready", default=True) and endpoint.get("addresses")
        for one in slices if any((given.get("name") or "") == port_name for given in one.get("ports") or ())
        for endpoint in one.get("endpoints") or ()
    )
    if not ready:
        message = f'endpoints for {named} have no addresses with port name "{port_name}"'
        return Availability(False, "MissingEndpoints", message)
    return None


async def _get(spec: Object, reader: Reader, config: APIServerConfig, path: str) -> dict[str, Any]:
    where = target(spec, reader, config)
    headers = headers_for(_ASKING, {"accept": "application/json"}, "")
    body = await upstream.request(where, "GET", path, headers)
    data = await body.text(MAX_BYTES)
    if body.answer.status != 200:
        raise ValueError(f"bad status from https://{where.authority}{path}: {body.answer.status}")
    found = orjson.loads(data)
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")
    return found


async def _openapi(spec: Object, reader: Reader, config: APIServerConfig, group_version: str) -> str:
    """Where the version's OpenAPI is, empty for a server that has none: it works without."""
    try:
        index = await _get(spec, reader, config, "/openapi/v3")
    except (APIError, ValueError):
        return ""
    return str(dig(index, "paths", group_version, "serverRelativeURL", default=""))
