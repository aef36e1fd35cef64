"""What the API server serves, as OpenAPI needs to know it: one value a resource, made by the server from its kinds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ServedSubresource:
    """A subresource: `status`, `scale`, `log`, … `definition` is that of its body, empty for streams.

    Group, version and kind are those of the body; empty for the parent's own.
    """

    name: str
    verbs: tuple[str, ...]
    definition: str = ""
    kind: str = ""
    group: str | None = None
    version: str = ""


@dataclass(frozen=True, slots=True)
class ServedResource:
    """A resource: where it is, what its objects are, what may be done with it.

    `schema` is given for custom resources, whose definition is not among upstream's; it is published as `definition`.
    """

    group: str
    version: str
    resource: str
    kind: str
    definition: str
    namespaced: bool = True
    verbs: tuple[str, ...] = ()
    subresources: tuple[ServedSubresource, ...] = ()
    schema: Mapping[str, Any] | None = None

    @property
    def root(self) -> str:
        """`/api/v1` or `/apis/GROUP/VERSION`."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    @property
    def list_definition(self) -> str:
        return f"{self.definition}List"
