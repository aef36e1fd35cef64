"""What a handler acts on: the kind, the names, and the options that every write shares."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from sampan.api.kind import Kind
from sampan.apimachinery.errors import BadRequest, NotFound
from sampan.apimachinery.http import UserInfo
from sampan.apimachinery.object import Object
from sampan.apiserver.authz.refusal import forbidden
from sampan.apiserver.backend import Backend
from sampan.apiserver.context import RequestContext
from sampan.apiserver.registry.write_request import WriteRequest
from sampan.apiserver.seams import Attributes

ANONYMOUS = UserInfo("system:anonymous", groups=("system:unauthenticated",))
_OPTIONS_KIND: Final[Mapping[str, str]] = {
    "create": "CreateOptions", "update": "UpdateOptions", "patch": "PatchOptions", "delete": "DeleteOptions",
    "deletecollection": "DeleteOptions",
}


def kind_of(ctx: RequestContext) -> Kind:
    """The kind of a request that was dispatched to a storage handler."""
    if ctx.kind is None:
        raise NotFound("the server could not find the requested resource")
    return ctx.kind


def namespace_of(ctx: RequestContext, kind: Kind) -> str:
    """Where the object lives; a namespace itself lives in none, though its URL says `namespaces/NAME`."""
    return ctx.namespace if kind.resource.namespaced else ""


def write_request(ctx: RequestContext) -> WriteRequest:
    """The request as the write path takes it. Raises BadRequest for options that make no sense."""
    kind = kind_of(ctx)
    request = ctx.request
    ctx.dry_run = wants_dry_run(request.query.get("dryRun"))
    options: Object = {"kind": _OPTIONS_KIND.get(ctx.verb, "UpdateOptions"), "apiVersion": "meta.k8s.io/v1"}
    manager = request.param("fieldManager")
    if manager:
        if len(manager) > 128:
            raise BadRequest("fieldManager: Too long: may not be more than 128 bytes")
        options["fieldManager"] = manager
    if ctx.dry_run:
        options["dryRun"] = ["All"]
    return WriteRequest(
        kind=kind, namespace=namespace_of(ctx, kind), name=ctx.name,
        user=user_of(ctx), context=ctx, dry_run=ctx.dry_run, options=options,
        subresource=kind.subresources[ctx.subresource] if ctx.subresource else None, manager=field_manager(ctx),
    )


async def check_may_create(ctx: RequestContext, backend: Backend) -> None:
    """Who updates or applies what does not exist creates it, and must be allowed to. Raises Forbidden."""
    attributes = Attributes(
        user_of(ctx), "create", True, ctx.group, ctx.version, ctx.resource, ctx.subresource, ctx.namespace, ctx.name,
        ctx.request.path,
    )
    verdict = await backend.parts.authorize(attributes)
    if not verdict.allowed:
        raise forbidden(attributes, verdict.reason)


def user_of(ctx: RequestContext) -> UserInfo:
    """Who asks; without authentication, nobody in particular."""
    return ctx.user or ANONYMOUS


def wants_dry_run(values: list[str] | None) -> bool:
    """Whether nothing is to be stored. Raises BadRequest for anything but All."""
    if not values:
        return False
    if any(value not in ("", "All") for value in values):
        raise BadRequest(f'dryRun: Unsupported value: "{values[0]}": supported values: "All"')
    return "All" in values


def field_manager(ctx: RequestContext) -> str:
    """Who writes: the parameter, or the first word of the client's User-Agent."""
    given = ctx.request.param("fieldManager")
    if given:
        return given
    return _first_word(ctx.request.headers.get("user-agent", ""))


@lru_cache(maxsize=1024)
def _first_word(agent: str) -> str:
    name = agent.split("/", 1)[0].split(" ", 1)[0]
    return "".join(char for char in name if char.isprintable())[:128] or "unknown"
