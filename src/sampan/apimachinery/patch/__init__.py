"""Patches: JSON patch (RFC 6902), merge patch (RFC 7386) and Kubernetes' strategic merge patch.

Each is a pure function of a document and a patch that returns a new document and leaves both alone.
"""

from sampan.apimachinery.patch.errors import PatchError
from sampan.apimachinery.patch.json_patch import apply_json_patch
from sampan.apimachinery.patch.merge_patch import apply_merge_patch
from sampan.apimachinery.patch.strategic import apply_strategic

__all__ = ["PatchError", "apply_json_patch", "apply_merge_patch", "apply_strategic"]
