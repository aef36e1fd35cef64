"""What nobody may use without a quota: `limitedResources` of a ResourceQuotaConfiguration.

    apiVersion: apiserver.config.k8s.io/v1
    kind: ResourceQuotaConfiguration
    limitedResources:
    - resource: pods
      matchScopes: [{scopeName: PriorityClass, operator: In, values: [cluster-services]}]
    - resource: persistentvolumeclaims
      matchContains: [".storageclass.storage.k8s.io/requests.storage"]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from sampan.api.core.quota_scopes import matches, scopes_of
from sampan.apimachinery.field import FieldError, Path, required
from sampan.apimachinery.object import Object, dig
from sampan.apimachinery.resource import Resource
from sampan.apiserver.admission import configuration
from sampan.apiserver.config import APIServerConfig

NAME: Final = "ResourceQuota"
_VERSIONS: Final = (
    "apiserver.config.k8s.io/v1", "resourcequota.admission.k8s.io/v1", "resourcequota.admission.k8s.io/v1beta1",
    "resourcequota.admission.k8s.io/v1alpha1",
)


@dataclass(frozen=True, slots=True)
class Limited:
    """Of one kind: names of usage that contain one of `contains`, and objects in one of `scopes`."""

    group: str
    resource: str
    contains: tuple[str, ...]
    scopes: tuple[Object, ...]

    def concerns(self, resource: Resource) -> bool:
        return (resource.group, resource.plural) == (self.group, self.resource)


def load(config: APIServerConfig) -> tuple[Limited, ...]:
    """Raises ValueError."""
    document = configuration.of(config, NAME)
    if document is None:
        return ()
    kinds = ("ResourceQuotaConfiguration", "Configuration")
    kind = document["kind"] if document.get("kind") in kinds else kinds[0]
    configuration.checked(document, kind, _VERSIONS)
    found, wrong = [], list[FieldError]()
    for position, one in enumerate(document.get("limitedResources") or ()):
        path = Path("limitedResources").index(position)
        if not one.get("resource"):
            wrong.append(required(path.child("resource")))
        contains = configuration.strings(one, "matchContains", path)
        found.append(Limited(
            one.get("apiGroup") or "", one.get("resource") or "", contains, tuple(one.get("matchScopes") or ())
        ))
    configuration.refuse(NAME, wrong)
    return tuple(found)


def uncovered_names(limited: Iterable[Limited], wanted: Iterable[str], quotas: Iterable[Object]) -> list[str]:
    """Which of the names that an object uses no quota is about, though one has to be."""
    parts = [part for one in limited for part in one.contains]
    covered = {name for quota in quotas for name in dig(quota, "spec", "hard", default={})}
    return sorted(name for name in wanted if name not in covered and any(part in name for part in parts))


def uncovered_scopes(
    limited: Iterable[Limited], resource: Resource, obj: Object, quotas: Iterable[Object]
) -> Iterator[str]:
    """Scopes that the object is in and that no quota of its namespace is about, as upstream shows them. A quota is
    about a scope if it states one of that name that the object is in."""
    covered = {
        scope.get("scopeName") for quota in quotas for scope in scopes_of(quota) if matches(scope, resource, obj)
    }
    for one in limited:
        for scope in one.scopes:
            if scope.get("scopeName") not in covered and matches(scope, resource, obj):
                yield _shown(scope)


def _shown(scope: Object) -> str:
    values = " ".join(scope.get("values") or ())
    return f"{{{scope.get('scopeName', '')} {scope.get('operator', '')} [{values}]}}"
