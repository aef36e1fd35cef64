"""Bodies of requests: bytes to documents, with limits.

JSON is read by orjson; of keys that are written twice the last one wins, as in Go (see `strict`). YAML is read by
libyaml with anchors expanded under a budget, so that a few hundred bytes cannot become gigabytes ("billion laughs").
Depth is bounded, so that whatever walks a document afterwards may recurse.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from sampan.apimachinery.errors import BadRequest, RequestEntityTooLarge, UnsupportedMediaType

LIMIT_BYTES: Final = 3 * 1024 * 1024
MAX_DEPTH: Final = 200

JSON_TYPES: Final = frozenset({
    "application/json", "application/json-patch+json", "application/merge-patch+json",
    "application/strategic-merge-patch+json",
})
PROTOBUF_TYPE: Final = "application/vnd.kubernetes.protobuf"
YAML_TYPES: Final = frozenset({"application/yaml", "application/apply-patch+yaml"})


def decode(body: bytes, content_type: str = "application/json") -> Any:
    """The document in a body. Raises BadRequest, RequestEntityTooLarge, UnsupportedMediaType."""
    check_size(body)
    media_type = media_type_of(content_type)
    if media_type in YAML_TYPES:
        return decode_yaml(body)
    if media_type == PROTOBUF_TYPE:
        return _decode_protobuf(body)
    if media_type and media_type not in JSON_TYPES:
        raise UnsupportedMediaType(
            "the body of the request was in an unknown format - accepted media types include: application/json, "
            "application/yaml, application/vnd.kubernetes.protobuf"
        )
    return decode_json(body)


def _decode_protobuf(body: bytes) -> Any:
    from sampan.apimachinery import protobuf

    try:
        return protobuf.decode_object(body)
    except protobuf.ProtobufError as error:
        raise BadRequest(f"the object provided is unrecognized: {error}") from None


def check_size(body: bytes) -> None:
    """Raises RequestEntityTooLarge beyond 3 MiB."""
    if len(body) > LIMIT_BYTES:
        raise RequestEntityTooLarge(f"Request entity too large: limit is {LIMIT_BYTES}")


def media_type_of(content_type: str) -> str:
    """Without parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def decode_json(body: bytes) -> Any:
    """Raises BadRequest."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(_json_complaint(body, error)) from None
    # A document cannot be deeper than it has brackets: the usual one is settled by counting them.
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH and _is_too_deep(document):
        raise BadRequest("exceeded max depth")
    return document


def _is_too_deep(document: Any) -> bool:
    """Level by level, without recursion."""
    level = [document]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for node in level
            for child in (node.values() if type(node) is dict else node)
            if type(child) in (dict, list)
        ] if type(document) in (dict, list) else []
        if not level:
            return False
    return True


def decode_yaml(body: bytes) -> Any:
    """One YAML document as JSON data. JSON is YAML, and most of what comes as YAML is JSON. Raises BadRequest."""
    if body.startswith((b"{", b"[")):
        try:
            return decode_json(body)
        except BadRequest:
            pass  # braces are YAML too, and YAML has its own words for what is wrong
    from sampan.apimachinery.yaml_body import load

    return load(body)


def _json_complaint(body: bytes, error: orjson.JSONDecodeError) -> str:
    """Close to Go's: what stands where it should not, or the early end."""
    text = body.decode("utf-8", "replace").strip()
    if not text:
        return "EOF"
    if error.pos >= len(body.decode("utf-8", "replace").rstrip()):
        return "unexpected end of JSON input"
    char = error.doc[error.pos] if error.pos < len(error.doc) else ""
    return f"invalid character {char!r} at offset {error.pos}: {error.msg}"
