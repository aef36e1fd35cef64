"""Pod templates: the pod made from one, its hash, and whether two are the same.

The hash has upstream's form (32-bit FNV-1a, decimal digits mapped to letters that spell no words). It is computed over
the template's canonical JSON, so it is stable across processes and versions; its value is not the Go one, which hashes
Go's own printing of a struct.
"""

from __future__ import annotations

from typing import Any

import orjson

from sampan.apimachinery import names
from sampan.apimachinery.object import Object, name_of, namespace_of
from sampan.controllers.ownership import reference_to

HASH_LABEL = "pod-template-hash"
_SAFE = "bcdfghjklmnpqrstvwxz2456789"


def fnv32a(data: bytes) -> int:
    value = 0x811C9DC5
    for byte in data:
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def safe_encode(text: str) -> str:
    """As rand.SafeEncodeString: each byte to one of 27 letters and digits."""
    return "".join(_SAFE[byte % len(_SAFE)] for byte in text.encode())


def hash_of(template: Object, collision_count: int | None = None) -> str:
    """The pod-template-hash; another `collision_count` gives another hash."""
    data = orjson.dumps(_meaningful(template), option=orjson.OPT_SORT_KEYS)
    if collision_count is not None:
        data += collision_count.to_bytes(8, "little", signed=True)
    return safe_encode(str(fnv32a(data)))


def same_template(a: Object, b: Object) -> bool:
    """Equal but for the hash label; missing and empty are the same."""
    return _same(_without_hash(a), _without_hash(b))


def pod_from(template: Object, owner: Object) -> Object:
    """A new pod of `owner`, without a name (the server makes one from `<owner>-`)."""
    source = template.get("metadata") or {}
    prefix = f"{name_of(owner)}-"
    metadata: Object = {
        "generateName": name_of(owner) if names.prefix_of(names.dns1123_subdomain)(prefix) else prefix,
        "namespace": namespace_of(owner),
        "ownerReferences": [reference_to(owner)],
    }
    for field in ("labels", "annotations", "finalizers"):
        if source.get(field):
            metadata[field] = source[field]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template.get("spec") or {}}


def _without_hash(template: Object) -> Object:
    metadata = template.get("metadata") or {}
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key != HASH_LABEL}
    return {**template, "metadata": {**metadata, "labels": labels}}


def _same(a: Object, b: Object) -> bool:
    """Whether `_meaningful` makes the same of both; it is asked only of what differs."""
    for key in a.keys() | b.keys():
        one, other = a.get(key), b.get(key)
        if one == other:
            continue
        if isinstance(one, dict) and isinstance(other, dict):
            if not _same(one, other):
                return False
        elif _meaningful({key: one}) != _meaningful({key: other}):
            return False
    return True


def _meaningful(value: Any) -> Any:
    """Without nulls and empty collections, which mean the same as nothing; `emptyDir: {}` and its like stay."""
    if isinstance(value, dict):
        found = {key: _meaningful(item) for key, item in value.items() if item is not None and item != []}
        return {k: v for k, v in found.items() if v != {} or k not in _EMPTY_IS_MISSING}
    if isinstance(value, list):
        return [_meaningful(item) for item in value]
    return value


_EMPTY_IS_MISSING = frozenset(
    {"labels", "annotations", "metadata", "securityContext", "resources", "limits", "requests", "nodeSelector"}
)
