"""The verbs of a Kubernetes API over plain JSON documents.

One `Client` for every component; what differs is the `Transport` below it (HTTPS to any API server, or a call to one
in the same process). Every method raises the errors of `sampan.apimachinery.errors` and nothing else; a connection that
cannot be made or breaks is `ServiceUnavailable`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import orjson

from sampan.apimachinery import errors
from sampan.apimachinery.http import Request, Response, Transport
from sampan.apimachinery.object import Object, name_of, namespace_of
from sampan.apimachinery.resource import Resource

PatchType: TypeAlias = Literal["json", "merge", "strategic", "apply"]

Query: TypeAlias = dict[str, list[str]]
"""Query parameters; repeated keys keep their order."""

PATCH_CONTENT_TYPES: Mapping[str, str] = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}

_PARTIAL = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
_PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"


class WatchEvent(NamedTuple):
    """`type` is ADDED, MODIFIED, DELETED or BOOKMARK; ERROR is raised instead, as the error its Status means."""

    type: str
    object: Object


class Client:
    """Talks to one API server as one user. `field_manager` is sent with every write."""

    def __init__(self, transport: Transport, *, field_manager: str = "sampan") -> None:
        self._transport = transport
        self._field_manager = field_manager

    async def close(self) -> None:
        await self._transport.close()

    async def get(
        self, resource: Resource, name: str, namespace: str | None = None, *, subresource: str = "",
        resource_version: str = "",
    ) -> Object:
        """One object. Raises NotFound."""
        query = _query(resourceVersion=resource_version)
        return await self._json("GET", resource.path(namespace, name, subresource), query)

    async def list(
        self, resource: Resource, namespace: str | None = None, *, label_selector: str = "", field_selector: str = "",
        limit: int = 0, continue_token: str = "", resource_version: str = "", resource_version_match: str = "",
        metadata_only: bool = False,
    ) -> Object:
        """A list document: `items`, and `metadata` with resourceVersion and, if there is more, continue.

        With `metadata_only` the items are PartialObjectMetadata: apiVersion, kind and metadata.
        """
        query = _query(
            labelSelector=label_selector, fieldSelector=field_selector, limit=limit or "",
            resourceVersion=resource_version,
            resourceVersionMatch=resource_version_match, **{"continue": continue_token},
        )
        headers = {"accept": _PARTIAL_LIST} if metadata_only else None
        return await self._json("GET", resource.path(namespace), query, headers=headers)

    async def watch(
        self, resource: Resource, namespace: str | None = None, *, resource_version: str = "", label_selector: str = "",
        field_selector: str = "", timeout_s: int = 0, bookmarks: bool = True, metadata_only: bool = False,
    ) -> AsyncGenerator[WatchEvent, None]:
        """Changes after `resource_version`, until the server ends the stream. Raises Expired when it is too old."""
        query = _query(
            watch="true", resourceVersion=resource_version, labelSelector=label_selector, fieldSelector=field_selector,
            timeoutSeconds=timeout_s or "", allowWatchBookmarks="true" if bookmarks else "",
        )
        headers = {"accept": _PARTIAL} if metadata_only else None
        response = await self._send("GET", resource.path(namespace), query, headers=headers)
        cut = _Lines()
        async for chunk in _chunks(response):
            for line in cut.feed(chunk):
                yield _event(line)
        if cut.rest:
            yield _event(cut.rest)

    async def create(
        self, resource: Resource, obj: Object, namespace: str | None = None, *, name: str = "", subresource: str = ""
    ) -> Object:
        """Create `obj` (or post it to a subresource of `name`). Raises AlreadyExists, Invalid, Forbidden."""
        path = resource.path(namespace or namespace_of(obj) or None, name, subresource)
        return await self._json("POST", path, _query(fieldManager=self._field_manager), obj)

    async def update(self, resource: Resource, obj: Object, *, subresource: str = "") -> Object:
        """Replace the object; its resourceVersion, if set, must still be current. Raises Conflict, NotFound."""
        path = resource.path(namespace_of(obj) or None, name_of(obj), subresource)
        return await self._json("PUT", path, _query(fieldManager=self._field_manager), obj)

    async def patch(
        self, resource: Resource, name: str, patch: Object | Sequence[Object], namespace: str | None = None, *,
        type: PatchType = "merge", subresource: str = "", force: bool = False, field_manager: str = "",
    ) -> Object:
        """Change part of an object; `apply` creates it if it is missing. Raises NotFound, Conflict, Invalid."""
        query = _query(fieldManager=field_manager or self._field_manager, force="true" if force else "")
        headers = {"content-type": PATCH_CONTENT_TYPES[type]}
        return await self._json("PATCH", resource.path(namespace, name, subresource), query, patch, headers)

    async def delete(
        self, resource: Resource, name: str, namespace: str | None = None, *, grace_period_s: int | None = None,
        propagation: str = "", uid: str = "", resource_version: str = "",
    ) -> Object:
        """Delete one object. `uid` and `resource_version` are preconditions: Conflict when they do not hold."""
        options: Object = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if grace_period_s is not None:
            options["gracePeriodSeconds"] = grace_period_s
        if propagation:
            options["propagationPolicy"] = propagation
        preconditions = {k: v for k, v in (("uid", uid), ("resourceVersion", resource_version)) if v}
        if preconditions:
            options["preconditions"] = preconditions
        return await self._json("DELETE", resource.path(namespace, name), {}, options)

    async def delete_collection(
        self, resource: Resource, namespace: str | None = None, *, label_selector: str = "", field_selector: str = "",
        propagation: str = "",
    ) -> Object:
        """Delete every object that matches; the list of what was deleted."""
        query = _query(labelSelector=label_selector, fieldSelector=field_selector, propagationPolicy=propagation)
        return await self._json("DELETE", resource.path(namespace), query)

    async def raw(
        self, method: str, path: str, query: Query | None = None, body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Any request; the answer with its whole body, errors raised."""
        response = await self._send(method, path, dict(query or {}), body, headers)
        await _whole(response)
        return response

    async def _json(
        self, method: str, path: str, query: Query, body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Object:
        response = await self._send(method, path, query, body, headers)
        return orjson.loads(await _whole(response))  # type: ignore[no-any-return]

    async def _send(
        self, method: str, path: str, query: Query, body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        sent = {"accept": "application/json", **(headers or {})}
        payload = b""
        if body is not None:
            payload = body if isinstance(body, bytes) else orjson.dumps(body)
            sent.setdefault("content-type", "application/json")
        response = await self._transport.request(Request(method, path, query, sent, payload))
        if response.status >= 400:
            raise errors.from_status(_document(await _whole(response)), response.status)
        return response


async def _whole(response: Response) -> bytes:
    """The whole body, also of an answer that comes in pieces, as those of aggregated servers do."""
    if response.stream is not None:
        chunks = [chunk async for chunk in response.stream]
        response.stream, response.body = None, b"".join(chunks)
    return response.body


async def lines(response: Response) -> AsyncGenerator[bytes, None]:
    """The lines of a streamed answer, without their ends, empty ones left out."""
    cut = _Lines()
    async for chunk in _chunks(response):
        for line in cut.feed(chunk):
            yield line
    if cut.rest:
        yield cut.rest


def _chunks(response: Response) -> AsyncIterator[bytes]:
    return response.stream if response.stream is not None else _as_stream(response.body)


async def _as_stream(body: bytes) -> AsyncIterator[bytes]:
    yield body


class _Lines:
    """Cuts chunks into lines, wherever the chunks begin and end. `rest` has not ended yet."""

    def __init__(self) -> None:
        self.rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that end in this chunk, without their ends, empty ones left out."""
        *whole, self.rest = (self.rest + chunk).split(b"\n")
        return [line for line in whole if line]


def _event(line: bytes) -> WatchEvent:
    """Raises what an ERROR event's Status means."""
    event = orjson.loads(line)
    if event["type"] == "ERROR":
        raise errors.from_status(event["object"], event["object"].get("code", 500))
    return WatchEvent(event["type"], event["object"])


def _document(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode(errors="replace")


def _query(**values: Any) -> Query:
    return {key: [str(value)] for key, value in values.items() if value != ""}
