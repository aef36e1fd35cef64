"""Discovery: which resources a server has, and what can be done with them.

Two requests (/api and /apis) answered in the aggregated form, if the server knows it; else one more for each version of
each group. `resources` has the preferred version of each group only; `serving` knows every version. Who asks again and
again keeps a `Discoverer`, which reads only what is new.
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
    return await Discoverer(client).discover()


class Discoverer:
    """Asks a server from time to time. While it says the same, the answer is the same `Discovery`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._said: list[bytes] = []
        self._known = Discovery((), {})

    async def discover(self) -> Discovery:
        """Ask the server. Raises APIError if it does not answer at all."""
        paths = ("/api", "/apis")
        said = [(await self._client.raw("GET", path, headers={"accept": _AGGREGATED})).body for path in paths]
        if said == self._said:
            return self._known
        found: list[Discovered] = []
        others: list[Discovered] = []
        failed: dict[str, str] = {}
        is_whole = True
        for path, body in zip(paths, said, strict=True):
            document: Object = orjson.loads(body)
            if document.get("kind") == "APIGroupDiscoveryList":
                each = list(_aggregated(document, failed))
            else:
                is_whole = False  # it only names the versions, and does not say whether they have changed
                each = await self._each_version(path, document, failed)
            found += (one for preferred, one in each if preferred)
            others += (one for preferred, one in each if not preferred)
        self._known, self._said = Discovery(tuple(found), failed, tuple(others)), said if is_whole else []
        return self._known

    async def _each_version(
        self, path: str, document: Object, failed: dict[str, str]
    ) -> list[tuple[bool, Discovered]]:
        found: list[tuple[bool, Discovered]] = []
        for preferred, group_version in _versions(document):
            try:
                listed = await self._client.raw("GET", f"{path}/{group_version}")
                found += ((preferred, one) for one in _listed(group_version, orjson.loads(listed.body)))
            except errors.APIError as error:
                failed[group_version] = str(error)
        return found


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
