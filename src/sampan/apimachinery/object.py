"""API objects are plain JSON documents; this module has the accessors that everything uses on them.

An object is a `dict` exactly as it travels on the wire. The accessors never insert anything into what they read. They
are called more often than anything else, so they do not call each other, and first try what nearly always holds: an
object has metadata, and names are strings.
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
    try:
        found = obj["metadata"]["name"]
    except (KeyError, TypeError):
        return ""
    return found if found.__class__ is str else str(found)


def namespace_of(obj: Object) -> str:
    """`metadata.namespace`, empty for cluster-scoped objects."""
    try:
        found = obj["metadata"].get("namespace") or ""
    except (KeyError, AttributeError):
        return ""
    return found if found.__class__ is str else str(found)


def uid_of(obj: Object) -> str:
    try:
        found = obj["metadata"]["uid"]
    except (KeyError, TypeError):
        return ""
    return found if found.__class__ is str else str(found)


def resource_version_of(obj: Object) -> str:
    try:
        found = obj["metadata"]["resourceVersion"]
    except (KeyError, TypeError):
        return ""
    return found if found.__class__ is str else str(found)


def labels_of(obj: Object) -> dict[str, str]:
    try:
        return obj["metadata"].get("labels") or {}
    except (KeyError, AttributeError):
        return {}


def annotations_of(obj: Object) -> dict[str, str]:
    try:
        return obj["metadata"].get("annotations") or {}
    except (KeyError, AttributeError):
        return {}


def is_being_deleted(obj: Object) -> bool:
    """True once `metadata.deletionTimestamp` is set."""
    try:
        return bool(obj["metadata"].get("deletionTimestamp"))
    except (KeyError, AttributeError):
        return False


def key_of(obj: Object) -> str:
    """`namespace/name`, or `name` alone for cluster-scoped objects: the key of work queues and listers."""
    try:
        metadata = obj["metadata"]
        namespace, name = metadata.get("namespace"), metadata.get("name", "")
    except (KeyError, AttributeError):
        return ""
    return f"{namespace}/{name}" if namespace else str(name)


def split_key(key: str) -> tuple[str, str]:
    """The inverse of `key_of`: (namespace or "", name)."""
    namespace, _, name = key.rpartition("/")
    return namespace, name


def controller_of(obj: Object) -> Object | None:
    """The owner reference with `controller: true`, if any."""
    try:
        references = obj["metadata"].get("ownerReferences") or ()
    except (KeyError, AttributeError):
        return None
    for reference in references:
        if reference.get("controller"):
            return reference  # type: ignore[no-any-return]
    return None


def dig(obj: Any, *path: str | int, default: Any = None) -> Any:
    """The value at a path of keys and indexes, or `default` where any step is missing or null."""
    for step in path:
        if obj.__class__ is dict:
            obj = obj.get(step)
        elif isinstance(obj, list) and isinstance(step, int) and -len(obj) <= step < len(obj):
            obj = obj[step]
        elif isinstance(obj, dict):
            obj = obj.get(step)
        else:
            return default
    return default if obj is None else obj
