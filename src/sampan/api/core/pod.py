"""Pod: containers that run together on one node.

The defaults and rules of its spec are in the files beside this one (`pod_defaults`, `pod_spec` and what that names);
`pod_update` says what may change later, `pod_status` prints it.
"""

from __future__ import annotations

from sampan.api.core import pod_status, pod_update
from sampan.api.core.pod_defaults import default_pod_only, default_pod_spec
from sampan.api.core.pod_spec import validate_pod_spec
from sampan.api.core.qos import qos_class
from sampan.api.kind import Kind, Subresource
from sampan.api.resources import PODS
from sampan.api.strategy import ensure, start_generation, update_with_generation
from sampan.api.warnings import pods
from sampan.apimachinery.field import FieldError, Path, forbidden
from sampan.apimachinery.object import Object, dig


def default(obj: Object) -> None:
    spec = ensure(obj, "spec")
    default_pod_spec(spec)
    default_pod_only(spec)
    _default_status(obj)


def _default_status(obj: Object) -> None:
    """The first of the addresses is the address: what stands in one of the two fields stands in both."""
    status = obj.get("status")
    if not isinstance(status, dict):
        return
    one, all_of_them = status.get("podIP"), status.get("podIPs") or []
    if one and (not all_of_them or all_of_them[0].get("ip") != one):
        status["podIPs"] = [{"ip": one}]
    elif all_of_them and all_of_them[0].get("ip"):
        status["podIP"] = all_of_them[0]["ip"]


def prepare_create(obj: Object) -> None:
    """A new pod is pending, has its class of service, and waits if gates hold it."""
    start_generation(obj)
    status: Object = {"phase": "Pending", "qosClass": qos_class(obj)}
    if dig(obj, "spec", "schedulingGates"):
        status["conditions"] = [{
            "type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
            "message": "Scheduling is blocked due to non-empty scheduling gates",
        }]
    obj["status"] = status


def validate(obj: Object) -> list[FieldError]:
    spec, path = obj.get("spec") or {}, Path("spec")
    errors = validate_pod_spec(spec, path)
    if spec.get("nodeName") and spec.get("schedulingGates"):
        errors.append(forbidden(path.child("nodeName"), "cannot be set until all schedulingGates have been cleared"))
    return errors


def selectable(obj: Object) -> dict[str, str]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    return {
        "spec.nodeName": spec.get("nodeName") or "",
        "spec.restartPolicy": spec.get("restartPolicy") or "",
        "spec.schedulerName": spec.get("schedulerName") or "",
        "spec.serviceAccountName": spec.get("serviceAccountName") or "",
        "spec.hostNetwork": "true" if spec.get("hostNetwork") else "false",
        "status.phase": status.get("phase") or "",
        "status.podIP": dig(status, "podIPs", 0, "ip") or status.get("podIP") or "",
        "status.nominatedNodeName": status.get("nominatedNodeName") or "",
    }


def grace_period(obj: Object) -> int:
    """The pod's own; none while it is not on a node, since nothing runs that could end gracefully."""
    if not dig(obj, "spec", "nodeName") or dig(obj, "status", "phase") in ("Failed", "Succeeded"):
        return 0
    seconds = dig(obj, "spec", "terminationGracePeriodSeconds", default=30)
    return max(int(seconds), 1) if seconds < 0 else int(seconds)


POD = Kind(
    resource=PODS,
    definition="io.k8s.api.core.v1.Pod",
    singular="pod",
    short_names=("po",),
    categories=("all",),
    default=default,
    prepare_create=prepare_create,
    prepare_update=update_with_generation,
    validate=validate,
    validate_update=pod_update.validate_pod_update,
    field_names=tuple(selectable({})),
    fields=selectable,
    warnings=pods.pod,
    columns=pod_status.COLUMNS,
    row_conditions=pod_status.row_conditions,
    subresources={
        "status": Subresource("status", prepare_update=pod_update.prepare_status,
                              validate_update=pod_update.validate_status, default=_default_status),
        "ephemeralcontainers": Subresource(
            "ephemeralcontainers", prepare_update=pod_update.prepare_ephemeral,
            validate_update=pod_update.validate_ephemeral_update),
        "resize": Subresource("resize", prepare_update=pod_update.prepare_resize,
                              validate_update=pod_update.validate_resize),
    },
    default_grace_period_s=grace_period,
)
