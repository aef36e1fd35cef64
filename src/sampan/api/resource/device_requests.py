"""The devices that a claim asks for: what ResourceClaim and ResourceClaimTemplate share."""

from __future__ import annotations

from sampan.api.strategy import setdefault
from sampan.apimachinery.field import FieldError, Path, duplicate, invalid, not_supported, required, too_long
from sampan.apimachinery.names import dns1123_label, dns1123_subdomain
from sampan.apimachinery.object import Object

MAX_REQUESTS = 32
MAX_DRIVER_NAME = 63
_MODES = ("All", "ExactCount")


def default_claim(spec: Object) -> None:
    """Every request asks for exactly one device unless it says otherwise."""
    for request in (spec.get("devices") or {}).get("requests") or []:
        for one in (request.get("exactly"), *(request.get("firstAvailable") or ())):
            if isinstance(one, dict):
                _default_request(one)


def _default_request(request: Object) -> None:
    if not request.get("allocationMode"):
        request["allocationMode"] = "ExactCount"
    if request["allocationMode"] == "ExactCount" and not request.get("count"):
        request["count"] = 1
    for toleration in request.get("tolerations") or []:
        setdefault(toleration, "operator", "Equal")


def validate_claim(spec: Object, path: Path) -> list[FieldError]:
    """The requests have names of their own, and each says what it wants."""
    requests, at = (spec.get("devices") or {}).get("requests") or [], path.child("devices", "requests")
    errors: list[FieldError] = []
    if len(requests) > MAX_REQUESTS:
        errors.append(invalid(at, len(requests), f"must have at most {MAX_REQUESTS} items"))
    seen: set[str] = set()
    for position, request in enumerate(requests):
        here, name = at.index(position), request.get("name") or ""
        errors += _name(name, here)
        if name in seen:
            errors.append(duplicate(here.child("name"), name))
        seen.add(name)
        exactly, alternatives = request.get("exactly"), request.get("firstAvailable") or []
        if (exactly is None) == (not alternatives):
            errors.append(invalid(here, request, "exactly one of `exactly` or `firstAvailable` is required"))
        if exactly is not None:
            errors += _wanted(exactly, here.child("exactly"))
        for number, one in enumerate(alternatives):
            below = here.child("firstAvailable").index(number)
            errors += _name(one.get("name") or "", below) + _wanted(one, below)
    return errors + _constraints(spec.get("devices") or {}, path.child("devices"))


def driver_name(name: str, path: Path) -> list[FieldError]:
    """Drivers are called by a domain of at most 63 characters."""
    if not name:
        return [required(path)]
    if len(name) > MAX_DRIVER_NAME:
        return [too_long(path, MAX_DRIVER_NAME)]
    return [invalid(path, name, why) for why in dns1123_subdomain(name)]


def _constraints(devices: Object, path: Path) -> list[FieldError]:
    """What constraints and configurations are about are requests that there are."""
    errors: list[FieldError] = []
    names = {name for request in devices.get("requests") or [] for name in _names(request)}
    for key in ("constraints", "config"):
        for position, entry in enumerate(devices.get(key) or []):
            here = path.child(key).index(position)
            for place, name in enumerate(entry.get("requests") or []):
                if name not in names:
                    why = "must be the name of a request in the claim or the name of a request and a subrequest " \
                          "separated by '/'"
                    errors.append(invalid(here.child("requests").index(place), name, why))
            attribute = entry.get("matchAttribute")
            if key == "constraints" and attribute is not None and "/" not in attribute:
                errors.append(invalid(here.child("matchAttribute"), attribute, "must include domain"))
            if key == "config":
                driver = (entry.get("opaque") or {}).get("driver") or ""
                errors += driver_name(driver, here.child("opaque", "driver"))
    return errors


def _names(request: Object) -> list[str]:
    name = str(request.get("name") or "")
    return [name, *(f"{name}/{one.get('name')}" for one in request.get("firstAvailable") or ())]


def _name(name: str, path: Path) -> list[FieldError]:
    if not name:
        return [required(path.child("name"))]
    return [invalid(path.child("name"), name, why) for why in dns1123_label(name)]


def _wanted(request: Object, path: Path) -> list[FieldError]:
    device_class, mode, count = (request.get(key) for key in ("deviceClassName", "allocationMode", "count"))
    errors: list[FieldError] = []
    if not device_class:
        errors.append(required(path.child("deviceClassName")))
    else:
        errors += [invalid(path.child("deviceClassName"), device_class, why) for why in dns1123_subdomain(device_class)]
    if mode not in (None, *_MODES):
        errors.append(not_supported(path.child("allocationMode"), mode, _MODES))
    elif mode == "All" and count:
        errors.append(invalid(path.child("count"), count, "must not be specified when allocationMode is 'All'"))
    elif mode == "ExactCount" and count is not None and count <= 0:
        errors.append(invalid(path.child("count"), count, "must be greater than zero"))
    for position, selector in enumerate(request.get("selectors") or []):
        if not (selector.get("cel") or {}).get("expression"):
            errors.append(required(path.child("selectors").index(position).child("cel", "expression")))
    return errors
