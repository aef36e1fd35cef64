"""Pod: containers that run together on one node."""

from __future__ import annotations

from sampan.api.columns import AGE, NAME
from sampan.api.core.pod_defaults import default_pod_spec
from sampan.api.kind import Kind
from sampan.api.resources import PODS
from sampan.api.strategy import ensure, start_generation, status_subresource, update_with_generation
from sampan.apimachinery.object import Object, dig


def default(obj: Object) -> None:
    default_pod_spec(ensure(obj, "spec"))


def prepare_create(obj: Object) -> None:
    obj["status"] = {"phase": "Pending"}
    start_generation(obj)


def selectable(obj: Object) -> dict[str, str]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    return {
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.restartPolicy": spec.get("restartPolicy", ""),
        "spec.schedulerName": spec.get("schedulerName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", ""),
        "spec.hostNetwork": "true" if spec.get("hostNetwork") else "false",
        "status.phase": status.get("phase", ""),
        "status.podIP": status.get("podIP", ""),
        "status.nominatedNodeName": status.get("nominatedNodeName", ""),
    }


POD = Kind(
    resource=PODS,
    definition="io.k8s.api.core.v1.Pod",
    singular="pod",
    short_names=("po",),
    categories=("all",),
    default=default,
    prepare_create=prepare_create,
    prepare_update=update_with_generation,
    field_names=tuple(selectable({})),
    fields=selectable,
    columns=(NAME, AGE),
    subresources=status_subresource(),
    default_grace_period_s=lambda obj: int(dig(obj, "spec", "terminationGracePeriodSeconds", default=30)),
)
