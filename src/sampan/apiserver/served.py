"""What a server serves, as discovery and OpenAPI tell it: groups, versions, resources, subresources, in order."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from sampan.api.kind import Kind
from sampan.apimachinery.resource import Resource
from sampan.apiserver.registry.kind_table import KindTable
from sampan.apiserver.seams import Route

_VERSION: Final = re.compile(r"v([1-9][0-9]*)(?:(alpha|beta)([1-9][0-9]*))?")
_PROXY_VERBS: Final = ("create", "delete", "get", "patch", "update")


@dataclass(frozen=True, slots=True)
class Subresource:
    """`document` is the kind on the wire."""

    name: str
    verbs: tuple[str, ...]
    document: Resource


@dataclass(slots=True)
class Served:
    """One resource of one version. `kind` is None for reviews and other endpoints that no storage backs."""

    resource: Resource
    verbs: tuple[str, ...]
    document: Resource
    kind: Kind | None = None
    subresources: list[Subresource] = field(default_factory=list)
    names: tuple[str, ...] = ()
    """Short names of a resource without a kind."""

    @property
    def short_names(self) -> tuple[str, ...]:
        return self.kind.short_names if self.kind is not None else self.names

    @property
    def singular(self) -> str:
        if self.kind is not None and self.kind.singular:
            return self.kind.singular
        return self.resource.kind.lower()


@dataclass(slots=True)
class GroupVersion:
    group: str
    version: str
    resources: list[Served] = field(default_factory=list)

    @property
    def text(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


def group_versions(table: KindTable) -> list[GroupVersion]:
    """Everything served; groups and versions in the order of the table of kinds, the core group first."""
    found: dict[tuple[str, str], GroupVersion] = {("", "v1"): GroupVersion("", "v1")}
    resources: dict[tuple[str, str, str], Served] = {}
    for kind in table.kinds():
        served = Served(kind.resource, tuple(sorted(kind.verbs)), kind.resource, kind)
        served.subresources = [
            Subresource(view.name, tuple(sorted(view.verbs)), view.resource or kind.resource)
            for view in kind.subresources.values()
        ]
        _add(found, resources, served)
    for route in table.routes():
        _add_route(found, resources, route)
    for group_version in found.values():
        group_version.resources.sort(key=lambda item: item.resource.plural)
        for served in group_version.resources:
            served.subresources.sort(key=lambda item: item.name)
    by_group: dict[str, list[GroupVersion]] = {}
    for group_version in found.values():
        by_group.setdefault(group_version.group, []).append(group_version)
    return [item for versions in by_group.values() for item in sorted(versions, key=lambda it: priority(it.version))]


def priority(version: str) -> tuple[int, int, int, str]:
    """Sorts versions as upstream prefers them: v2, v1, v1beta2, v1alpha1, then what is no version, by its letters."""
    found = _VERSION.fullmatch(version)
    if found is None:
        return (3, 0, 0, version)
    major, stage, minor = found.groups()
    return (("", "beta", "alpha").index(stage or ""), -int(major), -int(minor or 0), "")


def _add(
    found: dict[tuple[str, str], GroupVersion], resources: dict[tuple[str, str, str], Served], served: Served
) -> None:
    resource = served.resource
    where = (resource.group, resource.version)
    found.setdefault(where, GroupVersion(*where)).resources.append(served)
    resources[(*where, resource.plural)] = served


def _add_route(
    found: dict[tuple[str, str], GroupVersion], resources: dict[tuple[str, str, str], Served], route: Route
) -> None:
    resource = route.resource
    if not route.subresource:
        _add(found, resources, Served(resource, tuple(sorted(route.verbs)), route.document, names=route.short_names))
        return
    parent = resources.get((resource.group, resource.version, resource.plural))
    if parent is None:
        return
    verbs = _PROXY_VERBS if route.subresource == "proxy" else tuple(sorted(route.verbs))
    parent.subresources.append(Subresource(route.subresource, verbs, route.document))


def groups(served: Iterable[GroupVersion]) -> dict[str, list[GroupVersion]]:
    """The versions of each group, the preferred one first; without the core group."""
    found: dict[str, list[GroupVersion]] = {}
    for group_version in served:
        if group_version.group:
            found.setdefault(group_version.group, []).append(group_version)
    return found
