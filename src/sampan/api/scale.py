"""The `scale` subresource: a workload seen as an autoscaling/v1 Scale, so that all of them scale alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sampan.api.kind import Subresource
from sampan.api.resources import SCALES
from sampan.api.strategy import count_generation, ensure, keep_status
from sampan.apimachinery.field import FieldError, Path, invalid
from sampan.apimachinery.object import Object, dig, meta

_METADATA = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def scale_subresource(selector: Callable[[Any], str]) -> dict[str, Subresource]:
    """`selector` prints `spec.selector` as a query string."""

    def to_view(obj: Object) -> Object:
        metadata = {key: meta(obj)[key] for key in _METADATA if meta(obj).get(key) is not None}
        status: Object = {"replicas": dig(obj, "status", "replicas", default=0)}
        text = selector(dig(obj, "spec", "selector"))
        if text:
            status["selector"] = text
        replicas = dig(obj, "spec", "replicas")
        return {
            "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata,
            "spec": {} if not replicas else {"replicas": replicas}, "status": status,
        }

    return {"scale": Subresource("scale", resource=SCALES, prepare_update=_prepare, validate_update=_validate,
                                 to_view=to_view, from_view=from_view)}


def from_view(view: Object, obj: Object) -> None:
    """The number of replicas, and the version that the client saw."""
    ensure(obj, "spec")["replicas"] = dig(view, "spec", "replicas", default=0)
    version = dig(view, "metadata", "resourceVersion")
    if version:
        ensure(obj, "metadata")["resourceVersion"] = version


def _prepare(new: Object, old: Object) -> None:
    keep_status(new, old)
    count_generation(new, old)


def _validate(new: Object, old: Object) -> list[FieldError]:
    replicas = dig(new, "spec", "replicas", default=0)
    if replicas < 0:
        return [invalid(Path("spec").child("replicas"), replicas, "must be greater than or equal to 0")]
    return []
