"""A compiled expression as a tree: what the library serialises (`cel.expr.CheckedExpr`), read without message types.

Field numbers are those of cel-spec's syntax.proto and checked.proto. An expression that was compiled without the
checker is a `ParsedExpr`, which has no types.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final, TypeAlias

Message: TypeAlias = "dict[int, list[int | bytes]]"
_PRIMITIVES: Final = {1: "bool", 2: "int", 3: "uint", 4: "double", 5: "string", 6: "bytes"}
_WELL_KNOWN: Final = {1: "dyn", 2: "timestamp", 3: "duration"}
_CONSTANTS: Final = {
    1: "null", 2: "bool", 3: "int", 4: "uint", 5: "double", 6: "string", 7: "bytes", 8: "duration", 9: "timestamp",
}


@dataclass(frozen=True, slots=True)
class Expr:
    """One node; `kind` says which fields count: const, ident, select, call, list, map, struct, comprehension."""

    id: int
    kind: str
    type: str = "dyn"
    """What the checker found: bool, int, …, list, map, struct, optional, dyn."""
    name: str = ""
    """Of an identifier, a field, a function."""
    target: Expr | None = None
    """A member function's, or what a field is selected of."""
    args: tuple[Expr, ...] = ()
    """Of a call; the elements of a list; keys and values of a map, in turn."""
    is_test: bool = False
    """has()"""
    size: int = 1
    """Of a constant, as CEL's `size` counts: characters, bytes, or 1."""
    value: object = None
    """Of a constant."""
    optional: tuple[int, ...] = ()
    """Which of a list's elements, or a map's entries, are only there if they have values."""
    loop: Loop | None = None


@dataclass(frozen=True, slots=True)
class Loop:
    """A comprehension."""

    variable: str
    second: str
    accumulator: str
    range: Expr
    init: Expr
    condition: Expr
    step: Expr
    result: Expr


@dataclass(slots=True)
class _Reader:
    types: dict[int, str] = field(default_factory=dict)

    def expr(self, data: bytes) -> Expr:
        found = fields(data)
        id = _int(found, 2)
        type = self.types.get(id, "dyn")
        if 3 in found:
            return _constant(id, _bytes(found, 3))
        if 4 in found:
            return Expr(id, "ident", type, _text(fields(_bytes(found, 4)), 1))
        if 5 in found:
            select = fields(_bytes(found, 5))
            return Expr(
                id, "select", type, _text(select, 2), self.expr(_bytes(select, 1)), is_test=bool(_int(select, 3))
            )
        if 6 in found:
            call = fields(_bytes(found, 6))
            target = self.expr(_bytes(call, 1)) if 1 in call else None
            return Expr(id, "call", type, _text(call, 2), target, self._all(call, 3))
        if 7 in found:
            listed = fields(_bytes(found, 7))
            return Expr(id, "list", "list", args=self._all(listed, 1), optional=_optional_elements(listed))
        if 8 in found:
            return self._made(id, fields(_bytes(found, 8)))
        return Expr(id, "comprehension", type, loop=self._loop(fields(_bytes(found, 9))))

    def _all(self, message: Message, number: int) -> tuple[Expr, ...]:
        return tuple(self.expr(one) for one in message.get(number, ()) if isinstance(one, bytes))

    def _made(self, id: int, message: Message) -> Expr:
        name = _text(message, 1)
        entries = [fields(one) for one in message.get(2, ()) if isinstance(one, bytes)]
        parts = tuple(self.expr(_bytes(entry, key)) for entry in entries for key in (3, 4) if key in entry)
        kind = "struct" if name else "map"
        optional = tuple(position for position, entry in enumerate(entries) if _int(entry, 5))
        return Expr(id, kind, kind, name, args=parts, optional=optional)

    def _loop(self, message: Message) -> Loop:
        one = [self.expr(_bytes(message, number)) for number in (2, 4, 5, 6, 7)]
        return Loop(_text(message, 1), _text(message, 8), _text(message, 3), *one)


def read(serialised: bytes) -> Expr:
    """The tree of what `Expression.serialize` gives."""
    packed = fields(serialised)
    message = fields(_bytes(packed, 2))
    if _text(packed, 1).endswith("ParsedExpr"):
        return _Reader().expr(_bytes(message, 2))
    types = {}
    for one in message.get(3, ()):
        entry = fields(one) if isinstance(one, bytes) else {}
        types[_int(entry, 1)] = _type(fields(_bytes(entry, 2)))
    return _Reader(types).expr(_bytes(message, 4))


def _type(message: Message) -> str:
    if 3 in message:
        return _PRIMITIVES.get(_int(message, 3), "dyn")
    if 4 in message:
        return _PRIMITIVES.get(_int(message, 4), "dyn")
    if 5 in message:
        return _WELL_KNOWN.get(_int(message, 5), "dyn")
    if 14 in message:
        return "optional" if _text(fields(_bytes(message, 14)), 1) == "optional_type" else "opaque"
    return next((name for number, name in ((2, "null"), (6, "list"), (7, "map"), (9, "opaque"), (11, "type"))
                 if number in message), "dyn")


def _constant(id: int, data: bytes) -> Expr:
    message = fields(data)
    number = next(iter(message), 1)
    kind = _CONSTANTS[number]
    value = _constant_value(message, kind, number)
    return Expr(id, "const", kind, size=len(value) if isinstance(value, str | bytes) else 1, value=value)


def _constant_value(message: Message, kind: str, number: int) -> object:
    match kind:
        case "bool":
            return bool(_int(message, number))
        case "int":
            unsigned = _int(message, number)
            return unsigned - 2**64 if unsigned >= 2**63 else unsigned
        case "uint":
            return _int(message, number)
        case "double":
            return struct.unpack("<d", _bytes(message, number))[0] if message.get(number) else 0.0
        case "string":
            return _text(message, number)
        case "bytes":
            return _bytes(message, number)
    return None


def _optional_elements(message: Message) -> tuple[int, ...]:
    """`optional_indices`, packed."""
    found: list[int] = []
    for one in message.get(2, ()):
        if isinstance(one, int):
            found.append(one)
            continue
        at = 0
        while at < len(one):
            position, at = _varint(one, at)
            found.append(position)
    return tuple(found)


def fields(data: bytes) -> Message:
    """A message's fields by number, as they are on the wire."""
    found: Message = defaultdict(list)
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        if key & 7 == 0:
            value, at = _varint(data, at)
            found[key >> 3].append(value)
            continue
        size, at = _varint(data, at) if key & 7 == 2 else (8 if key & 7 == 1 else 4, at)
        found[key >> 3].append(data[at : at + size])
        at += size
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _int(message: Message, number: int) -> int:
    value = message[number][-1] if number in message else 0
    return value if isinstance(value, int) else 0


def _bytes(message: Message, number: int) -> bytes:
    value = message[number][-1] if number in message else b""
    return value if isinstance(value, bytes) else b""


def _text(message: Message, number: int) -> str:
    return _bytes(message, number).decode()
