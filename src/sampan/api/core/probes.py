"""Rules of probes and lifecycle hooks: exactly one way to act, and numbers that make sense."""

from __future__ import annotations

from typing import Any

from sampan.api.counts import not_negative
from sampan.apimachinery.field import FieldError, Path, forbidden, invalid, not_supported, required
from sampan.apimachinery.names import http_header_name, port_name, port_number
from sampan.apimachinery.object import Object

_PROBE_ACTIONS = ("exec", "httpGet", "tcpSocket", "grpc")
_HOOK_ACTIONS = ("exec", "httpGet", "tcpSocket", "sleep")
_COUNTS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")
_SCHEMES = ("HTTP", "HTTPS")


def validate_lifecycle(lifecycle: Object | None, path: Path, grace_period_s: int) -> list[FieldError]:
    errors: list[FieldError] = []
    for name in ("postStart", "preStop"):
        hook = (lifecycle or {}).get(name)
        if hook is not None:
            errors += _action(hook, path.child(name), _HOOK_ACTIONS, grace_period_s)
    return errors


def validate_probes(container: Object, path: Path, grace_period_s: int) -> list[FieldError]:
    """Liveness, readiness and startup: only readiness may ask for more than one success."""
    errors: list[FieldError] = []
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe, where = container.get(name), path.child(name)
        if probe is None:
            continue
        errors += _probe(probe, where, grace_period_s)
        grace = probe.get("terminationGracePeriodSeconds")
        if name == "readinessProbe":
            if grace is not None:
                errors.append(invalid(where.child("terminationGracePeriodSeconds"), grace,
                                      "must not be set for readinessProbes"))
        elif probe.get("successThreshold") not in (None, 1):
            errors.append(invalid(where.child("successThreshold"), probe["successThreshold"], "must be 1"))
    return errors


def _probe(probe: Object, path: Path, grace_period_s: int) -> list[FieldError]:
    errors = _action(probe, path, _PROBE_ACTIONS, grace_period_s)
    for key in _COUNTS:
        errors += not_negative(probe.get(key), path.child(key))
    grace = probe.get("terminationGracePeriodSeconds")
    if grace is not None and grace <= 0:
        errors.append(invalid(path.child("terminationGracePeriodSeconds"), grace, "must be greater than 0"))
    return errors


def _action(handler: Object, path: Path, actions: tuple[str, ...], grace_period_s: int) -> list[FieldError]:
    errors: list[FieldError] = []
    chosen = 0
    for name in actions:
        action = handler.get(name)
        if action is None:
            continue
        if chosen:
            errors.append(forbidden(path.child(name), "may not specify more than 1 handler type"))
            continue
        chosen += 1
        errors += _one(name, action, path.child(name), grace_period_s)
    if not chosen:
        errors.append(required(path, "must specify a handler type"))
    return errors


def _one(name: str, action: Object, path: Path, grace_period_s: int) -> list[FieldError]:
    if name == "exec":
        return [] if action.get("command") else [required(path.child("command"))]
    if name == "httpGet":
        return _http_get(action, path)
    if name == "tcpSocket":
        return validate_port_reference(action.get("port"), path.child("port"))
    if name == "grpc":
        port = action.get("port") or 0
        return [invalid(path.child("port"), port, why) for why in port_number(port)]
    seconds = action.get("seconds") or 0
    if 0 <= seconds <= grace_period_s:
        return []
    return [invalid(path, seconds, "must be non-negative and less than terminationGracePeriodSeconds "
                                   f"({grace_period_s})")]


def _http_get(action: Object, path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    if not action.get("path"):
        errors.append(required(path.child("path")))
    errors += validate_port_reference(action.get("port"), path.child("port"))
    if action.get("scheme") not in _SCHEMES:
        errors.append(not_supported(path.child("scheme"), action.get("scheme", ""), _SCHEMES))
    for header in action.get("httpHeaders") or []:
        name = header.get("name", "")
        errors += [invalid(path.child("httpHeaders"), name, why) for why in http_header_name(name)]
    return errors


def validate_port_reference(port: Any, path: Path) -> list[FieldError]:
    """A number or the name of a port."""
    if isinstance(port, str):
        return [invalid(path, port, why) for why in port_name(port)]
    number = port or 0
    return [invalid(path, number, why) for why in port_number(number)]
