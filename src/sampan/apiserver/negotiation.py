"""What the client wants to read: a media type, and perhaps the object as a Table or as metadata only.

Accept headers repeat endlessly, so each distinct one is parsed once. A type that the server does not speak is skipped;
only when none is left is the answer 406.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, TypeAlias

from sampan.api.kind import Kind
from sampan.apimachinery.errors import NotAcceptable
from sampan.apimachinery.protobuf import can_encode

JSON: Final = "application/json"
YAML: Final = "application/yaml"
PROTOBUF: Final = "application/vnd.kubernetes.protobuf"
_MEDIA: Final = {
    "application/json": JSON, "application/yaml": YAML, "*/*": JSON, "application/*": JSON, "text/yaml": YAML,
    "text/x-yaml": YAML, PROTOBUF: PROTOBUF,
}
_MISPLACED: Final = {"PartialObjectMetadata": "list", "PartialObjectMetadataList": "object"}
_SHOWN_AS: Final = frozenset({"Table", "PartialObjectMetadata", "PartialObjectMetadataList"})
_ACCEPTED: Final = "application/json, application/yaml, application/vnd.kubernetes.protobuf"


@dataclass(frozen=True, slots=True)
class Accepted:
    """One alternative of an Accept header. `shown_as` is Table, PartialObjectMetadata(List), a discovery kind or ""."""

    media: str = JSON
    shown_as: str = ""
    group: str = ""
    version: str = ""


@lru_cache(maxsize=512)
def alternatives(accept: str) -> tuple[Accepted, ...]:
    """All that the server could serve, the client's favourite first."""
    found: list[tuple[float, int, Accepted]] = []
    for position, part in enumerate(accept.split(",")):
        media_type, _, parameters = part.strip().partition(";")
        media = _MEDIA.get(media_type.strip().lower())
        if media is None:
            continue
        values = dict(_pairs(parameters))
        if values.get("stream", "") not in ("", "watch"):
            continue
        found.append((
            -_quality(values.get("q", "1")), position,
            Accepted(media, values.get("as", ""), values.get("g", ""), values.get("v", "")),
        ))
    return tuple(item for _, _, item in sorted(found, key=lambda item: item[:2]))


def _pairs(parameters: str) -> list[tuple[str, str]]:
    pairs = []
    for item in parameters.split(";"):
        key, equals, value = item.strip().partition("=")
        if equals:
            pairs.append((key.strip(), value.strip().strip('"')))
    return pairs


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 1.0


PLAIN: Final = Accepted()


Answer: TypeAlias = Literal["object", "list", "watch", "streamed list"]


def negotiate(headers: Mapping[str, str], kind: Kind, answer: Answer = "object") -> Accepted:
    """The alternative to serve an answer of a kind with. Raises NotAcceptable.

    A streamed list cannot be a Table; alternatives that want one are passed over.
    """
    accept = headers.get("accept")
    if not accept or accept == JSON:
        return PLAIN
    for item in alternatives(accept):
        if item.media == PROTOBUF and not _in_protobuf(kind, item.shown_as):
            continue
        if not item.shown_as:
            return item
        if item.shown_as == "Table" and answer == "streamed list":
            continue
        if _MISPLACED.get(item.shown_as) == answer:
            is_a = "is a list" if answer == "list" else "is not a list"
            raise NotAcceptable(
                f"you requested {item.shown_as}, but the requested object {is_a} "
                f"(*{kind.resource.group or 'core'}.{kind.list_kind if answer == 'list' else kind.resource.kind})"
            )
        if item.shown_as in _SHOWN_AS and item.group == "meta.k8s.io" and item.version in ("v1", "v1beta1"):
            return item
    raise NotAcceptable(f"only the following media types are accepted: {_ACCEPTED}")


def plain_only(headers: Mapping[str, str]) -> None:
    """For answers that are shown as what they are and in no other way. Raises NotAcceptable."""
    accept = headers.get("accept")
    if accept and all(item.shown_as for item in alternatives(accept)):
        raise NotAcceptable(f"only the following media types are accepted: {_ACCEPTED}")


def _in_protobuf(kind: Kind, shown_as: str) -> bool:
    """Built-in kinds have messages, metadata always has one, tables never."""
    if shown_as:
        return shown_as != "Table"
    return kind.custom is None and can_encode(kind.resource.api_version, kind.resource.kind)


def prefers_protobuf(headers: Mapping[str, str]) -> bool:
    """Whether the client would rather have protobuf than anything else, for answers of any kind, `Status` above all."""
    accept = headers.get("accept")
    if not accept or PROTOBUF not in accept:
        return False
    best = next(iter(alternatives(accept)), PLAIN)
    return best.media == PROTOBUF
