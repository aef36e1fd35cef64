"""The APIServices of the groups that this server answers itself, as `kubectl get apiservices` lists them.

Built-in versions are registered when the server starts, those of custom resources as they come and go. An APIService
that somebody else made for a group of ours is left alone. Priorities are upstream's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Final

from sampan.api.resources import API_SERVICES
from sampan.apimachinery.errors import AlreadyExists, APIError, NotFound
from sampan.apimachinery.object import Object, labels_of, name_of
from sampan.client.client import Client

log = logging.getLogger(__name__)
MANAGED: Final = "kube-aggregator.kubernetes.io/automanaged"
CUSTOM_PRIORITY: Final = (1000, 100)
_GROUPS: Final = {
    "": 18000, "apps": 17800, "events.k8s.io": 17750, "authentication.k8s.io": 17700, "authorization.k8s.io": 17600,
    "autoscaling": 17500, "batch": 17400, "certificates.k8s.io": 17300, "networking.k8s.io": 17200, "policy": 17100,
    "rbac.authorization.k8s.io": 17000, "storage.k8s.io": 16800, "apiextensions.k8s.io": 16700,
    "admissionregistration.k8s.io": 16700, "scheduling.k8s.io": 16600, "coordination.k8s.io": 16500,
    "node.k8s.io": 16300, "discovery.k8s.io": 16200, "flowcontrol.apiserver.k8s.io": 16100,
    "resource.k8s.io": 15900, "storagemigration.k8s.io": 15800,
}
_VERSIONS: Final = {("", "v1"): 1, ("autoscaling", "v2"): 30, ("flowcontrol.apiserver.k8s.io", "v1"): 21}
ITSELF: Final = "apiregistration.k8s.io"


def document(group: str, version: str, *, custom: bool) -> Object:
    """The APIService of one version that is answered here."""
    minimum, priority = CUSTOM_PRIORITY if custom else (_GROUPS.get(group, 10000), _VERSIONS.get((group, version), 15))
    return {
        "kind": "APIService", "apiVersion": "apiregistration.k8s.io/v1",
        "metadata": {"name": f"{version}.{group}", "labels": {MANAGED: "true" if custom else "onstart"}},
        "spec": {
            "group": group, "version": version, "groupPriorityMinimum": minimum, "versionPriority": priority,
        },
    }


async def register(
    client: Client, present: Iterable[Object], built_in: set[tuple[str, str]], custom: set[tuple[str, str]]
) -> None:
    """Create what is missing, remove what we made for versions that are served no more."""
    known = {name_of(one): one for one in present}
    wanted = {
        name_of(one): one for found, is_custom in ((built_in, False), (custom - built_in, True))
        for one in (document(group, version, custom=is_custom) for group, version in sorted(found) if group != ITSELF)
    }
    gone = [name for name, one in known.items() if labels_of(one).get(MANAGED) == "true" and name not in wanted]
    missing = [one for name, one in wanted.items() if name not in known]
    await asyncio.gather(*(_create(client, one) for one in missing), *(_delete(client, name) for name in gone))


async def _create(client: Client, wanted: Object) -> None:
    try:
        await client.create(API_SERVICES, wanted)
    except AlreadyExists:
        pass  # somebody was faster
    except APIError as error:
        log.warning("APIService %s: %s", name_of(wanted), error)


async def _delete(client: Client, name: str) -> None:
    try:
        await client.delete(API_SERVICES, name)
    except NotFound:
        pass  # somebody was faster
    except APIError as error:
        log.warning("APIService %s: %s", name, error)
