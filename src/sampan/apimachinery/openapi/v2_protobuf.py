"""OpenAPI v2 in protobuf, as client-go's discovery asks for it.

    application/com.github.proto-openapi.spec.v2@v1.0+protobuf

An encoder for just this document. The tables at the end map a JSON key to a field number of gnostic's OpenAPIv2.proto,
which is the wire format, and to a writer. Maps travel as lists of (name, value) messages, extensions as text in YAML,
of which JSON is a part.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import orjson

from sampan.apimachinery.openapi.definitions import Json

MEDIA_TYPE: Final = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
"""The content type of the answer; a media type cannot have the @ that clients ask with."""

ACCEPTED: Final = (MEDIA_TYPE, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf")
"""What a client writes into its Accept header."""

Writer: TypeAlias = Callable[[int, Any], bytes]
"""(field number, JSON value) to the bytes of the field, tag included."""


def encode(document: Json) -> bytes:
    """The document that `v2.document` made."""
    return _DOCUMENT.encode(document)


class _Message:
    """A message: its fields by JSON key, and the number under which its x- extensions go."""

    def __init__(self, extensions: int, **fields: tuple[int, Writer]) -> None:
        self._extensions = extensions
        self.fields: dict[str, tuple[int, Writer]] = {key.rstrip("_"): field for key, field in fields.items()}

    def encode(self, node: Mapping[str, Any]) -> bytes:
        parts: list[bytes] = []
        for key, value in node.items():
            if key in self.fields:
                number, write = self.fields[key]
                parts.append(write(number, value))
            elif key.startswith("x-") and self._extensions:
                parts.append(_field(self._extensions, _named(key, _field(2, orjson.dumps(value)))))
        return b"".join(parts)

    def __call__(self, number: int, value: Any) -> bytes:
        return _field(number, self.encode(value))


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _field(number: int, payload: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def _named(name: str, value: bytes) -> bytes:
    """The (name, value) message that stands for a member of a map."""
    return _field(1, name.encode()) + _field(2, value)


def _text(number: int, value: Any) -> bytes:
    return _field(number, str(value).encode())


def _flag(number: int, value: Any) -> bytes:
    return _varint(number << 3) + (b"\x01" if value else b"\x00")


def _integer(number: int, value: Any) -> bytes:
    return _varint(number << 3) + _varint(int(value) & 0xFFFFFFFFFFFFFFFF)


def _double(number: int, value: Any) -> bytes:
    return _varint(number << 3 | 1) + struct.pack("<d", value)


def _any(number: int, value: Any) -> bytes:
    return _field(number, _field(2, orjson.dumps(value)))


def _each(write: Writer) -> Writer:
    """A repeated field."""
    return lambda number, values: b"".join(write(number, value) for value in values)


def _inside(inner: int, write: Writer) -> Writer:
    """A message whose only field is number `inner`."""
    return lambda number, value: _field(number, write(inner, value))


def _map(message: _Message) -> Writer:
    """A repeated (name, value) for each member."""
    return lambda number, members: b"".join(
        _field(number, _named(name, message.encode(value))) for name, value in members.items()
    )


def _additional(number: int, value: Any) -> bytes:
    return _field(number, _flag(2, value) if isinstance(value, bool) else _SCHEMA(1, value))


def _items(number: int, value: Any) -> bytes:
    return _field(number, _SCHEMA(1, value))


def _type(number: int, value: Any) -> bytes:
    return _field(number, _each(_text)(1, value if isinstance(value, list) else [value]))


def _parameter(number: int, value: Json) -> bytes:
    """ParametersItem → Parameter → body, or not body → query or path."""
    if value["in"] == "body":
        chosen = _BODY_PARAMETER(1, value)
    elif value["in"] == "path":
        chosen = _field(2, _PATH_PARAMETER(4, value))
    else:
        chosen = _field(2, _QUERY_PARAMETER(3, value))
    return _field(number, _field(1, chosen))


def _responses(number: int, value: Json) -> bytes:
    codes = b"".join(
        _field(1, _named(code, _RESPONSE(1, response))) for code, response in value.items()
    )
    return _field(number, codes)


def _paths(number: int, value: Json) -> bytes:
    return _field(number, _map(_PATH_ITEM)(2, value))


def _security(number: int, value: Json) -> bytes:
    """Requirements: a map of scheme to scopes."""
    return _field(number, b"".join(
        _field(1, _named(name, _each(_text)(1, scopes))) for name, scopes in value.items()
    ))


def _security_definitions(number: int, value: Json) -> bytes:
    return _field(number, b"".join(
        _field(1, _named(name, _API_KEY(2, scheme))) for name, scheme in value.items()
    ))


_SCHEMA: Final = _Message(
    31, format=(2, _text), title=(3, _text), description=(4, _text), default=(5, _any), multipleOf=(6, _double),
    maximum=(7, _double), exclusiveMaximum=(8, _flag), minimum=(9, _double), exclusiveMinimum=(10, _flag),
    maxLength=(11, _integer), minLength=(12, _integer), pattern=(13, _text), maxItems=(14, _integer),
    minItems=(15, _integer), uniqueItems=(16, _flag), maxProperties=(17, _integer), minProperties=(18, _integer),
    required=(19, _each(_text)), enum=(20, _each(_any)), additionalProperties=(21, _additional), type=(22, _type),
    items=(23, _items), readOnly=(27, _flag), example=(30, _any),
)
_SCHEMA.fields["$ref"] = (1, _text)
_SCHEMA.fields["properties"] = (25, _inside(1, _map(_SCHEMA)))
_SCHEMA.fields["allOf"] = (24, _each(_SCHEMA))

_BODY_PARAMETER: Final = _Message(
    6, description=(1, _text), name=(2, _text), in_=(3, _text), required=(4, _flag), schema=(5, _SCHEMA)
)
_QUERY_PARAMETER: Final = _Message(
    23, required=(1, _flag), in_=(2, _text), description=(3, _text), name=(4, _text), type=(6, _text),
    format=(7, _text), uniqueItems=(20, _flag),
)
_PATH_PARAMETER: Final = _Message(
    22, required=(1, _flag), in_=(2, _text), description=(3, _text), name=(4, _text), type=(5, _text),
    format=(6, _text), uniqueItems=(19, _flag),
)
_RESPONSE: Final = _Message(5, description=(1, _text), schema=(2, _inside(1, _SCHEMA)))
_OPERATION: Final = _Message(
    13, tags=(1, _each(_text)), summary=(2, _text), description=(3, _text), operationId=(5, _text),
    produces=(6, _each(_text)), consumes=(7, _each(_text)), parameters=(8, _each(_parameter)),
    responses=(9, _responses), schemes=(10, _each(_text)), deprecated=(11, _flag),
)
_PATH_ITEM: Final = _Message(
    10, get=(2, _OPERATION), put=(3, _OPERATION), post=(4, _OPERATION), delete=(5, _OPERATION), options=(6, _OPERATION),
    head=(7, _OPERATION), patch=(8, _OPERATION), parameters=(9, _each(_parameter)),
)
_INFO: Final = _Message(7, title=(1, _text), version=(2, _text), description=(3, _text))
_API_KEY: Final = _Message(5, type=(1, _text), name=(2, _text), in_=(3, _text), description=(4, _text))
_DOCUMENT: Final = _Message(
    16, swagger=(1, _text), info=(2, _INFO), schemes=(5, _each(_text)), consumes=(6, _each(_text)),
    produces=(7, _each(_text)), paths=(8, _paths), definitions=(9, _inside(1, _map(_SCHEMA))),
    security=(12, _each(_security)), securityDefinitions=(13, _security_definitions),
)
