"""JSON to protobuf and back: documents of every built-in kind come back as they were, and the table fits OpenAPI.

Left out are values that Go cannot tell from absent ones, and fields that are newer than the table of numbers.
"""

from __future__ import annotations

import base64
import random
import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sampan.api.kinds import KINDS
from sampan.apimachinery.protobuf import (
    ProtobufError,
    can_encode,
    decode_object,
    encode_event,
    encode_list,
    encode_message,
    encode_object,
)
from sampan.apimachinery.protobuf.table import fields_of, message_of
from sampan.apimachinery.schema.loader import definitions

ENCODED = [kind for kind in KINDS if can_encode(kind.resource.api_version, kind.resource.kind)]
NOT_ENCODED = {
    "CustomResourceDefinition", "APIService", "ClusterTrustBundle", "PodCertificateRequest", "DeviceTaintRule",
    "StorageVersionMigration", "PodGroup", "Workload",
}
"""Upstream's table of these is in another package, or newer than the one that the table was made from."""

def _time(chance: random.Random, form: str) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=chance.randrange(1, 10**16))
    return moment.strftime(form)


def _text(chance: random.Random) -> str:
    return "".join(chance.choices("abc/é ", k=chance.randrange(1, 7)))


def _texts(chance: random.Random) -> list[str]:
    return [_text(chance) for _ in range(chance.randrange(1, 3))]


_SPECIAL: dict[str, Callable[[random.Random], Any]] = {
    "Quantity": lambda chance: chance.choice(["1", "100m", "1Gi", "2500M"]),
    "IntOrString": lambda chance: chance.choice([_text(chance), chance.randrange(-5, 70000)]),
    "Time": lambda chance: _time(chance, "%Y-%m-%dT%H:%M:%SZ"),
    "MicroTime": lambda chance: _time(chance, "%Y-%m-%dT%H:%M:%S.%fZ"),
    "Duration": lambda chance: chance.choice(["5s", "1m0s", "1h2m3.5s", "150ms"]),
    "Raw": lambda chance: {_text(chance): chance.choice([1, "a", None, [True]])},
    "bytes": lambda chance: base64.b64encode(chance.randbytes(chance.randrange(1, 6))).decode(),
    "string": _text, "bool": lambda chance: True, "double": lambda chance: chance.randrange(1, 99) / 8, "Items": _texts,
    "int": lambda chance: chance.choice([1, 127, 128, -1, 2**31 - 1, -(2**31), chance.randrange(1, 10**6)]),
}


def message(chance: random.Random, name: str, depth: int = 0) -> dict[str, Any]:
    """A document of a message, some of its fields set."""
    fields = sorted(flat(name).items())
    chosen = chance.sample(fields, min(len(fields), chance.randrange(4) + (3 if depth == 0 else 0)))
    return {field: value(chance, kind, form, depth) for field, (kind, form) in chosen}


def value(chance: random.Random, kind: str, form: str, depth: int) -> Any:
    special = _SPECIAL.get(kind)

    def one() -> Any:
        if special is not None:
            return special(chance)
        return message(chance, kind, depth + 1) if depth < 8 else {}

    if form == "list":
        return [one() for _ in range(chance.randrange(1, 3))]
    return {_text(chance): one() for _ in range(chance.randrange(1, 3))} if form == "map" else one()


@cache
def flat(name: str) -> dict[str, tuple[str, str]]:
    """Type and form by JSON name."""
    found: dict[str, tuple[str, str]] = {}
    for field, kind, form, _ in fields_of(name).values():
        found |= flat(kind) if form == "inline" else {field: (kind, form)}
    return found


def test_every_built_in_kind_can_be_encoded():
    assert {kind.resource.kind for kind in KINDS} - {kind.resource.kind for kind in ENCODED} <= NOT_ENCODED


@pytest.mark.parametrize("kind", ENCODED, ids=lambda kind: f"{kind.resource.api_version}/{kind.resource.kind}")
def test_a_document_comes_back_as_it_was(kind):
    name = str(message_of(kind.resource.api_version, kind.resource.kind))

    @settings(max_examples=30, deadline=None, database=None)
    @given(st.integers(0, 2**32))
    def check(seed: int) -> None:
        body = message(random.Random(seed), name)
        document = {"apiVersion": kind.resource.api_version, "kind": kind.resource.kind, **body}
        assert decode_object(encode_object(document)) == document

    check()


INNER = {"list": "items", "map": "additionalProperties"}
SHAPES = {
    "string": {"string", "bytes", "Time", "MicroTime", "Duration", "Quantity", "IntOrString"},
    "integer": {"int"}, "number": {"double"}, "boolean": {"bool"},
}


@pytest.mark.parametrize("kind", ENCODED, ids=lambda kind: f"{kind.resource.api_version}/{kind.resource.kind}")
def test_the_table_agrees_with_openapi(kind):
    seen: set[tuple[str, str]] = set()
    unlike: list[str] = []
    compare(kind.definition, str(message_of(kind.resource.api_version, kind.resource.kind)), seen, unlike)
    assert not unlike


def compare(name: str, message: str, seen: set[tuple[str, str]], unlike: list[str]) -> None:
    """Collects fields whose type in the table is not what the definition says."""
    if (name, message) in seen or name not in definitions():
        return
    seen.add((name, message))
    properties = definitions().raw(name).get("properties", {})
    table = flat(message)
    for field, schema in properties.items():
        if field not in table:
            continue
        kind, form = table[field]
        inner = schema.get(INNER[form]) if form in INNER else schema
        target = (inner or {}).get("$ref", "").rpartition("/")[2]
        if target and kind not in _SPECIAL:
            compare(target, kind, seen, unlike)
        elif not target and kind not in SHAPES.get((inner or {}).get("type", ""), {kind}):
            unlike.append(f"{message}.{field}: {kind} is no {inner}")


def test_what_the_table_does_not_know_is_left_out():
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "fromTheFuture": 1}
    found = decode_object(encode_object(document))
    assert found == {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}


def test_what_does_not_fit_is_an_error():
    with pytest.raises(ProtobufError, match="ConfigMap does not fit"):
        encode_object({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": 1}})
    with pytest.raises(ProtobufError, match='no kind "Foo"'):
        encode_object({"apiVersion": "example.com/v1", "kind": "Foo"})


def test_a_list_is_joined_from_encoded_items():
    items = [encode_message("v1", "ConfigMap", {"metadata": {"name": name}}) for name in ("a", "b")]
    found = decode_object(encode_list("v1", "ConfigMapList", {"resourceVersion": "7"}, items).joined())
    assert found == {
        "apiVersion": "v1", "kind": "ConfigMapList", "metadata": {"resourceVersion": "7"},
        "items": [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}],
    }


def test_an_event_says_its_length():
    inner = encode_object({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}})
    frame = encode_event("ADDED", inner)
    assert struct.unpack(">I", frame[:4])[0] == len(frame) - 4
    assert frame[4:].startswith(b"\x0a\x05ADDED") and frame.endswith(inner)
