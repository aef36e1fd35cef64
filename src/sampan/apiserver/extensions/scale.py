"""The scale subresource of a custom resource: the paths that its definition names, seen as an autoscaling/v1 Scale."""

from __future__ import annotations

from typing import Any

from sampan.api.kind import Subresource
from sampan.api.resources import SCALES
from sampan.apimachinery.errors import InternalError
from sampan.apimachinery.field import FieldError, Path, invalid
from sampan.apimachinery.jsonpath import simple_fields
from sampan.apimachinery.object import Object, dig
from sampan.apiserver.extensions.strategy import Strategy
from sampan.apiserver.extensions.validator import Validator

_METADATA = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def scale_subresource(paths: Object, strategy: Strategy, validator: Validator) -> dict[str, Subresource]:
    """`paths` is `subresources.scale` of a version."""
    spec_path = simple_fields(paths["specReplicasPath"]) or ()
    status_path = simple_fields(paths["statusReplicasPath"]) or ()
    selector_path = simple_fields(paths.get("labelSelectorPath") or "")

    def to_view(obj: Object) -> Object:
        replicas = dig(obj, *spec_path)
        if replicas is None:
            raise InternalError(f'Internal error occurred: the spec replicas field "{paths["specReplicasPath"]}" '
                                "does not exist")
        status: Object = {"replicas": dig(obj, *status_path, default=0)}
        if selector_path and dig(obj, *selector_path):
            status["selector"] = dig(obj, *selector_path)
        metadata = {key: obj["metadata"][key] for key in _METADATA if obj["metadata"].get(key) is not None}
        return {
            "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata,
            "spec": {"replicas": replicas} if replicas else {}, "status": status,
        }

    def from_view(view: Object, obj: Object) -> None:
        replicas: Any = dig(view, "spec", "replicas", default=0)
        parent = obj
        for name in spec_path[:-1]:
            parent = parent.setdefault(name, {})
        parent[spec_path[-1]] = replicas
        if version := dig(view, "metadata", "resourceVersion"):
            obj["metadata"]["resourceVersion"] = version

    def validate(new: Object, old: Object) -> list[FieldError]:
        replicas = dig(new, *spec_path, default=0)
        found = validator.validate_update(new, old)
        if not isinstance(replicas, int) or replicas < 0:
            found.append(invalid(Path("spec").child("replicas"), replicas, "must be greater than or equal to 0"))
        return found

    return {"scale": Subresource("scale", resource=SCALES, prepare_update=strategy.prepare_update,
                                 validate_update=validate, to_view=to_view, from_view=from_view)}
