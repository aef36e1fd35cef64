"""Brings the bootstrap roles and bindings into the cluster at start and mends them, as upstream's post-start hook does.

Missing objects are created. What is there gets missing rules and subjects added (never removed), missing labels and
annotations too, unless its annotation rbac.authorization.kubernetes.io/autoupdate says "false". Aggregated roles keep
the rules that the aggregation controller computed. A binding to another role is replaced, since roleRef cannot
change.
"""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Iterable

from sampan.api.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, NAMESPACES, ROLE_BINDINGS, ROLES
from sampan.apimachinery.errors import AlreadyExists, Conflict, NotFound
from sampan.apimachinery.object import Object, annotations_of, name_of, namespace_of
from sampan.apimachinery.resource import Resource
from sampan.apiserver.authz.rbac_bootstrap import bindings, components, controllers, users
from sampan.apiserver.authz.rbac_bootstrap.documents import AUTOUPDATE
from sampan.apiserver.authz.rules import Rule, uncovered
from sampan.client.client import Client

log = logging.getLogger(__name__)

CLUSTER_ROLE_OBJECTS: list[Object] = [*users.ROLES, *components.ROLES, *controllers.ROLES]
CLUSTER_BINDING_OBJECTS: list[Object] = [*bindings.CLUSTER_BINDINGS, *controllers.BINDINGS]

OBJECTS: tuple[tuple[Resource, list[Object]], ...] = (
    (CLUSTER_ROLES, CLUSTER_ROLE_OBJECTS),
    (CLUSTER_ROLE_BINDINGS, CLUSTER_BINDING_OBJECTS),
    (ROLES, components.NAMESPACED_ROLES),
    (ROLE_BINDINGS, bindings.BINDINGS),
)


async def reconcile(client: Client) -> int:
    """Create and mend everything; how many objects were written. Safe to run at every start."""
    written = 0
    for namespace in ("kube-system", "kube-public"):
        await _ensure_namespace(client, namespace)
    for resource, wanted in OBJECTS:
        present = {(namespace_of(obj), name_of(obj)): obj for obj in await _listed(client, resource)}
        # All at once: writes that wait together share one fsync.
        written += sum(await asyncio.gather(
            *(_ensure(client, resource, obj, present.get((namespace_of(obj), name_of(obj)))) for obj in wanted)
        ))
    return written


async def _listed(client: Client, resource: Resource) -> list[Object]:
    return (await client.list(resource)).get("items") or []


async def _ensure_namespace(client: Client, name: str) -> None:
    try:
        await client.get(NAMESPACES, name)
    except NotFound:
        try:
            await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        except AlreadyExists:
            log.debug("namespace %s appeared meanwhile", name)


async def _ensure(client: Client, resource: Resource, wanted: Object, present: Object | None) -> int:
    try:
        if present is None:
            await client.create(resource, copy.deepcopy(wanted))
            return 1
        mended = mend(wanted, present)
        if mended is None:
            return 0
        if mended.get("roleRef") != present.get("roleRef"):
            await client.delete(resource, name_of(present), namespace_of(present) or None)
            await client.create(resource, copy.deepcopy(wanted))
        else:
            await client.update(resource, mended)
        return 1
    except Conflict as error:
        log.info("%s %s changed meanwhile; left as it is: %s", resource.kind, name_of(wanted), error)
        return 0


def mend(wanted: Object, present: Object) -> Object | None:
    """What the object should become, or None when nothing is missing or its owner opted out."""
    if annotations_of(present).get(AUTOUPDATE) == "false":
        return None
    mended = copy.deepcopy(present)
    meta = mended.setdefault("metadata", {})
    for section in ("labels", "annotations"):
        meta[section] = {**wanted["metadata"][section], **(meta.get(section) or {})}
    if "roleRef" in wanted:
        mended["roleRef"] = wanted["roleRef"]
        mended["subjects"] = _with_missing(wanted.get("subjects") or [], present.get("subjects") or [])
        if not mended["subjects"] and "subjects" not in present:
            del mended["subjects"]
    elif "aggregationRule" in wanted:
        mended.setdefault("aggregationRule", wanted["aggregationRule"])
    else:
        have = [Rule.parse(rule) for rule in present.get("rules") or ()]
        missing = [rule for rule in wanted["rules"] if uncovered(have, [Rule.parse(rule)])]
        mended["rules"] = [*(present.get("rules") or []), *missing]
    return mended if mended != present else None


def _with_missing(wanted: Iterable[Object], present: list[Object]) -> list[Object]:
    return [*present, *(subject for subject in wanted if subject not in present)]
