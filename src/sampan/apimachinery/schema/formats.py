"""The string formats that a custom resource's schema may name; an unknown format is not checked, as upstream has it."""

from __future__ import annotations

import base64
import ipaddress
import json
import re
from collections.abc import Callable
from datetime import date
from typing import Final
from urllib.parse import urlsplit

from sampan.apimachinery import names
from sampan.apimachinery.duration import parse_time

_UUID: Final = r"(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?%s[0-9a-f]{3}-?%s[0-9a-f]{3}-?[0-9a-f]{12}"
_ANY: Final = _UUID % ("[0-9a-f]", "[0-9a-f]")
_EMAIL: Final = re.compile(r"[^@\s<>\"]+@[^@\s<>\"]+")
_DURATION: Final = re.compile(r"([0-9]+(\.[0-9]+)?\s*[a-zµμ]+)+")
_HOSTNAME_LABEL: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


def _tried(parse: Callable[[str], object]) -> Callable[[str], bool]:
    def check(value: str) -> bool:
        try:
            parse(value)
        except (ValueError, RecursionError):
            return False
        return True

    return check


def _matches(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern)
    return lambda value: compiled.fullmatch(value) is not None


def _uri(value: str) -> bool:
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return bool(parts.scheme) or value.startswith("/")


def _hostname(value: str) -> bool:
    return 0 < len(value) <= 255 and all(_HOSTNAME_LABEL.fullmatch(part) for part in value.rstrip(".").split("."))


def _base64(value: str) -> bytes:
    return base64.b64decode(value, validate=True)


FORMATS: Final[dict[str, Callable[[str], bool]]] = {
    "date": _tried(date.fromisoformat), "date-time": _tried(parse_time), "datetime": _tried(parse_time),
    "duration": lambda value: _DURATION.fullmatch(value.strip()) is not None,
    "byte": _tried(_base64), "ipv4": _tried(ipaddress.IPv4Address), "ipv6": _tried(ipaddress.IPv6Address),
    "ip": _tried(ipaddress.ip_address), "cidr": _tried(lambda v: ipaddress.ip_network(v, strict=False)),
    "uri": _uri, "hostname": _hostname, "email": lambda value: _EMAIL.fullmatch(value) is not None,
    "mac": _matches(r"([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}"),
    "uuid": _matches(_ANY), "uuid3": _matches(_UUID % ("3", "[0-9a-f]")),
    "uuid4": _matches(_UUID % ("4", "[89ab]")), "uuid5": _matches(_UUID % ("5", "[89ab]")),
    "hexcolor": _matches(r"#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})"), "json": _tried(json.loads),
    "rgbcolor": _matches(r"rgb\(\s*\d{1,3}\s*,\s*\d{1,3}\s*,\s*\d{1,3}\s*\)"),
    "bsonobjectid": _matches("[0-9a-fA-F]{24}"),
    "isbn": lambda v: FORMATS["isbn10"](v) or FORMATS["isbn13"](v),
    "isbn10": _matches(r"(\d[- ]?){9}[\dX]"), "isbn13": _matches(r"(\d[- ]?){12}\d"),
    "creditcard": _matches(r"\d{13,19}"), "ssn": _matches(r"\d{3}[- ]?\d{2}[- ]?\d{4}"),
    "k8s-short-name": lambda value: not names.dns1123_label(value),
    "k8s-long-name": lambda value: not names.dns1123_subdomain(value),
}
