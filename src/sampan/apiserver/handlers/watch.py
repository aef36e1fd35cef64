"""GET of a collection with `watch`: a stream of events, one JSON document a line.

    resourceVersion   sendInitialEvents   begins with
    unset             -                   the present objects as ADDED
    unset, N, "0"     true                the same, then a BOOKMARK that says so
    "0"               -                   the same, from whatever the cache has
    N                 -                   what happened after N, or an ERROR event (410) when that is forgotten
    unset             false               what happens from now on

The stream ends after timeoutSeconds (by default half an hour to an hour, at random, so that clients do not come back
all at once), when its reader is too slow, or with the server. Bookmarks, if allowed, come about once a minute.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import orjson

from sampan import effects
from sampan.apimachinery.errors import APIError, BadRequest
from sampan.apimachinery.http import Request, Response
from sampan.apimachinery.object import Object
from sampan.apimachinery.protobuf import encode_object
from sampan.apimachinery.selectors import SelectorError, parse_fields
from sampan.apiserver.backend import Backend
from sampan.apiserver.context import RequestContext
from sampan.apiserver.extensions.converted_events import converted_events
from sampan.apiserver.handlers.target import kind_of, namespace_of
from sampan.apiserver.handlers.watch_stream import WatchStream
from sampan.apiserver.negotiation import JSON, PROTOBUF, Accepted, negotiate
from sampan.apiserver.parameters import integer
from sampan.apiserver.registry.reading import check_list_options, parse_revision
from sampan.apiserver.registry.rendering import Plain, Rendering
from sampan.apiserver.registry.selection import select
from sampan.apiserver.registry.watch_cache import WatchCache
from sampan.apiserver.registry.watcher import Watcher

MINIMUM_S = 1800.0
LONGEST_S = 10 * 365 * 86400
"""Longer waits than this no clock can be set to."""
_INITIAL_END = {"k8s.io/initial-events-end": "true"}


async def watch(ctx: RequestContext, backend: Backend) -> Response:
    """Open the stream; what is wrong before it begins is an ordinary error."""
    kind = kind_of(ctx)
    request = ctx.request
    check_list_options(request, watch=True)
    accepted = negotiate(request.headers, kind, "streamed list" if request.flag("sendInitialEvents") else "watch")
    version = request.param("resourceVersion")
    after = parse_revision(version) if version else 0
    selection = select(kind, namespace_of(ctx, kind), request.param("labelSelector"), _field_selector(ctx))
    rendering = backend.rendering(kind, accepted, request)
    converts = kind.custom is not None and kind.custom.convert is not None
    watcher = Watcher(selection, Plain(kind) if converts else rendering, backend.config.watch_queue_events)
    content_type = f"{PROTOBUF};stream=watch" if accepted.media == PROTOBUF else JSON
    headers = {"content-type": content_type, "cache-control": "no-cache, private"}
    timeout_s = _timeout(request)
    cache = backend.reads.cache_of(kind)
    try:
        await _attach(request, backend, cache, watcher, after)
    except APIError as error:
        return Response(200, headers, stream=_refused(error.to_status(), accepted, rendering))
    bookmarks = backend.config.bookmark_interval_s if _bookmarks(request) else 0.0
    stream = WatchStream(cache, watcher, lambda: backend.hub.revision, timeout_s, bookmarks)
    return Response(200, headers, stream=converted_events(stream, kind, rendering) if converts else stream)


def _field_selector(ctx: RequestContext) -> str:
    """A watch of one name (`/watch/…/NAME`, or `?watch` on an object) is a field selector in disguise."""
    text = ctx.request.param("fieldSelector")
    if not ctx.name:
        return text
    if not text:
        return f"metadata.name={ctx.name}"
    try:
        demanded = parse_fields(text).required_value("metadata.name")
    except SelectorError as error:
        raise BadRequest(str(error)) from None
    if demanded != ctx.name:
        raise BadRequest("fieldSelector metadata.name doesn't match requested name")
    return text


async def _attach(request: Request, backend: Backend, cache: WatchCache, watcher: Watcher, after: int) -> None:
    version, initial = request.param("resourceVersion"), "sendInitialEvents" in request.query
    if request.flag("sendInitialEvents"):
        if version == "":
            await backend.hub.fresh()
        else:
            await backend.reads.not_older_than(after)
        cache.watch_from_now(watcher, initial=True)
        if _bookmarks(request):
            revision = backend.hub.revision
            watcher.begin_with(iter([watcher.bookmark(revision, _INITIAL_END)]))
    elif after == 0:
        if version == "":
            await backend.hub.fresh()
        cache.watch_from_now(watcher, initial=not initial)
    else:
        cache.watch(watcher, after)


def _bookmarks(request: Request) -> bool:
    return request.flag("allowWatchBookmarks")


def _timeout(request: Request) -> float:
    text = request.param("timeoutSeconds")
    if not text:
        return MINIMUM_S * (1 + effects.rng().random())
    seconds = min(integer(text), LONGEST_S)
    return float(seconds) if seconds > 0 else MINIMUM_S * (1 + effects.rng().random())


async def _refused(status: Object, accepted: Accepted, rendering: Rendering) -> AsyncIterator[bytes]:
    yield rendering.frame("ERROR", encode_object(status) if accepted.media == PROTOBUF else orjson.dumps(status))
