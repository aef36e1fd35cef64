"""Which kinds and endpoints a server has, by where they are found in a URL."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sampan.api.kind import Kind
from sampan.apimachinery.object import Object
from sampan.apiserver.seams import Route

Routes: TypeAlias = Sequence[Route]


@dataclass(frozen=True, slots=True)
class RemoteVersion:
    """A version of a group that another server answers; `resources` as its APIResourceList has them.

    `openapi` is the address of its OpenAPI v3 document, empty when it has none.
    """

    group: str
    version: str
    fresh: bool
    resources: list[Object]
    openapi: str = ""


class KindTable:
    """Built-in kinds, custom ones as they come and go, and routes that no storage backs. `version` counts changes."""

    def __init__(self, kinds: Iterable[Kind], routes: Iterable[Route]) -> None:
        self._kinds: dict[tuple[str, str, str], Kind] = {}
        self._routes: dict[tuple[str, str, str, str], Route] = {}
        self._stored: dict[tuple[str, str], Kind] = {}
        self.remote: dict[tuple[str, str], RemoteVersion] = {}
        self.version = 0
        for kind in kinds:
            self.add(kind)
        for route in routes:
            self.add_route(route)

    def add_route(self, route: Route) -> None:
        resource = route.resource
        self._routes[(resource.group, resource.version, resource.plural, route.subresource)] = route
        self.version += 1

    def set_remote(self, remote: dict[tuple[str, str], RemoteVersion]) -> None:
        """What other servers answer."""
        self.remote = remote
        self.version += 1

    def add(self, kind: Kind) -> None:
        resource = kind.resource
        self._kinds[(resource.group, resource.version, resource.plural)] = kind
        if kind.storage_resource is None:
            self._stored[(resource.group, resource.plural)] = kind
        self.version += 1

    def remove(self, kind: Kind) -> None:
        resource = kind.resource
        self._kinds.pop((resource.group, resource.version, resource.plural), None)
        if kind.storage_resource is None:
            self._stored.pop((resource.group, resource.plural), None)
        self.version += 1

    def kind(self, group: str, version: str, plural: str) -> Kind | None:
        return self._kinds.get((group, version, plural))

    def stored(self, kind: Kind) -> Kind:
        """The kind whose objects are in the store: itself, unless it is a view."""
        where = kind.storage_resource or kind.resource
        return self._stored[(where.group, where.plural)]

    def route(self, group: str, version: str, plural: str, subresource: str) -> Route | None:
        return self._routes.get((group, version, plural, subresource))

    def kinds(self) -> list[Kind]:
        """In the order of the literal table, custom kinds last."""
        return list(self._kinds.values())

    def routes(self) -> Routes:
        return list(self._routes.values())
