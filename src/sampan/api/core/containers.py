"""Rules of containers: regular, init (with sidecars) and ephemeral."""

from __future__ import annotations

from dataclasses import dataclass, field

from sampan.api.core.container_security import validate_container_security
from sampan.api.core.environment import validate_env, validate_env_from
from sampan.api.core.mounts import validate_devices, validate_mounts
from sampan.api.core.probes import validate_lifecycle, validate_probes
from sampan.api.core.resource_lists import validate_requirements, validate_resize_policy
from sampan.apimachinery.field import (
    FieldError,
    Path,
    duplicate,
    forbidden,
    invalid,
    not_found,
    not_supported,
    required,
)
from sampan.apimachinery.names import dns1123_label, port_name, port_number
from sampan.apimachinery.object import Object

_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_MESSAGE_POLICIES = ("FallbackToLogsOnError", "File")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_RESTART_POLICIES = ("Always", "Never", "OnFailure")
_NOT_FOR_EPHEMERAL = (
    "ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "resources", "resizePolicy",
    "restartPolicy", "restartPolicyRules",
)


@dataclass(frozen=True, slots=True)
class PodContext:
    """What a container's rules need to know of its pod."""

    volumes: dict[str, Object] = field(default_factory=dict)
    claims: tuple[str, ...] = ()
    grace_period_s: int = 30
    restart_policy: str = "Always"
    host_network: bool = False
    host_users: bool = True


def validate_all_containers(spec: Object, path: Path, pod: PodContext) -> list[FieldError]:
    """Names are unique over regular and init containers; ports of the host are unique in each list."""
    containers = spec.get("containers") or []
    errors: list[FieldError] = []
    if not containers:
        errors.append(required(path.child("containers")))
    names: set[str] = set()
    for position, container in enumerate(containers):
        where = path.child("containers").index(position)
        errors += _common(container, where, pod) + _running(container, where, pod)
        errors += _unique(container, where, names)
        errors += _restart_policy(container, where, _RESTART_POLICIES)
    errors += _host_port_conflicts(containers, path.child("containers"))
    for position, container in enumerate(spec.get("initContainers") or []):
        where = path.child("initContainers").index(position)
        errors += _common(container, where, pod)
        errors += _unique(container, where, names)
        errors += _restart_policy(container, where, _RESTART_POLICIES)
        if container.get("restartPolicy") == "Always":
            errors += _running(container, where, pod)
        else:
            errors += [forbidden(where.child(key), "may not be set for init containers without restartPolicy=Always")
                       for key in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe")
                       if container.get(key) is not None]
        errors += _host_port_conflicts([container], path.child("initContainers"), first=position)
    return errors + _ephemeral(spec, path.child("ephemeralContainers"), names, pod)


def _unique(container: Object, path: Path, names: set[str]) -> list[FieldError]:
    name = container.get("name") or ""
    if not name:
        return []
    if name in names:
        return [duplicate(path.child("name"), name)]
    names.add(name)
    return []


def _restart_policy(container: Object, path: Path, allowed: tuple[str, ...]) -> list[FieldError]:
    policy = container.get("restartPolicy")
    if policy is None or policy in allowed:
        return []
    return [not_supported(path.child("restartPolicy"), policy, allowed)]


