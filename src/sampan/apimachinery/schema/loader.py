"""Upstream's definitions, found by name and compiled on first use.

`definitions.json.gz` is unpacked once into one block of bytes with an index of where each definition's line begins; a
definition is parsed when someone asks for it. `descriptions.json.gz` is opened only by OpenAPI and let go afterwards.
"""

from __future__ import annotations

import functools
import gzip
from importlib import resources
from typing import Any, TypeAlias

import orjson

from sampan.apimachinery.schema.compile import Schema

Json: TypeAlias = dict[str, Any]


class UnknownDefinition(LookupError):
    """No definition has this name."""


class Definitions:
    """A block of definitions, one a line, and where each begins and ends."""

    def __init__(self, block: bytes) -> None:
        self._block = block
        self._spans: dict[str, tuple[int, int]] = {}
        position = block.index(b"\n") + 1
        while True:
            end = block.index(b"\n", position)
            if block[position:position + 1] != b'"':
                return
            name_end = block.index(b'":', position)
            stop = end - 1 if block[end - 1:end] == b"," else end
            self._spans[block[position + 1:name_end].decode()] = (name_end + 2, stop)
            position = end + 1

    def __contains__(self, name: str) -> bool:
        return name in self._spans

    def names(self) -> list[str]:
        return list(self._spans)

    def raw(self, name: str) -> Json:
        """The definition as JSON; a new copy each time. Raises UnknownDefinition."""
        span = self._spans.get(name)
        if span is None:
            raise UnknownDefinition(name)
        return orjson.loads(memoryview(self._block)[span[0]:span[1]])  # type: ignore[no-any-return]


def read(file_name: str) -> Definitions:
    """A data file beside this module, unpacked."""
    packed = resources.files(__package__).joinpath(file_name).read_bytes()
    return Definitions(gzip.decompress(packed))


@functools.cache
def definitions() -> Definitions:
    """The structures, without prose."""
    return read("definitions.json.gz")


def descriptions() -> Definitions:
    """The prose; not kept, since 1.3 MB of text is of use to OpenAPI only."""
    return read("descriptions.json.gz")


@functools.cache
def definition(name: str) -> Schema:
    """The compiled definition, e.g. of `io.k8s.api.core.v1.Pod`. Raises UnknownDefinition."""
    return Schema(definitions().raw(name), definition, name)
