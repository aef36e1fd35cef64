"""A document is the same after a way through any encoding: JSON, YAML, protobuf, and CBOR if it were served.

Documents are made from the schema of each kind. `make round-trips` sends 10⁵ of them a kind through each encoding; what
CI runs is fewer, always the same.
"""

from __future__ import annotations

import os
import random
from typing import Any

import orjson
import pytest
from tests.apiserver.fuzz.documents import fitting
from tests.apiserver.lifecycle.samples import ALL, identity

from sampan.api.kind import Kind
from sampan.apimachinery import protobuf
from sampan.apimachinery.decode import decode
from sampan.apimachinery.schema.compile import DecodeError
from sampan.apimachinery.schema.loader import definition
from sampan.apimachinery.yaml_body import dump

ROUND_TRIPS = int(os.environ.get("SAMPAN_ROUND_TRIPS", "40"))


def _documents(kind: Kind, count: int) -> Any:
    """Documents of the kind's shape, as the server has them once it has decoded a body."""
    schema, rng = definition(kind.definition), random.Random(kind.definition)
    made = 0
    while made < count:
        found = fitting(schema, rng)
        found |= {"apiVersion": kind.resource.api_version, "kind": kind.resource.kind}
        try:
            decoded, _ = schema.decode_strict(orjson.loads(orjson.dumps(found, default=str)))
        except (DecodeError, TypeError):
            continue  # a number or a time that no such field can hold
        made += 1
        yield decoded


each_kind = pytest.mark.parametrize("kind", ALL, ids=identity)


@each_kind
def test_json(kind: Kind) -> None:
    for document in _documents(kind, ROUND_TRIPS):
        assert decode(orjson.dumps(document)) == document


@each_kind
def test_yaml(kind: Kind) -> None:
    for document in _documents(kind, ROUND_TRIPS):
        assert decode(dump(document), "application/yaml") == document


@each_kind
def test_protobuf(kind: Kind) -> None:
    if not protobuf.can_encode(kind.resource.api_version, kind.resource.kind):
        pytest.skip("has no message")
    for document in _documents(kind, ROUND_TRIPS):
        once = protobuf.decode_object(protobuf.encode_object(document))
        again = protobuf.encode_object(once)
        assert protobuf.decode_object(again) == once
        assert _without_empty(once) == _without_empty(_as_of_the_table(document, kind))


def _as_of_the_table(value: Any, kind: Kind) -> Any:
    """Without the fields whose numbers are not known (see sampan.apimachinery.protobuf.newer), and without the kind
    of claims in a StatefulSet: a message has none."""
    if isinstance(value, dict):
        unknown = {"derivedAttributes"} | ({"scheduling"} if "batch" in kind.resource.group else set())
        claims = [{key: part for key, part in claim.items() if key not in ("apiVersion", "kind")}
                  for claim in value.get("volumeClaimTemplates") or ()]
        more = {"volumeClaimTemplates": claims} if claims else {}
        return {key: _as_of_the_table(child, kind) for key, child in {**value, **more}.items() if key not in unknown}
    return [_as_of_the_table(child, kind) for child in value] if isinstance(value, list) else value


def _without_empty(value: Any) -> Any:
    """Empty and zero values may be left out of a message, as Go leaves them out of JSON."""
    if isinstance(value, dict):
        kept = {key: _without_empty(child) for key, child in value.items()}
        return {key: child for key, child in kept.items() if child not in (None, "", 0, False, {}, [])}
    if isinstance(value, list):
        return [_without_empty(child) for child in value]
    return value
