"""Node: a machine that runs pods."""

from __future__ import annotations

from datetime import datetime

from sampan.api.columns import AGE, NAME, NONE, UNKNOWN, at
from sampan.api.core.resource_lists import canonicalise, validate_list
from sampan.api.kind import Column, Kind
from sampan.api.resources import NODES
from sampan.api.strategy import ensure, keep_status, setdefault, status_subresource
from sampan.api.warnings import identity
from sampan.apimachinery.field import FieldError, Path, duplicate, forbidden, invalid, not_supported, required
from sampan.apimachinery.names import cidr, label_value, qualified_name
from sampan.apimachinery.object import Object, dig, labels_of

_EFFECTS = ("NoExecute", "NoSchedule", "PreferNoSchedule")
_ROLE_PREFIX, _ROLE_LABEL = "node-role.kubernetes.io/", "kubernetes.io/role"


def default(obj: Object) -> None:
    """All of the capacity can be allocated unless the node says less; the pod range stands in both its fields."""
    spec = ensure(obj, "spec")
    one, all_of_them = spec.get("podCIDR"), spec.get("podCIDRs")
    if one and (not all_of_them or all_of_them[0] != one):
        spec["podCIDRs"] = [one]
    elif all_of_them:
        spec["podCIDR"] = all_of_them[0]
    status = obj.get("status")
    if isinstance(status, dict):
        canonicalise(status.get("capacity"))
        canonicalise(status.get("allocatable"))
        if status.get("allocatable") is None and status.get("capacity"):
            status["allocatable"] = dict(status["capacity"])


def prepare_create(obj: Object) -> None:
    """A kubelet registers its node with its status, so that stays."""
    setdefault(obj, "status", {})


def validate(obj: Object) -> list[FieldError]:
    spec, path = obj.get("spec") or {}, Path("spec")
    errors = _taints(spec.get("taints") or [], path.child("taints"))
    status = obj.get("status") or {}
    for key in ("capacity", "allocatable"):
        errors += validate_list(status.get(key), Path("status").child(key))
    ranges = spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else [])
    for position, text in enumerate(ranges):
        errors += [invalid(path.child("podCIDRs").index(position), text, why) for why in cidr(text)]
    if len(ranges) > 2:
        errors.append(invalid(path.child("podCIDRs"), ranges, "may specify no more than one CIDR for each IP family"))
    return errors


def _taints(taints: list[Object], path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[tuple[str, str]] = set()
    for position, taint in enumerate(taints):
        where = path.index(position)
        key, value, effect = taint.get("key") or "", taint.get("value") or "", taint.get("effect") or ""
        errors += [invalid(where.child("key"), key, why) for why in qualified_name(key)]
        errors += [invalid(where.child("value"), value, why) for why in label_value(value)] if value else []
        if not effect:
            errors.append(required(where.child("effect")))
        elif effect not in _EFFECTS:
            errors.append(not_supported(where.child("effect"), effect, _EFFECTS))
        if (key, effect) in seen:
            errors.append(duplicate(where, taint))
        seen.add((key, effect))
    return errors


def validate_update(new: Object, old: Object) -> list[FieldError]:
    """Pod ranges and the provider's id are set once."""
    after, before, path = new.get("spec") or {}, old.get("spec") or {}, Path("spec")
    errors: list[FieldError] = []
    if before.get("podCIDRs") and (after.get("podCIDRs") or []) != before["podCIDRs"]:
        errors.append(forbidden(path.child("podCIDRs"), "node updates may not change podCIDR except from \"\" to "
                                                        "valid"))
    if before.get("providerID") and after.get("providerID") != before["providerID"]:
        errors.append(forbidden(path.child("providerID"), "node updates may not change providerID except from \"\" "
                                                          "to valid"))
    return errors


def selectable(obj: Object) -> dict[str, str]:
    return {"spec.unschedulable": "true" if dig(obj, "spec", "unschedulable") else "false"}


def status_text(obj: Object, now: datetime) -> str:
    ready = next((condition for condition in dig(obj, "status", "conditions", default=())
                  if condition.get("type") == "Ready"), None)
    text = "Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"
    return f"{text},SchedulingDisabled" if dig(obj, "spec", "unschedulable") else text


def roles_text(obj: Object, now: datetime) -> str:
    roles = set()
    for key, value in labels_of(obj).items():
        if key.startswith(_ROLE_PREFIX) and key != _ROLE_PREFIX:
            roles.add(key[len(_ROLE_PREFIX):])
        elif key == _ROLE_LABEL and value:
            roles.add(value)
    return ",".join(sorted(roles)) or NONE


def address(kind: str, obj: Object) -> str:
    return next((str(entry.get("address")) for entry in dig(obj, "status", "addresses", default=())
                 if entry.get("type") == kind), NONE)


def _info(name: str, key: str) -> Column:
    cell = at("status", "nodeInfo", key, default=UNKNOWN)
    return Column(name, "string", cell, priority=1, doc=f"core.v1.NodeSystemInfo#{key}")


NODE = Kind(
    resource=NODES,
    definition="io.k8s.api.core.v1.Node",
    singular="node",
    short_names=("no",),
    default=default,
    prepare_create=prepare_create,
    prepare_update=keep_status,
    validate=validate,
    validate_update=validate_update,
    field_names=("spec.unschedulable",),
    fields=selectable,
    warnings=identity.node,
    columns=(
        NAME,
        Column("Status", "string", status_text, "The status of the node"),
        Column("Roles", "string", roles_text, "The roles of the node"),
        AGE,
        Column("Version", "string", at("status", "nodeInfo", "kubeletVersion"),
               doc="core.v1.NodeSystemInfo#kubeletVersion"),
        Column("Internal-IP", "string", lambda obj, now: address("InternalIP", obj), doc="core.v1.NodeStatus#addresses",
               priority=1),
        Column("External-IP", "string", lambda obj, now: address("ExternalIP", obj), doc="core.v1.NodeStatus#addresses",
               priority=1),
        _info("OS-Image", "osImage"),
        _info("Kernel-Version", "kernelVersion"),
        _info("Container-Runtime", "containerRuntimeVersion"),
    ),
    subresources=status_subresource(),
)
