"""The path of a request: one link after the other, each of the same shape, from the socket to the handler.

A link is `async (ctx, next) -> Response`: it looks at the request, passes it on with `await next(ctx)`, and may look at
the answer. To add one, write it and put it into `LINKS`; links do not know their neighbours.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from typing import Final

from sampan.apimachinery.duration import parse_go_duration
from sampan.apimachinery.errors import APIError, BadRequest, InternalError, ServiceUnavailable, Timeout, Unauthorized
from sampan.apimachinery.http import Response
from sampan.apiserver import answers, request_info
from sampan.apiserver.audit import log as audit
from sampan.apiserver.authn import impersonation
from sampan.apiserver.authz import selector_attributes
from sampan.apiserver.authz.refusal import forbidden
from sampan.apiserver.context import RequestContext
from sampan.apiserver.deadlines import Deadlines
from sampan.apiserver.flowcontrol import fairness as flowcontrol
from sampan.apiserver.seams import BuildLink, Link, Next, ServerParts
from sampan.storage.store import StoreUnavailable

log = logging.getLogger(__name__)
_TIMEOUT: Final = "request did not complete within the allotted timeout"


def recovery(parts: ServerParts) -> Link:
    """Turns errors into `Status` answers, unforeseen ones into 500, and adds warnings and priority to every answer."""

    async def link(ctx: RequestContext, next: Next) -> Response:
        try:
            response = await next(ctx)
        except APIError as error:
            response = answers.as_asked(answers.failure(error), ctx.request)
        except asyncio.CancelledError:
            raise
        except StoreUnavailable as error:
            log.error("%s %s: %s", ctx.request.method, ctx.request.path, error)
            response = answers.failure(ServiceUnavailable(f"the store is unavailable: {error}"))
        except Exception:
            log.exception("%s %s failed", ctx.request.method, ctx.request.path)
            response = answers.failure(InternalError(
                f"an error on the server has prevented the request from succeeding ({ctx.verb} {ctx.resource})"
            ))
        if ctx.flow is not None:
            schema, level = ctx.flow
            response.headers["x-kubernetes-pf-flowschema-uid"] = schema
            response.headers["x-kubernetes-pf-prioritylevel-uid"] = level
        if ctx.warnings:
            response.headers["warning"] = answers.warning_headers(ctx.warnings)
        return response

    return link


def information(parts: ServerParts) -> Link:
    """Says what the URL means."""
    kind_of = parts.kind_of

    def link(ctx: RequestContext, next: Next) -> Awaitable[Response]:
        request_info.fill(ctx)
        if ctx.is_resource:
            ctx.kind = kind_of(ctx.group, ctx.version, ctx.resource)
            ctx.long_running = ctx.verb == "watch" or ctx.subresource in request_info.LONG_RUNNING
        return next(ctx)

    return link


def deadline(parts: ServerParts) -> Link:
    """Ends requests that take too long, or longer than they want; watches and streams have their own ends."""
    limit_s = parts.config.request_timeout_s
    deadlines = Deadlines(limit_s)

    def link(ctx: RequestContext, next: Next) -> Awaitable[Response]:
        free = ctx.long_running or (ctx.verb == "get" and "timeout" not in ctx.request.query)
        return next(ctx) if free else limited(ctx, next)

    async def limited(ctx: RequestContext, next: Next) -> Response:
        wanted_s = _wanted_timeout_s(ctx) if "timeout" in ctx.request.query else 0.0
        if 0 < wanted_s < limit_s:
            return await _within(wanted_s, ctx, next)
        deadlines.begin(ctx)
        try:
            return await next(ctx)
        except asyncio.CancelledError:
            if deadlines.ran_out(ctx):
                raise Timeout(_TIMEOUT) from None
            raise
        except TimeoutError:
            raise Timeout(_TIMEOUT) from None
        finally:
            deadlines.end(ctx)

    return link


async def _within(limit_s: float, ctx: RequestContext, next: Next) -> Response:
    try:
        async with asyncio.timeout(limit_s):
            return await next(ctx)
    except TimeoutError:
        raise Timeout(_TIMEOUT) from None


def _wanted_timeout_s(ctx: RequestContext) -> float:
    """The `timeout` of the URL; 0 is what nobody asked for. Raises BadRequest."""
    text = ctx.request.param("timeout")
    if not text:
        return 0.0
    try:
        return max(parse_go_duration(text).total_seconds(), 0.0)
    except ValueError as error:
        raise BadRequest(f"invalid timeout specified in the request URL - {error}") from error


def authentication(parts: ServerParts) -> Link:
    """Finds out who asks, unless the transport vouches for its caller."""

    async def link(ctx: RequestContext, next: Next) -> Response:
        ctx.user = ctx.request.user
        if ctx.user is None:
            ctx.user = await parts.authenticate(ctx)
            if ctx.user is None:
                raise Unauthorized("Unauthorized")
        return await next(ctx)

    return link


def authorization(parts: ServerParts) -> Link:
    """Asks whether the user may."""
    if not parts.config.authorization:
        return _pass

    async def link(ctx: RequestContext, next: Next) -> Response:
        assert ctx.user is not None
        attributes = selector_attributes.asked(ctx, ctx.user, ctx.verb)
        verdict = await parts.authorize(attributes)
        ctx.audit_annotations["authorization.k8s.io/decision"] = "allow" if verdict.allowed else "forbid"
        ctx.audit_annotations["authorization.k8s.io/reason"] = verdict.reason
        if not verdict.allowed:
            raise forbidden(attributes, verdict.reason)
        return await next(ctx)

    return link


async def _pass(ctx: RequestContext, next: Next) -> Response:
    return await next(ctx)


LINKS: Final[tuple[BuildLink, ...]] = (
    recovery,
    information,
    deadline,
    authentication,
    audit.build,
    impersonation.build,
    flowcontrol.build,
    authorization,
)


def build(parts: ServerParts, links: Sequence[BuildLink], last: Next) -> Next:
    """The whole chain as one function; links that are not configured, or only pass on, cost nothing."""
    chain = last
    for make in reversed(links):
        link = make(parts)
        if link is not None and link is not _pass:
            chain = _joined(link, chain)
    return chain


def _joined(link: Link, rest: Next) -> Next:
    def step(ctx: RequestContext) -> Awaitable[Response]:
        return link(ctx, rest)

    return step

