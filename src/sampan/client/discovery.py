"""Discovery: which resources a server has, and what can be done with them.

Two requests (/api and /apis) answered in the aggregated form, if the server knows it; else one more for each version of
each group. `resources` has the preferred version of each group only; `serving` knows every version.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from sampan.apimachinery import errors
from sampan.apimachinery.object import Object, dig
from sampan.apimachinery.resource import Resource
from sampan.client.client import Client

_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


@dataclass(frozen=True, slots=True)
class Discovered:
    """A resource and its verbs."""

    resource: Resource
    verbs: frozenset[str]


@dataclass(frozen=True, slots=True)
class Discovery:
    """What was found, in the server's order, and the groups that did not answer (`group/version`: error).

    `others` are the resources of versions that are served but not preferred.
    """

    resources: tuple[Discovered, ...]
    failed: dict[str, str]
    others: tuple[Discovered, ...] = ()

    def with_verbs(self, *verbs: str) -> tuple[Resource, ...]:
        """Resources that have all of `verbs`."""
        return tuple(one.resource for one in self.resources if one.verbs.issuperset(verbs))

    def of_kind(self, api_version: str, kind: str) -> Resource | None:
        """The resource of a kind, whatever version of its group `api_version` names."""
        group = api_version.rpartition("/")[0]
        for one in self.resources:
            if one.resource.kind == kind and one.resource.group == group:
                return one.resource
        return None

    def serving(self, api_version: str, kind: str) -> Resource | None:
        """The resource of a kind in exactly this version, preferred or not."""
        for one in (*self.resources, *self.others):
            if one.resource.kind == kind and one.resource.api_version == api_version:
                return one.resource
        return None


async def discover(client: Client) -> Discovery:
    """Ask the server. Raises APIError if it does not answer at all."""
    found: list[Discovered] = []
    others: list[Discovered] = []
    failed: dict[str, str] = {}
    for path in ("/api", "/apis"):
        answer = await client.raw("GET", path, headers={"accept": _AGGREGATED})
        document: Object = orjson.loads(answer.body)
        if document.get("kind") == "APIGroupDiscoveryList":
            for preferred, one in _aggregated(document, failed):
                (found if preferred else others).append(one)
            continue
        for preferred, group_version in _versions(document):
            try:
                listed = await client.raw("GET", f"{path}/{group_version}")
                (found if preferred else others).extend(_listed(group_version, orjson.loads(listed.body)))
            except errors.APIError as error:
                failed[group_version] = str(error)
    return Discovery(tuple(found), failed, tuple(others))


def _versions(document: Object) -> Iterator[tuple[bool, str]]:
    """Every group version, and whether it is the preferred one of its group."""
    if document.get("kind") == "APIVersions":
        yield True, "v1"
    for group in document.get("groups") or ():
        served = [one["groupVersion"] for one in group.get("versions") or ()]
        preferred = dig(group, "preferredVersion", "groupVersion") or next(iter(served), "")
        for version in dict.fromkeys((preferred, *served)):
            if version:
                yield version == preferred, version


def _listed(group_version: str, document: Object) -> Iterator[Discovered]:
    group, _, version = group_version.rpartition("/")
    for one in document.get("resources") or ():
        if "/" not in one["name"]:
            resource = Resource(group, version, one["name"], one["kind"], one["namespaced"])
            yield Discovered(resource, frozenset(one.get("verbs") or ()))


def _aggregated(document: Object, failed: dict[str, str]) -> Iterator[tuple[bool, Discovered]]:
    for item in document.get("items") or ():
        group = dig(item, "metadata", "name", default="")
        for index, version in enumerate(item.get("versions") or ()):
            if version.get("freshness") == "Stale":
                stale = f"{group}/{version['version']}"
                failed[stale] = f"stale GroupVersion discovery: {stale}"
            for one in version.get("resources") or ():
                kind = dig(one, "responseKind", "kind", default="")
                namespaced = one.get("scope") == "Namespaced"
                resource = Resource(group, version["version"], one["resource"], kind, namespaced)
                yield index == 0, Discovered(resource, frozenset(one.get("verbs") or ()))
