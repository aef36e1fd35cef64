"""Rules of a pod's spec, for pods and pod templates alike; each part's rules are in its own file.

Most specs are seen many times: in a template, in what is made from it, at every update. One that was found valid lately
is known again by its digest, and its rules are not gone through a second time.
"""

from __future__ import annotations

import re
from typing import Final

import orjson

from sampan.api.core.containers import PodContext, validate_all_containers
from sampan.api.core.pod_dns import validate_dns, validate_host_aliases
from sampan.api.core.pod_security import validate_pod_security
from sampan.api.core.resource_lists import parse, validate_requirements
from sampan.api.core.scheduling_rules import (
    validate_affinity,
    validate_gates,
    validate_tolerations,
    validate_topology_spread,
)
from sampan.api.core.volumes import validate_volumes
from sampan.apimachinery.field import FieldError, Path, invalid, not_supported, required
from sampan.apimachinery.metadata import validate_labels
from sampan.apimachinery.names import dns1123_label, dns1123_subdomain
from sampan.apimachinery.object import Object
from sampan.apimachinery.recent import Digest, Recent, digest_of

_RESTART_POLICIES = ("Always", "Never", "OnFailure")
_PREEMPTION = ("Never", "PreemptLowerPriority")
_MAX_INT32 = 2**31 - 1
_VALID: Final[Recent[bool]] = Recent(1024)
_TOKEN_VOLUME: Final = re.compile(rb'"kube-api-access-[a-z0-9]{5}"')


def validate_pod_spec(spec: Object, path: Path) -> list[FieldError]:
    key = _digest(spec)
    if _VALID.get(key):
        return []
    errors = _validate(spec, path)
    if not errors:
        _VALID.put(key, True)
    return errors


def _digest(spec: Object) -> Digest:
    """Specs that differ in nothing but the random name of the token's volume are equally valid."""
    data = orjson.dumps(spec)
    found = _TOKEN_VOLUME.search(data)
    return digest_of(data if found is None else data.replace(found.group(), b'"*"'))


def _validate(spec: Object, path: Path) -> list[FieldError]:
    volumes = spec.get("volumes") or []
    pod = PodContext(
        volumes={volume.get("name", ""): volume for volume in volumes},
        claims=tuple(claim.get("name", "") for claim in spec.get("resourceClaims") or []),
        grace_period_s=_grace_period(spec),
        restart_policy=spec.get("restartPolicy") or "",
        host_network=bool(spec.get("hostNetwork")),
        host_users=spec.get("hostUsers") is not False,
    )
    errors = validate_volumes(volumes, path.child("volumes"))
    errors += validate_all_containers(spec, path, pod)
    errors += _restart_policy(spec.get("restartPolicy") or "", path.child("restartPolicy"))
    errors += validate_dns(spec, path)
    errors += validate_labels(spec.get("nodeSelector"), path.child("nodeSelector"))
    errors += validate_pod_security(spec, path)
    errors += [required(path.child("imagePullSecrets").index(position).child("name"))
               for position, secret in enumerate(spec.get("imagePullSecrets") or []) if not secret.get("name")]
    errors += validate_affinity(spec.get("affinity"), path.child("affinity"))
    errors += validate_gates(spec, path)
    errors += validate_topology_spread(spec.get("topologySpreadConstraints"), path.child("topologySpreadConstraints"))
    errors += _names(spec, path)
    errors += validate_tolerations(spec.get("tolerations"), path.child("tolerations"))
    errors += validate_host_aliases(spec.get("hostAliases"), path.child("hostAliases"))
    errors += validate_requirements(spec.get("resources"), path.child("resources"), pod.claims)
    return errors + _numbers(spec, path)


def _grace_period(spec: Object) -> int:
    seconds = spec.get("terminationGracePeriodSeconds")
    return 30 if seconds is None else int(seconds)


def _restart_policy(policy: str, path: Path) -> list[FieldError]:
    if not policy:
        return [required(path)]
    return [] if policy in _RESTART_POLICIES else [not_supported(path, policy, _RESTART_POLICIES)]


def _names(spec: Object, path: Path) -> list[FieldError]:
    """References by name; each must be able to name what it refers to."""
    errors: list[FieldError] = []
    checks = (
        ("serviceAccountName", dns1123_subdomain), ("nodeName", dns1123_subdomain), ("hostname", dns1123_label),
        ("subdomain", dns1123_label), ("priorityClassName", dns1123_subdomain),
        ("runtimeClassName", dns1123_subdomain),
    )
    for key, check in checks:
        value = spec.get(key)
        if value or (value == "" and key == "runtimeClassName"):
            errors += [invalid(path.child(key), value, why) for why in check(value)]
    return errors


def _numbers(spec: Object, path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= _MAX_INT32:
        errors.append(invalid(path.child("activeDeadlineSeconds"), deadline,
                              f"must be between 1 and {_MAX_INT32}, inclusive"))
    policy = spec.get("preemptionPolicy")
    if policy is not None and policy not in _PREEMPTION:
        errors.append(not_supported(path.child("preemptionPolicy"), policy, _PREEMPTION))
    for name, value in (spec.get("overhead") or {}).items():
        found = parse(value)
        if found is not None and found.sign() < 0:
            errors.append(invalid(path.child("overhead").key(name), str(found),
                                  "must be greater than or equal to 0"))
    system = (spec.get("os") or {}).get("name")
    if spec.get("os") is not None and not system:
        errors.append(required(path.child("os", "name"), "cannot be empty"))
    elif system and system not in ("linux", "windows"):
        errors.append(not_supported(path.child("os", "name"), system, ("linux", "windows")))
    return errors
