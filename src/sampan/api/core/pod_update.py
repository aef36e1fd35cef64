"""What may change of a pod that exists: by an ordinary update, and through ephemeralcontainers, resize and binding.

An ordinary update may change images, shorten activeDeadlineSeconds, add tolerations, and remove scheduling gates (while
a pod is gated, its node selector and required node affinity may grow stricter). Everything else is settled at creation.
"""

from __future__ import annotations

import json
from typing import Any

from sampan.api.core.pod_spec import validate_pod_spec
from sampan.api.core.qos import qos_class
from sampan.apimachinery.field import FieldError, Path, forbidden, invalid
from sampan.apimachinery.object import Object, dig

MUTABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_MUTABLE_RESOURCES = ("cpu", "memory")
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def validate_pod_update(new: Object, old: Object) -> list[FieldError]:
    """An ordinary update."""
    after, before, path = new.get("spec") or {}, old.get("spec") or {}, Path("spec")
    errors: list[FieldError] = []
    for key in ("containers", "initContainers"):
        if len(after.get(key) or []) != len(before.get(key) or []):
            return [forbidden(path.child(key), "pod updates may not add or remove containers")]
    errors += _deadline(after.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds"), path)
    errors += _tolerations(after.get("tolerations") or [], before.get("tolerations") or [], path.child("tolerations"))
    errors += _gates(after, before, path)
    munged = _munged(after, before)
    if munged != before:
        errors.append(forbidden(path, f"{MUTABLE}\n{_difference(munged, before)}"))
    return errors


def _deadline(new: int | None, old: int | None, path: Path) -> list[FieldError]:
    where = path.child("activeDeadlineSeconds")
    if new is None:
        return [] if old is None else [invalid(where, None, "must not update from a positive integer to nil value")]
    if old is not None and new > old:
        return [invalid(where, new, "must be less than or equal to previous value")]
    return []


def _tolerations(new: list[Object], old: list[Object], path: Path) -> list[FieldError]:
    """Each old toleration is still there; only its `tolerationSeconds` may differ."""
    kept = [{**toleration, "tolerationSeconds": None} for toleration in new]
    if all({**toleration, "tolerationSeconds": None} in kept for toleration in old):
        return []
    return [forbidden(path, "existing toleration can not be modified except its tolerationSeconds")]


def _gates(new: Object, old: Object, path: Path) -> list[FieldError]:
    before = {gate.get("name") for gate in old.get("schedulingGates") or []}
    return [forbidden(path.child("schedulingGates").index(position),
                      f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'")
            for position, gate in enumerate(new.get("schedulingGates") or []) if gate.get("name") not in before]


def _munged(new: Object, old: Object) -> Object:
    """The new spec with everything that may change set to its old value."""
    munged = dict(new)
    for key in ("containers", "initContainers"):
        if new.get(key):
            munged[key] = [_with(container, before, "image")
                           for container, before in zip(new[key], old.get(key) or [], strict=False)]
    for key in ("activeDeadlineSeconds", "tolerations", "schedulingGates"):
        munged = _with(munged, old, key)
    grace = old.get("terminationGracePeriodSeconds")
    if grace is not None and grace < 0 and new.get("terminationGracePeriodSeconds") == 1:
        munged["terminationGracePeriodSeconds"] = grace
    if old.get("schedulingGates"):
        _relax_gated(munged, new, old)
    return munged


def _relax_gated(munged: Object, new: Object, old: Object) -> None:
    """A gated pod is not placed yet: its constraints may become stricter."""
    selector, before = new.get("nodeSelector") or {}, old.get("nodeSelector") or {}
    if all(selector.get(key) == value for key, value in before.items()):
        munged.update(_with(munged, old, "nodeSelector"))
        if "nodeSelector" not in old:
            munged.pop("nodeSelector", None)
    if _stricter(dig(new, "affinity", "nodeAffinity", _REQUIRED), dig(old, "affinity", "nodeAffinity", _REQUIRED)):
        affinity = dict(new.get("affinity") or {})
        node = dict(affinity.get("nodeAffinity") or {})
        node = _with(node, dig(old, "affinity", "nodeAffinity", default={}), _REQUIRED)
        affinity["nodeAffinity"] = node
        if dig(old, "affinity", "nodeAffinity") is None and not node:
            affinity.pop("nodeAffinity")
        if affinity or old.get("affinity") is not None:
            munged["affinity"] = affinity
        else:
            munged.pop("affinity", None)


def _stricter(new: Object | None, old: Object | None) -> bool:
    """Whether the new node selector only adds expressions to each of the old terms."""
    if old is None:
        return True
    after, before = (new or {}).get("nodeSelectorTerms") or [], old.get("nodeSelectorTerms") or []
    if len(after) != len(before):
        return False
    return all(
        rule in (grown.get(key) or [])
        for grown, term in zip(after, before, strict=True)
        for key in ("matchExpressions", "matchFields")
        for rule in term.get(key) or []
    )


def _with(part: Object, source: Object, key: str) -> Object:
    """`part` with the value that `source` has at `key`, or without it."""
    if key in source:
        return {**part, key: source[key]}
    return {name: value for name, value in part.items() if name != key}


def _difference(new: Object, old: Object) -> str:
    """What differs, a line for each field, as far down as both are maps or lists of one length."""
    return "\n".join(_lines(new, old, ""))


def _lines(new: Any, old: Any, where: str) -> list[str]:
    if new == old:
        return []
    if isinstance(new, dict) and isinstance(old, dict):
        return [line for key in sorted(new.keys() | old.keys())
                for line in _lines(new.get(key), old.get(key), f"{where}.{key}" if where else key)]
    if isinstance(new, list) and isinstance(old, list) and len(new) == len(old):
        return [line for position, (left, right) in enumerate(zip(new, old, strict=True))
                for line in _lines(left, right, f"{where}[{position}]")]
    lines = [] if old is None else [f"- \t{where}: {json.dumps(old, ensure_ascii=False)},"]
    return lines if new is None else [*lines, f"+ \t{where}: {json.dumps(new, ensure_ascii=False)},"]


def prepare_ephemeral(new: Object, old: Object) -> None:
    """Through `ephemeralcontainers` only the list of ephemeral containers changes."""
    containers = dig(new, "spec", "ephemeralContainers")
    new["spec"] = _with(old.get("spec") or {}, {} if containers is None else {"ephemeralContainers": containers},
                        "ephemeralContainers")
    _keep_rest(new, old)


def validate_ephemeral_update(new: Object, old: Object) -> list[FieldError]:
    path = Path("spec").child("ephemeralContainers")
    errors = validate_pod_spec(new.get("spec") or {}, Path("spec"))
    after = {container.get("name"): container for container in dig(new, "spec", "ephemeralContainers", default=())}
    for container in dig(old, "spec", "ephemeralContainers", default=()):
        name = container.get("name", "")
        if name not in after:
            errors.append(forbidden(path, f"existing ephemeral containers {json.dumps(name)} may not be removed\n"))
        elif after[name] != container:
            errors.append(forbidden(path, f"existing ephemeral containers {json.dumps(name)} may not be changed\n"))
    return errors


def prepare_resize(new: Object, old: Object) -> None:
    """Through `resize` only the resources of containers change."""
    after, spec = new.get("spec") or {}, dict(old.get("spec") or {})
    for key in ("containers", "initContainers"):
        given = {container.get("name"): container for container in after.get(key) or []}
        if spec.get(key):
            spec[key] = [_resized(container, given.get(container.get("name"))) for container in spec[key]]
    new["spec"] = spec
    _keep_rest(new, old)


def _resized(container: Object, given: Object | None) -> Object:
    if given is None:
        return container
    for key in ("resources", "resizePolicy"):
        container = _with(container, given, key)
    return container


def _keep_rest(new: Object, old: Object) -> None:
    """Neither status nor metadata change here, but the resourceVersion that the client expects stays."""
    version = dig(new, "metadata", "resourceVersion")
    metadata = dict(old.get("metadata") or {})
    for key in ("managedFields",):
        if dig(new, "metadata", key) is not None:
            metadata[key] = new["metadata"][key]
    if version:
        metadata["resourceVersion"] = version
    if new.get("spec") != old.get("spec"):
        metadata["generation"] = (metadata.get("generation") or 0) + 1
    new["metadata"] = metadata
    new["status"] = old.get("status") or {}


def validate_resize(new: Object, old: Object) -> list[FieldError]:
    """Only cpu and memory may change, and never so that the quality of service class does."""
    path = Path("spec")
    errors = validate_pod_spec(new.get("spec") or {}, path)
    if qos_class(new) != qos_class(old):
        errors.append(invalid(path, qos_class(new), "Pod QOS Class may not change as a result of resizing"))
    for key in ("containers", "initContainers"):
        before = {container.get("name"): container for container in dig(old, "spec", key, default=())}
        for position, container in enumerate(dig(new, "spec", key, default=())):
            was = before.get(container.get("name")) or {}
            if _fixed(container) != _fixed(was):
                errors.append(forbidden(path.child(key).index(position).child("resources"),
                                        "only cpu and memory resources are mutable"))
    return errors


def _fixed(container: Object) -> Object:
    """The resources that cannot be resized."""
    resources = container.get("resources") or {}
    return {key: {name: value for name, value in (resources.get(key) or {}).items() if name not in _MUTABLE_RESOURCES}
            for key in ("limits", "requests")}


def prepare_status(new: Object, old: Object) -> None:
    """A status update changes neither spec nor owners nor the time of deletion."""
    new["spec"] = old.get("spec") or {}
    metadata, before = new.setdefault("metadata", {}), old.get("metadata") or {}
    for key in ("deletionTimestamp", "deletionGracePeriodSeconds", "ownerReferences", "generation"):
        if key in before:
            metadata[key] = before[key]
        else:
            metadata.pop(key, None)
    if dig(old, "status", "qosClass") and isinstance(new.get("status"), dict):
        new["status"]["qosClass"] = old["status"]["qosClass"]


def validate_status(new: Object, old: Object) -> list[FieldError]:
    """A terminated container of a pod that never restarts does not run again; the node that was nominated is a name."""
    policy = dig(old, "spec", "restartPolicy")
    if policy == "Always":
        return []
    errors: list[FieldError] = []
    after = {status.get("name"): status for status in dig(new, "status", "containerStatuses", default=())}
    rules = {container.get("name"): container for container in dig(new, "spec", "containers", default=())}
    for position, status in enumerate(dig(old, "status", "containerStatuses", default=())):
        ended, name = dig(status, "state", "terminated"), status.get("name")
        own = rules.get(name) or {}
        if ended is None or name not in after or own.get("restartPolicy") or own.get("restartPolicyRules"):
            continue
        if policy == "OnFailure" and ended.get("exitCode"):
            continue
        if dig(after[name], "state", "terminated") is None:
            path = Path("status").child("containerStatuses").index(position).child("state")
            errors.append(forbidden(path, "may not be transitioned to non-terminated state"))
    return errors
