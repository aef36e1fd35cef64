"""API objects are plain JSON documents; this module has the accessors that everything uses on them.

An object is a `dict` exactly as it travels on the wire. The accessors never insert anything into what they read. They
are called more often than anything else, so they do not call each other.
"""

from __future__ import annotations

from typing import Any, TypeAlias

Object: TypeAlias = dict[str, Any]
"""A JSON document: a Kubernetes object, or a part of one."""


def meta(obj: Object) -> Object:
    """`metadata`, or an empty dict that is not part of the object."""
    found = obj.get("metadata")
    return found if isinstance(found, dict) else {}


def name_of(obj: Object) -> str:
    found = obj.get("metadata")
    return str(found.get("name", "")) if isinstance(found, dict) else ""


def namespace_of(obj: Object) -> str:
    """`metadata.namespace`, empty for cluster-scoped objects."""
    found = obj.get("metadata")
    return str(found.get("namespace") or "") if isinstance(found, dict) else ""


def uid_of(obj: Object) -> str:
    found = obj.get("metadata")
    return str(found.get("uid", "")) if isinstance(found, dict) else ""


def resource_version_of(obj: Object) -> str:
    return str(meta(obj).get("resourceVersion", ""))


def labels_of(obj: Object) -> dict[str, str]:
    found = obj.get("metadata")
    return (found.get("labels") or {}) if isinstance(found, dict) else {}


def annotations_of(obj: Object) -> dict[str, str]:
    return meta(obj).get("annotations") or {}


def is_being_deleted(obj: Object) -> bool:
    """True once `metadata.deletionTimestamp` is set."""
    found = obj.get("metadata")
    return isinstance(found, dict) and bool(found.get("deletionTimestamp"))


def key_of(obj: Object) -> str:
    """`namespace/name`, or `name` alone for cluster-scoped objects: the key of work queues and listers."""
    found = obj.get("metadata")
    if not isinstance(found, dict):
        return ""
    namespace, name = found.get("namespace"), str(found.get("name", ""))
    return f"{namespace}/{name}" if namespace else name


def split_key(key: str) -> tuple[str, str]:
    """The inverse of `key_of`: (namespace or "", name)."""
    namespace, _, name = key.rpartition("/")
    return namespace, name


def controller_of(obj: Object) -> Object | None:
    """The owner reference with `controller: true`, if any."""
    for reference in meta(obj).get("ownerReferences") or []:
        if reference.get("controller"):
            return reference  # type: ignore[no-any-return]
    return None


def dig(obj: Any, *path: str | int, default: Any = None) -> Any:
    """The value at a path of keys and indexes, or `default` where any step is missing or null."""
    for step in path:
        if isinstance(obj, dict):
            obj = obj.get(step)
        elif isinstance(obj, list) and isinstance(step, int) and -len(obj) <= step < len(obj):
            obj = obj[step]
        else:
            return default
        if obj is None:
            return default
    return obj
