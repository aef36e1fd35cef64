"""API objects are plain JSON documents; this module has the accessors that everything uses on them.

An object is a `dict` exactly as it travels on the wire. The accessors never insert anything into what they read.
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
    return str(meta(obj).get("name", ""))


def namespace_of(obj: Object) -> str:
    """`metadata.namespace`, empty for cluster-scoped objects."""
    return str(meta(obj).get("namespace", "") or "")


def uid_of(obj: Object) -> str:
    return str(meta(obj).get("uid", ""))


def resource_version_of(obj: Object) -> str:
    return str(meta(obj).get("resourceVersion", ""))


def labels_of(obj: Object) -> dict[str, str]:
    return meta(obj).get("labels") or {}


def annotations_of(obj: Object) -> dict[str, str]:
    return meta(obj).get("annotations") or {}


def is_being_deleted(obj: Object) -> bool:
    """True once `metadata.deletionTimestamp` is set."""
    return bool(meta(obj).get("deletionTimestamp"))


def key_of(obj: Object) -> str:
    """`namespace/name`, or `name` alone for cluster-scoped objects: the key of work queues and listers."""
    namespace = namespace_of(obj)
    return f"{namespace}/{name_of(obj)}" if namespace else name_of(obj)


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
        if isinstance(step, int):
            if not isinstance(obj, list) or not -len(obj) <= step < len(obj):
                return default
            obj = obj[step]
        else:
            if not isinstance(obj, dict):
                return default
            obj = obj.get(step)
        if obj is None:
            return default
    return obj
