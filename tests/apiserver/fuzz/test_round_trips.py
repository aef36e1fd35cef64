"""A document is the same after a way through any encoding: JSON, YAML and protobuf.

Documents are made from the schema of each kind. `make round-trips` sends 10⁵ of them a kind through each encoding; what
CI runs is fewer, always the same.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from tests.apiserver.fuzz.documents import valid
from tests.apiserver.lifecycle.samples import ALL, identity

from sampan.api.kind import Kind
from sampan.apimachinery import protobuf
from sampan.apimachinery.decode import decode
from sampan.apimachinery.object import Object
from sampan.apimachinery.schema.loader import definition
from sampan.apimachinery.yaml_body import dump

ROUND_TRIPS = int(os.environ.get("SAMPAN_ROUND_TRIPS", "40"))


@pytest.mark.parametrize("kind", ALL, ids=identity)
def test_no_encoding_changes_a_document(kind: Kind) -> None:
    has_message = protobuf.can_encode(kind.resource.api_version, kind.resource.kind)
    for document in _documents(kind, ROUND_TRIPS):
        assert decode(orjson.dumps(document)) == document
        assert decode(dump(document), "application/yaml") == document
        if has_message:
            _check_message(document, kind)


def _documents(kind: Kind, count: int) -> Iterator[Object]:
    """Documents of the kind's shape, as the server has them once it has decoded a body."""
    schema, rng = definition(kind.definition), random.Random(kind.definition)
    for _ in range(count):
        found = valid(schema, rng)
        found |= {"apiVersion": kind.resource.api_version, "kind": kind.resource.kind}
        yield schema.decode_strict(found)[0]


def _check_message(document: Object, kind: Kind) -> None:
    encoded = protobuf.encode_object(document)
    once = protobuf.decode_object(encoded)
    assert protobuf.encode_object(once) == protobuf.encode_object(protobuf.decode_object(protobuf.encode_object(once)))
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
