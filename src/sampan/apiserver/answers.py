"""Responses: bytes of JSON, documents, and errors as `Status`."""

from __future__ import annotations

from typing import Any, Final

import orjson

from sampan.api.kind import Kind, Subresource
from sampan.apimachinery.errors import APIError, TooManyRequests
from sampan.apimachinery.http import CHUNK_BYTES, Pieces, Request, Response
from sampan.apimachinery.object import Object
from sampan.apimachinery.protobuf import can_encode, encode_object
from sampan.apimachinery.protobuf.wire import MAGIC
from sampan.apiserver.backend import Backend
from sampan.apiserver.negotiation import JSON, PROTOBUF, YAML, Accepted, prefers_protobuf
from sampan.apiserver.registry.entry import Entry
from sampan.apiserver.registry.keys import local_key

_JSON_HEADERS: Final = {"content-type": JSON, "cache-control": "no-cache, private"}
_FALSE: Final = ("false", "0")


def collection(pieces: Pieces, accepted: Accepted, request: Request) -> Response:
    """A list; a large one as it is, which is how most are asked for, is not joined."""
    if pieces.size_bytes <= CHUNK_BYTES or accepted.media == YAML or (request.query and wants_pretty(request)):
        return encoded(pieces.joined(), accepted, request)
    response = Response(200, {**_JSON_HEADERS, "content-type": accepted.media})
    response.pieces = pieces
    return response


def encoded(data: bytes, accepted: Accepted, request: Request, status: int = 200) -> Response:
    """A JSON document in bytes, in the form the client asked for."""
    if accepted.media == PROTOBUF:
        return _protobuf(data, status)
    pretty = request.query and wants_pretty(request)
    if accepted.media == YAML:
        return Response(status, {**_JSON_HEADERS, "content-type": YAML}, _yaml(data))
    if pretty:
        data = orjson.dumps(orjson.loads(data), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    return Response(status, _JSON_HEADERS.copy(), data)


def _yaml(data: bytes) -> bytes:
    from sampan.apimachinery.yaml_body import dump  # few ask for it, and the server starts without

    return dump(orjson.loads(data))


def _protobuf(data: bytes, status: int) -> Response:
    """A document that a rendering has encoded already, or that still is JSON."""
    if not data.startswith(MAGIC):
        data = encode_object(orjson.loads(data))
    return Response(status, {**_JSON_HEADERS, "content-type": PROTOBUF}, data)


def as_asked(response: Response, request: Request) -> Response:
    """An answer that was made without asking what the client reads (a `Status`, a review), as the client reads it."""
    if not prefers_protobuf(request.headers) or response.stream is not None or response.upgrade is not None:
        return response
    if response.headers.get("content-type") != JSON or response.pieces is not None:
        return response
    document: Object = orjson.loads(response.body)
    if can_encode(document.get("apiVersion", ""), document.get("kind", "")):
        response.body = encode_object(document)
        response.headers["content-type"] = PROTOBUF
    return response


def json(data: bytes) -> Response:
    """A JSON document in bytes, as it is."""
    return Response(200, _JSON_HEADERS.copy(), data)


def stored(
    backend: Backend, kind: Kind, obj: Object, asked: tuple[Accepted, Request], status: int = 200
) -> Response:
    """As `written`, of an object that was stored just now: mostly the cache holds its bytes already."""
    accepted, request = asked
    entry = None if accepted.shown_as or request.query.get("dryRun") else _cached(backend, kind, obj)
    if entry is None:
        return written(backend, kind, obj, asked, status)
    return encoded(entry.data, accepted, request, status)


def _cached(backend: Backend, kind: Kind, obj: Object) -> Entry | None:
    """The state of an object in the watch cache, if that is the version that `obj` is and kept as it is served."""
    if kind.custom is not None or kind.storage_resource is not None or kind.from_storage is not None:
        return None
    cache, metadata = backend.hub.cache(kind.resource), obj["metadata"]
    entry = cache.get(local_key(metadata.get("namespace") or "", metadata["name"])) if cache is not None else None
    return entry if entry is not None and str(entry.revision) == metadata.get("resourceVersion") else None


def written(
    backend: Backend, kind: Kind, obj: Object, asked: tuple[Accepted, Request], status: int = 200
) -> Response:
    """The object that a write returns."""
    accepted, request = asked
    data = orjson.dumps(obj)
    if accepted.shown_as:
        entry = Entry.of(kind, obj)
        data = backend.rendering(kind, accepted, request).item(entry)
    return encoded(data, accepted, request, status)


def view(subresource: Subresource, obj: Object, accepted: Accepted, request: Request) -> Response:
    """An object as a subresource shows it."""
    shown = obj if subresource.to_view is None else subresource.to_view(obj)
    return encoded(orjson.dumps(shown), accepted, request)


def copy(obj: Object) -> Object:
    """A deep copy of a document."""
    return orjson.loads(orjson.dumps(obj))  # type: ignore[no-any-return]


def document(obj: Any, status: int = 200) -> Response:
    """A document that is made for this answer."""
    return Response(status, _JSON_HEADERS.copy(), orjson.dumps(obj, option=orjson.OPT_APPEND_NEWLINE))


def text(body: str, status: int = 200, content_type: str = "text/plain; charset=utf-8") -> Response:
    headers = {"content-type": content_type, "x-content-type-options": "nosniff"}
    return Response(status, headers, body.encode())


def failure(error: APIError) -> Response:
    """The `Status` of an error, with Retry-After where it says one."""
    response = document(error.to_status(), error.status_code)
    if isinstance(error, TooManyRequests) or error.status_code == 503:
        seconds = (error.details or {}).get("retryAfterSeconds")
        if seconds:
            response.headers["retry-after"] = str(seconds)
    return response


def success(details: Object) -> Object:
    """`Status: Success`, as a deletion answers."""
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def wants_pretty(request: Request) -> bool:
    """`?pretty`, or a browser or curl, as upstream does."""
    values = request.query.get("pretty")
    return bool(values) and values is not None and values[0] not in _FALSE


def warning_headers(warnings: list[str]) -> str:
    """The value of a `Warning` header: `299 - "text"`, several joined by commas."""
    return ", ".join(f'299 - "{_quoted(text)}"' for text in warnings)


def _quoted(text: str) -> str:
    clean = "".join(char for char in text if char.isprintable())
    return clean.replace("\\", "\\\\").replace('"', '\\"')
