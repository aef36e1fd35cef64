"""What other servers answer, as part of this server's discovery.

A version that another server has been registered for hides one of ours with the same name. While that server does not
answer, its version is listed without resources and as Stale, so that clients know that something is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from sampan.apimachinery.object import Object
from sampan.apiserver.registry.kind_table import RemoteVersion
from sampan.apiserver.served import priority

Remote: TypeAlias = Mapping[tuple[str, str], RemoteVersion]


def listed(groups: list[Object], remote: Remote) -> list[Object]:
    """`APIGroupList.groups` with those of other servers."""
    found = {group["name"]: group for group in groups}
    for one in remote.values():
        known = found.get(one.group) or {"name": one.group, "versions": []}
        names = sorted({*(version["version"] for version in known["versions"]), one.version}, key=priority)
        versions = [{"groupVersion": f"{one.group}/{name}", "version": name} for name in names]
        found[one.group] = {"name": one.group, "versions": versions, "preferredVersion": versions[0]}
    return list(found.values())


def discovered(document: Object, remote: Remote) -> Object:
    """An APIGroupDiscoveryList with the groups of other servers."""
    items = {item["metadata"].get("name", ""): item for item in document["items"]}
    for one in remote.values():
        item = items.setdefault(one.group, {
            "metadata": {"name": one.group, "creationTimestamp": None}, "versions": [],
        })
        versions = [version for version in item["versions"] if version["version"] != one.version]
        versions.append({
            "version": one.version, "resources": _resources(one), "freshness": "Current" if one.fresh else "Stale",
        })
        item["versions"] = sorted(versions, key=lambda version: priority(version["version"]))
    return {**document, "items": list(items.values())}


def _resources(one: RemoteVersion) -> list[Object]:
    """An APIResourceList's resources in the form of aggregated discovery: subresources belong to their parent."""
    found: dict[str, Object] = {}
    for resource in one.resources:
        name, _, subresource = str(resource.get("name", "")).partition("/")
        kind = {
            "group": resource.get("group") or one.group, "version": resource.get("version") or one.version,
            "kind": resource.get("kind", ""),
        }
        if subresource:
            shown = {"subresource": subresource, "responseKind": kind, "verbs": resource.get("verbs") or []}
            found.setdefault(name, _empty(name, resource)).setdefault("subresources", []).append(shown)
            continue
        entry = found.setdefault(name, _empty(name, resource))
        entry |= {
            "responseKind": kind, "singularResource": resource.get("singularName") or "",
            "verbs": resource.get("verbs") or [],
            **{key: resource[key] for key in ("shortNames", "categories") if resource.get(key)},
        }
    return list(found.values())


def _empty(name: str, resource: Object) -> Object:
    return {"resource": name, "scope": "Namespaced" if resource.get("namespaced") else "Cluster", "verbs": []}
