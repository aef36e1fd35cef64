"""What create and update reset in a custom resource, with and without a status subresource."""

from __future__ import annotations

from sampan.apimachinery.object import Object

_METADATA_OF_STATUS_UPDATE = frozenset({"managedFields", "resourceVersion"})


class Strategy:
    """Of one version. With a status subresource, its main endpoint ignores status and everything else counts."""

    def __init__(self, *, has_status: bool) -> None:
        self._has_status = has_status

    def prepare_create(self, obj: Object) -> None:
        if self._has_status:
            obj.pop("status", None)
        obj["metadata"]["generation"] = 1

    def prepare_update(self, new: Object, old: Object) -> None:
        if self._has_status:
            _carry(new, old, "status")
        self.count(new, old)

    def prepare_status(self, new: Object, old: Object) -> None:
        """Only status changes, nothing else."""
        for key in (new.keys() | old.keys()) - {"status", "metadata"}:
            _carry(new, old, key)
        metadata = new["metadata"]
        for key in (metadata.keys() | old["metadata"].keys()) - _METADATA_OF_STATUS_UPDATE:
            _carry(metadata, old["metadata"], key)

    def count(self, new: Object, old: Object) -> None:
        """A new generation when more than metadata (and status) changed."""
        ignored = {"metadata", "apiVersion", "kind"} | ({"status"} if self._has_status else set())
        changed = any(new.get(key) != old.get(key) for key in (new.keys() | old.keys()) - ignored)
        new["metadata"]["generation"] = (old["metadata"].get("generation") or 0) + changed


def _carry(new: Object, old: Object, key: str) -> None:
    if key in old:
        new[key] = old[key]
    else:
        new.pop(key, None)
