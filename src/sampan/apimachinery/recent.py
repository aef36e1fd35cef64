"""Answers about documents that come again and again, such as the pod specs that one template leads to.

A document is known by the digest of its JSON, so what is kept is small whatever the documents are, and two that differ
in anything never share an answer. The oldest answers go first.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Final, Generic, TypeAlias, TypeVar

import orjson

T = TypeVar("T")
Digest: TypeAlias = bytes
_DIGEST_BYTES: Final = 16


def digest(document: Any) -> Digest:
    """Of a document as it stands, the order of its keys included."""
    return digest_of(orjson.dumps(document))


def digest_of(data: bytes) -> Digest:
    return blake2b(data, digest_size=_DIGEST_BYTES).digest()


class Recent(Generic[T]):
    """At most `limit` answers by digest."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._answers: dict[Digest, T] = {}

    def get(self, key: Digest) -> T | None:
        return self._answers.get(key)

    def put(self, key: Digest, answer: T) -> None:
        if len(self._answers) >= self._limit:
            del self._answers[next(iter(self._answers))]
        self._answers[key] = answer