def _common(container: Object, path: Path, pod: PodContext) -> list[FieldError]:
    """What holds for every container."""
    errors: list[FieldError] = []
    name, image = container.get("name") or "", container.get("image") or ""
    if not name:
        errors.append(required(path.child("name")))
    else:
        errors += [invalid(path.child("name"), name, why) for why in dns1123_label(name)]
    if not image:
        errors.append(required(path.child("image")))
    elif image != image.strip():
        errors.append(invalid(path.child("image"), image, "must not have leading or trailing whitespace"))
    for key, allowed in (("terminationMessagePolicy", _MESSAGE_POLICIES), ("imagePullPolicy", _PULL_POLICIES)):
        value = container.get(key)
        if not value:
            errors.append(required(path.child(key)))
        elif value not in allowed:
            errors.append(not_supported(path.child(key), value, allowed))
    errors += _ports(container.get("ports") or [], path.child("ports"), pod.host_network)
    errors += validate_env(container.get("env"), path.child("env"))
    errors += validate_env_from(container.get("envFrom"), path.child("envFrom"))
    errors += validate_mounts(container, pod.volumes, path.child("volumeMounts"))
    errors += validate_devices(container, pod.volumes, path.child("volumeDevices"))
    errors += validate_requirements(container.get("resources"), path.child("resources"), pod.claims)
    errors += validate_resize_policy(container.get("resizePolicy"), path.child("resizePolicy"), pod.restart_policy)
    return errors + validate_container_security(container.get("securityContext"), path.child("securityContext"),
                                                pod.host_users)


def _running(container: Object, path: Path, pod: PodContext) -> list[FieldError]:
    """What holds for containers that run as long as the pod does."""
    errors = validate_lifecycle(container.get("lifecycle"), path.child("lifecycle"), pod.grace_period_s)
    return errors + validate_probes(container, path, pod.grace_period_s)


def _ports(ports: list[Object], path: Path, host_network: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    names: set[str] = set()
    for position, port in enumerate(ports):
        where, name = path.index(position), port.get("name") or ""
        number, host, protocol = port.get("containerPort") or 0, port.get("hostPort") or 0, port.get("protocol") or ""
        if name:
            wrong = port_name(name)
            errors += [invalid(where.child("name"), name, why) for why in wrong]
            if not wrong and name in names:
                errors.append(duplicate(where.child("name"), name))
            names.add(name)
        if not number:
            errors.append(required(where.child("containerPort")))
        else:
            errors += [invalid(where.child("containerPort"), number, why) for why in port_number(number)]
        if host:
            errors += [invalid(where.child("hostPort"), host, why) for why in port_number(host)]
            if host_network and host != number:
                errors.append(invalid(where.child("hostPort"), host,
                                      "must match `containerPort` when `hostNetwork` is true"))
        if not protocol:
            errors.append(required(where.child("protocol")))
        elif protocol not in _PROTOCOLS:
            errors.append(not_supported(where.child("protocol"), protocol, _PROTOCOLS))
    return errors


def _host_port_conflicts(containers: list[Object], path: Path, first: int = 0) -> list[FieldError]:
    errors: list[FieldError] = []
    used: set[str] = set()
    for position, container in enumerate(containers, first):
        for place, port in enumerate(container.get("ports") or []):
            if not port.get("hostPort"):
                continue
            key = f"{port.get('protocol', '')}/{port.get('hostIP') or ''}/{port['hostPort']}"
            if key in used:
                errors.append(duplicate(path.index(position).child("ports").index(place).child("hostPort"), key))
            used.add(key)
    return errors


def _ephemeral(spec: Object, path: Path, names: set[str], pod: PodContext) -> list[FieldError]:
    errors: list[FieldError] = []
    targets = {container.get("name") for key in ("containers", "initContainers") for container in spec.get(key) or []}
    for position, container in enumerate(spec.get("ephemeralContainers") or []):
        where, target = path.index(position), container.get("targetContainerName") or ""
        errors += _common(container, where, pod)
        errors += _unique(container, where, names)
        if target and target not in targets:
            errors.append(not_found(where.child("targetContainerName"), target))
        errors += [forbidden(where.child(key), "cannot be set for an Ephemeral Container")
                   for key in _NOT_FOR_EPHEMERAL if container.get(key)]
        errors += [forbidden(where.child("volumeMounts").index(place).child(key),
                             "cannot be set for an Ephemeral Container")
                   for place, mount in enumerate(container.get("volumeMounts") or [])
                   for key in ("subPath", "subPathExpr") if mount.get(key)]
    return errors
