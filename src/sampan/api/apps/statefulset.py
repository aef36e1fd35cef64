"""StatefulSet: pods with identities and storage of their own."""

from __future__ import annotations

from sampan.api.apps.deployment import ready_text
from sampan.api.columns import AGE, NAME, template_columns
from sampan.api.core.pod_template import default_template, validate_always_restarts, validate_selected_template
from sampan.api.core.volume_defaults import default_claim_spec
from sampan.api.counts import all_not_negative, not_above, not_negative
from sampan.api.int_or_percent import at_most_whole, is_zero, validate_int_or_percent
from sampan.api.kind import Column, Kind
from sampan.api.resources import STATEFUL_SETS
from sampan.api.scale import scale_subresource
from sampan.api.selector_rules import query_of_selector
from sampan.api.strategy import (
    counting_from_zero,
    create_with_generation,
    ensure,
    setdefault,
    status_subresource,
    update_with_generation,
    zero_status,
)
from sampan.api.warnings import workloads
from sampan.apimachinery.field import FieldError, Path, forbidden, invalid, not_supported, required
from sampan.apimachinery.object import Object

_MUTABLE = ("replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
            "persistentVolumeClaimRetentionPolicy", "minReadySeconds")
_MANAGEMENT = ("OrderedReady", "Parallel")
_RETENTION = ("Delete", "Retain")
_COUNTS = ("replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")
_COUNTED = ("replicas", "availableReplicas")


def default(obj: Object) -> None:
    spec = ensure(obj, "spec")
    if not spec.get("podManagementPolicy"):
        spec["podManagementPolicy"] = "OrderedReady"
    strategy = ensure(spec, "updateStrategy")
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        setdefault(ensure(strategy, "rollingUpdate"), "partition", 0)
    retention = ensure(spec, "persistentVolumeClaimRetentionPolicy")
    for key in ("whenDeleted", "whenScaled"):
        if not retention.get(key):
            retention[key] = "Retain"
    setdefault(spec, "replicas", 1)
    setdefault(spec, "revisionHistoryLimit", 10)
    for claim in spec.get("volumeClaimTemplates") or ():
        setdefault(claim, "apiVersion", "v1")
        setdefault(claim, "kind", "PersistentVolumeClaim")
        default_claim_spec(ensure(claim, "spec"))
        setdefault(ensure(claim, "status"), "phase", "Pending")
    default_template(ensure(spec, "template"))
    _default_status(obj)


def _default_status(obj: Object) -> None:
    zero_status(obj, *_COUNTED)


def validate(obj: Object) -> list[FieldError]:
    spec, path = obj.get("spec") or {}, Path("spec")
    errors: list[FieldError] = []
    policy = spec.get("podManagementPolicy") or ""
    if not policy:
        errors.append(required(path.child("podManagementPolicy")))
    elif policy not in _MANAGEMENT:
        errors.append(invalid(path.child("podManagementPolicy"), policy,
                              "must be 'OrderedReady' or 'Parallel'"))
    errors += _strategy(spec.get("updateStrategy") or {}, path.child("updateStrategy"))
    for key, value in (spec.get("persistentVolumeClaimRetentionPolicy") or {}).items():
        if value not in _RETENTION:
            errors.append(not_supported(path.child("persistentVolumeClaimRetentionPolicy", key), value, _RETENTION))
    errors += not_negative(spec.get("replicas"), path.child("replicas"))
    errors += not_negative(spec.get("minReadySeconds"), path.child("minReadySeconds"))
    errors += not_negative((spec.get("ordinals") or {}).get("start"), path.child("ordinals", "start"))
    errors += not_negative(spec.get("revisionHistoryLimit"), path.child("revisionHistoryLimit"))
    errors += validate_selected_template(_with_claims(spec), path, "statefulset")
    return errors + validate_always_restarts(spec, path)


def _with_claims(spec: Object) -> Object:
    """The spec whose template has, beside its own volumes, those that the claim templates will give each pod."""
    claims = spec.get("volumeClaimTemplates") or []
    if not claims:
        return spec
    template = dict(spec.get("template") or {})
    pod = dict(template.get("spec") or {})
    own = [claim.get("metadata", {}).get("name", "") if isinstance(claim.get("metadata"), dict) else ""
           for claim in claims]
    kept = [volume for volume in pod.get("volumes") or [] if volume.get("name") not in own]
    pod["volumes"] = kept + [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in own if name]
    template["spec"] = pod
    return {**spec, "template": template}


def _strategy(strategy: Object, path: Path) -> list[FieldError]:
    kind, rolling = strategy.get("type") or "", strategy.get("rollingUpdate")
    if not kind:
        return [required(path)]
    if kind == "OnDelete":
        if rolling is None:
            return []
        return [invalid(path.child("rollingUpdate"), rolling, "only allowed for updateStrategy 'RollingUpdate'")]
    if kind != "RollingUpdate":
        return [invalid(path, strategy, "must be 'RollingUpdate' or 'OnDelete'")]
    where = path.child("rollingUpdate")
    errors = not_negative((rolling or {}).get("partition"), where.child("partition"))
    unavailable = (rolling or {}).get("maxUnavailable")
    if unavailable is not None:
        errors += validate_int_or_percent(unavailable, where.child("maxUnavailable"))
        if is_zero(unavailable):
            errors.append(invalid(where.child("maxUnavailable"), unavailable, "cannot be 0"))
        errors += at_most_whole(unavailable, where.child("maxUnavailable"))
    return errors


def validate_update(new: Object, old: Object) -> list[FieldError]:
    after, before = new.get("spec") or {}, old.get("spec") or {}
    keys = (after.keys() | before.keys()) - set(_MUTABLE)
    if all(after.get(key) == before.get(key) for key in keys):
        return []
    return [forbidden(Path("spec"), "updates to statefulset spec for fields other than 'replicas', 'ordinals', "
                      "'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' "
                      "and 'minReadySeconds' are forbidden")]


def validate_status(new: Object, old: Object) -> list[FieldError]:
    status, path = new.get("status") or {}, Path("status")
    errors = all_not_negative(status, _COUNTS, path)
    errors += not_above(status, _COUNTS[1:], ("replicas", "status.replicas"), path)
    return errors + not_above(status, ("availableReplicas",), ("readyReplicas", "status.readyReplicas"), path)


STATEFUL_SET = Kind(
    resource=STATEFUL_SETS,
    definition="io.k8s.api.apps.v1.StatefulSet",
    singular="statefulset",
    short_names=("sts",),
    categories=("all",),
    default=default,
    prepare_create=counting_from_zero(create_with_generation, *_COUNTED),
    prepare_update=update_with_generation,
    validate=validate,
    validate_update=validate_update,
    warnings=workloads.stateful_set,
    columns=(
        NAME,
        Column("Ready", "string", ready_text, "Number of the pod with ready state"),
        AGE,
        *template_columns(None, "spec", "template", "spec"),
    ),
    subresources={
        **status_subresource(validate_status, default=_default_status), **scale_subresource(query_of_selector),
    },
)
