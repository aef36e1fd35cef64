"""The last step of the chain: from what a request means to the handler that answers it.

A resource request goes to its `Route`, if it has one, or to the verb's handler for stored kinds; everything else goes
by its path. What does not exist is 404, what exists but not with this verb is 405, as upstream has it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias

from sampan.api.kind import STANDARD_VERBS, Kind
from sampan.apimachinery.errors import MethodNotAllowed, NotFound
from sampan.apimachinery.http import Response
from sampan.apiserver import answers
from sampan.apiserver.backend import Backend
from sampan.apiserver.context import RequestContext
from sampan.apiserver.handlers.create import create
from sampan.apiserver.handlers.delete import delete
from sampan.apiserver.handlers.deletecollection import deletecollection
from sampan.apiserver.handlers.get import get
from sampan.apiserver.handlers.list import list_
from sampan.apiserver.handlers.patch import patch
from sampan.apiserver.handlers.update import update
from sampan.apiserver.handlers.watch import watch

VerbHandler: TypeAlias = Callable[[RequestContext, Backend], Awaitable[Response]]
PathHandler: TypeAlias = Callable[[RequestContext, Backend], Awaitable[Response]]

VERBS: Final[Mapping[str, VerbHandler]] = {
    "get": get, "list": list_, "watch": watch, "create": create, "update": update, "patch": patch, "delete": delete,
    "deletecollection": deletecollection,
}
_COLLECTION: Final = frozenset({"list", "watch", "deletecollection"})
NO_SUCH_RESOURCE: Final = "the server could not find the requested resource"
NOT_ALLOWED: Final = "the server does not allow this method on the requested resource"
TERMINATING: Final = "{} not allowed while custom resource definition is terminating"


class Dispatcher:
    """`paths` are the exact non-resource paths, `prefixes` those that end in anything."""

    def __init__(
        self, backend: Backend, paths: Mapping[str, PathHandler], prefixes: Mapping[str, PathHandler]
    ) -> None:
        self._backend = backend
        self._paths = paths
        self._prefixes = tuple(prefixes.items())

    async def __call__(self, ctx: RequestContext) -> Response:
        if ctx.is_resource:
            return await self._resource(ctx)
        path = ctx.request.path.rstrip("/") or "/"
        handler = self._paths.get(path)
        if handler is None:
            handler = next((found for prefix, found in self._prefixes if path.startswith(prefix)), None)
        if handler is None:
            raise NotFound(NO_SUCH_RESOURCE, {})
        return await handler(ctx, self._backend)

    async def _resource(self, ctx: RequestContext) -> Response:
        table = self._backend.table
        kind = ctx.kind
        route = table.route(ctx.group, ctx.version, ctx.resource, ctx.subresource)
        if route is not None:
            if ctx.subpath and not route.any_subpath:
                raise NotFound(NO_SUCH_RESOURCE, {})
            if ctx.verb not in route.verbs:
                raise MethodNotAllowed(NOT_ALLOWED)
            return answers.as_asked(await route.handle(ctx, self._backend.parts), ctx.request)
        if kind is None:
            raise NotFound(NO_SUCH_RESOURCE, {})
        if ctx.subpath:
            raise NotFound(NO_SUCH_RESOURCE, {})
        if not allowed(kind, ctx):
            is_going = kind.custom is not None and ctx.verb in STANDARD_VERBS and ctx.verb not in kind.verbs
            raise MethodNotAllowed(TERMINATING.format(ctx.verb) if is_going else NOT_ALLOWED)
        if deprecation := kind.deprecation or (kind.custom.warning if kind.custom is not None else ""):
            ctx.deprecate(deprecation)
        return answers.as_asked(await VERBS[ctx.verb](ctx, self._backend), ctx.request)


def allowed(kind: Kind, ctx: RequestContext) -> bool:
    """Whether the kind, or its subresource, has the verb at this place. Raises NotFound for unknown subresources."""
    if ctx.subresource:
        view = kind.subresources.get(ctx.subresource)
        if view is None:
            raise NotFound(NO_SUCH_RESOURCE, {})
        return ctx.verb in view.verbs
    if ctx.verb not in kind.verbs:
        return False
    if ctx.verb not in _COLLECTION and bool(ctx.name) is (ctx.verb == "create"):
        return False
    if not kind.resource.namespaced:
        return not ctx.namespace or kind.resource.plural == "namespaces"
    return bool(ctx.namespace) or ctx.verb in ("list", "watch")
