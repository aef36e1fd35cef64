"""A reader over a dict, whose version counts the writes."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.apimachinery.object import labels_of, name_of, namespace_of
from sampan.apimachinery.resource import Resource
from sampan.apiserver.seams import Watched


class DictReader:
    """Objects by (plural, namespace, name)."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.versions: dict[str, int] = {}
        self._watched: dict[str, list[Watched]] = {}

    def put(self, resource: Resource, obj: dict[str, Any]) -> None:
        self.objects[resource.plural, namespace_of(obj), name_of(obj)] = obj
        self._change(resource)

    def remove(self, resource: Resource, name: str, namespace: str = "") -> None:
        del self.objects[resource.plural, namespace, name]
        self._change(resource)

    def _change(self, resource: Resource) -> None:
        self.versions[resource.plural] = self.versions.get(resource.plural, 0) + 1
        for watched in self._watched.get(resource.plural, ()):
            watched.stale = True

    def get(self, resource: Resource, name: str, namespace: str = "") -> dict[str, Any] | None:
        return self.objects.get((resource.plural, namespace, name))

    peek = get

    def list(self, resource: Resource, namespace: str = "", labels: Any = None) -> list[dict[str, Any]]:
        return [
            obj for (plural, where, _), obj in self.objects.items()
            if plural == resource.plural and namespace in ("", where)
            and all(labels_of(obj).get(key) == value for key, value in (labels or {}).items())
        ]

    def version(self, resource: Resource) -> int:
        return self.versions.get(resource.plural, 0)

    def watched(self, *resources: Resource) -> Watched:
        watched = Watched()
        for resource in resources:
            self._watched.setdefault(resource.plural, []).append(watched)
        return watched

    async def fresh(self, resource: Resource) -> None:
        """Always fresh."""


@pytest.fixture
def reader() -> DictReader:
    return DictReader()
