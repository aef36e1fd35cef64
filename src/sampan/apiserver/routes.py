"""Endpoints that are more than a stored kind's verbs, as one literal.

`ROUTES` are those of parts that know only the seams (reviews, tokens, streams); `WRITES` are POST endpoints that change
stored kinds in a way of their own, and so get the backend.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from sampan.api.resources import BINDINGS, EVICTIONS, PODS
from sampan.apimachinery.http import Response
from sampan.apimachinery.resource import Resource
from sampan.apiserver.backend import Backend
from sampan.apiserver.context import RequestContext
from sampan.apiserver.handlers import component_statuses, reviews, token_request
from sampan.apiserver.handlers.binding import create_binding
from sampan.apiserver.handlers.eviction import create_eviction
from sampan.apiserver.seams import Route, ServerParts
from sampan.apiserver.streams import table as streams


@dataclass(frozen=True, slots=True)
class WriteRoute:
    """A POST endpoint of a stored kind; `document` is the kind of its body."""

    resource: Resource
    subresource: str
    document: Resource
    handle: Callable[[RequestContext, Backend], Awaitable[Response]]

    def bound(self, backend: Backend) -> Route:
        """The same as a Route."""

        async def handle(ctx: RequestContext, parts: ServerParts) -> Response:
            return await self.handle(ctx, backend)

        return Route(self.resource, self.subresource, ("create",), self.document, handle)


WRITES: Final[tuple[WriteRoute, ...]] = (
    WriteRoute(BINDINGS, "", BINDINGS, create_binding),
    WriteRoute(PODS, "binding", BINDINGS, create_binding),
    WriteRoute(PODS, "eviction", EVICTIONS, create_eviction),
)

ROUTES: Final[tuple[Route, ...]] = (
    *reviews.ROUTES,
    *token_request.ROUTES,
    *component_statuses.ROUTES,
    *streams.ROUTES,
)
