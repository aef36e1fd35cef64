"""ComponentStatuses: whether scheduler, controller manager and store are well, asked at the moment of the question.

Upstream deprecated the kind in 1.19 and still serves it: `kubectl get componentstatuses`. The scheduler and the
controller manager are asked on their own ports of the node where the API server is; whoever answers this has reached
the store already, or would not be answering.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from sampan import effects
from sampan.api.column_texts import text_of
from sampan.api.columns import NAME
from sampan.api.kind import Column
from sampan.apimachinery import errors
from sampan.apimachinery.errors import APIError
from sampan.apimachinery.http import Response
from sampan.apimachinery.object import Object
from sampan.apimachinery.resource import Resource
from sampan.apimachinery.table import render_table
from sampan.apiserver import answers
from sampan.apiserver.context import RequestContext
from sampan.apiserver.negotiation import alternatives
from sampan.apiserver.seams import Route, ServerParts
from sampan.apiserver.streams import upstream

COMPONENT_STATUSES = Resource("", "v1", "componentstatuses", "ComponentStatus", namespaced=False)
WARNING = "v1 ComponentStatus is deprecated in v1.19+"
PORTS: Mapping[str, int] = {"controller-manager": 10257, "scheduler": 10259}
STORE = "etcd-0"
TIMEOUT_S = 5.0


def _condition(obj: Object, key: str) -> str:
    found: Object = next((one for one in obj["conditions"] if one["type"] == "Healthy"), {})
    return str(found.get(key) or "")


COLUMNS = (
    NAME,
    Column("Status", "string", lambda obj, _: "Healthy" if _condition(obj, "status") == "True" else "Unhealthy",
           "Status of the component conditions"),
    Column("Message", "string", lambda obj, _: _condition(obj, "message"), "Message of the component conditions"),
    Column("Error", "string", lambda obj, _: _condition(obj, "error"), "Error of the component conditions"),
)


async def component_statuses(ctx: RequestContext, parts: ServerParts) -> Response:
    """All of them, or one. Raises NotFound."""
    ctx.deprecate(WARNING)
    names = [ctx.name] if ctx.name else [*PORTS, STORE]
    if ctx.name and ctx.name not in PORTS and ctx.name != STORE:
        raise errors.NotFound(f"component not found: {ctx.name}")
    found = list(await asyncio.gather(*(_status(name, parts) for name in names)))
    if any(one.shown_as == "Table" for one in alternatives(ctx.request.headers.get("accept", ""))[:1]):
        columns = [replace(one, description=text_of(one)) for one in COLUMNS]
        return answers.document(render_table(found, columns, effects.now()))
    if ctx.name:
        return answers.document(found[0])
    return answers.document({"kind": "ComponentStatusList", "apiVersion": "v1", "metadata": {}, "items": found})


async def _status(name: str, parts: ServerParts) -> Object:
    healthy, message, error = True, "ok", ""
    if name != STORE:
        healthy, message, error = await _ask(parts.config.advertise_address or "127.0.0.1", PORTS[name])
    condition = {"type": "Healthy", "status": "True" if healthy else "False", "message": message}
    if error:
        condition["error"] = error
    return {"kind": "ComponentStatus", "apiVersion": "v1", "metadata": {"name": name}, "conditions": [condition]}


async def _ask(host: str, port: int) -> tuple[bool, str, str]:
    """(well, what it says, what went wrong)."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            body = await upstream.request(upstream.Target(host, port, upstream.insecure_tls()), "GET", "/healthz")
            text = (await body.text()).decode("utf-8", "replace")
    except (APIError, TimeoutError, OSError) as error:
        why = str(error) or "context deadline exceeded"
        return False, f'Get "https://{host}:{port}/healthz": {why}', ""
    return body.answer.status == 200, text, "" if body.answer.status == 200 else f"HTTP {body.answer.status}"


ROUTES: tuple[Route, ...] = (
    Route(
        COMPONENT_STATUSES, "", ("get", "list"), COMPONENT_STATUSES, component_statuses, short_names=("cs",)
    ),
)
