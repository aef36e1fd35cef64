"""Merge patch (RFC 7386): objects merge, null removes, everything else replaces."""

from __future__ import annotations

from typing import Any

from sampan.apimachinery.patch.errors import PatchError
from sampan.apimachinery.schema.scalars import json_type


def apply_merge_patch(doc: Any, patch: Any) -> Any:
    """The document after the patch. Raises PatchError when the patch is no object, as Kubernetes asks for one."""
    if not isinstance(patch, dict):
        raise PatchError(
            f"error decoding patch: json: cannot unmarshal {json_type(patch)} into Go value of type "
            "map[string]interface {}"
        )
    return merge(doc, patch)


def merge(target: Any, patch: Any) -> Any:
    """RFC 7386's MergePatch(target, patch); shares what did not change with `target`."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged
