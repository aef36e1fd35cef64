"""A Resource names an API endpoint: group, version, plural, kind and scope.

It is all that a client needs to know of a kind in order to talk about it. The built-in ones are constants in
`sampan.api.resources`; those of custom resources are made at run time from discovery.
"""

from __future__ import annotations

from typing import NamedTuple


class Resource(NamedTuple):
    """Group ("" for core), version, plural lower-case name, kind, and whether objects live in namespaces."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """As in an object's `apiVersion`: `v1`, `apps/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """As upstream's messages name it: `pods`, `deployments.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str | None = None, name: str = "", subresource: str = "") -> str:
        """The URL path: of the collection without a name, across all namespaces without a namespace."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        parts = [root]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name:
            parts.append(name)
        if subresource:
            parts.append(subresource)
        return "/".join(parts)
