"""The shapes of names, in upstream's words (k8s.io/apimachinery/pkg/util/validation).

Each function takes a value and returns the list of what is wrong with it, empty if nothing is. The texts are those a
user of Kubernetes knows; a caller puts them behind a field path (`sampan.apimachinery.field.invalid`).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final, TypeAlias

NameCheck: TypeAlias = Callable[[str], list[str]]
"""A value in, what is wrong with it out."""

_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = f"({_QUALIFIED})?"
_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_UNDERSCORED_LABEL = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_DNS1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_WILDCARD = rf"\*\.{_SUBDOMAIN}"
_IDENTIFIER = "[A-Za-z_][A-Za-z0-9_]*"
_PERCENT = "[0-9]+%"
_HEADER = "[-A-Za-z0-9]+"
_ENV = "[-._a-zA-Z][-._a-zA-Z0-9]*"
_CONFIG_KEY = "[-._a-zA-Z0-9]+"
_HTTP_PATH = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"

# A subdomain is checked label by label: the nested pattern above could backtrack for a very long time.
_LABEL_RE = re.compile(_LABEL)
_QUALIFIED_RE = re.compile(_QUALIFIED)
_DNS1035_RE = re.compile(_DNS1035)
_ENV_NAME_RE = re.compile("[ -<>-~]+")
_LONGEST_QUALIFIED: Final = 253 + 1 + 63
_LONGEST_IP: Final = 45

_LABEL_WORDS: Final = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character"
)
_SUBDOMAIN_WORDS: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character"
)
_UNDERSCORED_WORDS: Final = _SUBDOMAIN_WORDS.replace("characters, '-'", "characters, '_', '-'")
_DNS1035_WORDS: Final = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character"
)
_WILDCARD_WORDS: Final = (
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of "
    "lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character"
)
_QUALIFIED_WORDS: Final = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
)
_LABEL_VALUE_WORDS: Final = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character"
)
EMPTY: Final = "must be non-empty"

_LINK_MULTICAST = (ipaddress.ip_network("224.0.0.0/24"), ipaddress.ip_network("ff02::/16"))


def too_long(limit: int) -> str:
    return f"must be no more than {limit} bytes"


def not_in_range(low: int, high: int) -> str:
    return f"must be between {low} and {high}, inclusive"


def pattern_message(words: str, pattern: str, *examples: str) -> str:
    """`words (e.g. 'a',  or 'b', regex used for validation is 'pattern')`, spaces as upstream has them."""
    if not examples:
        return f"{words} (regex used for validation is '{pattern}')"
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"{words} (e.g. {shown}regex used for validation is '{pattern}')"


def _size(value: str) -> int:
    return len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))


def dns1123_label(value: str) -> list[str]:
    errors = [too_long(63)] if _size(value) > 63 else []
    if not _LABEL_RE.fullmatch(value):
        errors.append(pattern_message(_LABEL_WORDS, _LABEL, "my-name", "123-abc"))
    return errors


def dns1123_subdomain(value: str) -> list[str]:
    errors = [too_long(253)] if _size(value) > 253 else []
    if not _is_subdomain(value):
        errors.append(pattern_message(_SUBDOMAIN_WORDS, _SUBDOMAIN, "example.com"))
    return errors


def dns1123_subdomain_with_underscore(value: str) -> list[str]:
    errors = [too_long(253)] if _size(value) > 253 else []
    if not all(re.fullmatch(_UNDERSCORED_LABEL, label) for label in value.split(".")):
        errors.append(pattern_message(_UNDERSCORED_WORDS, _SUBDOMAIN, "example.com"))
    return errors


def wildcard_dns1123_subdomain(value: str) -> list[str]:
    errors = [too_long(253)] if _size(value) > 253 else []
    if not (value.startswith("*.") and _is_subdomain(value[2:])):
        errors.append(pattern_message(_WILDCARD_WORDS, _WILDCARD, "*.example.com"))
    return errors


def dns1035_label(value: str) -> list[str]:
    errors = [too_long(63)] if _size(value) > 63 else []
    if not _DNS1035_RE.fullmatch(value):
        errors.append(pattern_message(_DNS1035_WORDS, _DNS1035, "my-name", "abc-123"))
    return errors


def qualified_name(value: str) -> list[str]:
    """A label or annotation key, a resource name: `name` or `dns.subdomain/name`."""
    return [] if len(value) <= _LONGEST_QUALIFIED and _is_qualified(value) else _unqualified(value)


@lru_cache(maxsize=2048)
def _is_qualified(value: str) -> bool:
    """The same few keys come again and again."""
    return not _unqualified(value)


def _unqualified(value: str) -> list[str]:
    message = pattern_message(_QUALIFIED_WORDS, _QUALIFIED, "MyName", "my.name", "123-abc")
    parts = value.split("/")
    if len(parts) > 2:
        return [
            f"a qualified name {message} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        ]
    errors: list[str] = []
    if len(parts) == 2:
        wrong = dns1123_subdomain(parts[0]) if parts[0] else [EMPTY]
        errors += [f"prefix part {text}" for text in wrong]
    name = parts[-1]
    if not name:
        errors.append(f"name part {EMPTY}")
    elif _size(name) > 63:
        errors.append(f"name part {too_long(63)}")
    if not _QUALIFIED_RE.fullmatch(name):
        errors.append(f"name part {message}")
    return errors


def label_value(value: str) -> list[str]:
    errors = [too_long(63)] if _size(value) > 63 else []
    if value and not _QUALIFIED_RE.fullmatch(value):
        errors.append(pattern_message(_LABEL_VALUE_WORDS, _LABEL_VALUE, "MyValue", "my_value", "12345"))
    return errors


def c_identifier(value: str) -> list[str]:
    if re.fullmatch(_IDENTIFIER, value):
        return []
    words = (
        "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric "
        "characters or '_'"
    )
    return [pattern_message(words, _IDENTIFIER, "my_name", "MY_NAME", "MyName")]


def port_number(value: int) -> list[str]:
    return in_range(value, 1, 65535)


def in_range(value: int, low: int, high: int) -> list[str]:
    return [] if low <= value <= high else [not_in_range(low, high)]


def user_id(value: int) -> list[str]:
    """A UID or a GID."""
    return in_range(value, 0, 2**31 - 1)


def port_name(value: str) -> list[str]:
    """An IANA service name (RFC 6335), lower case only."""
    errors = [too_long(15)] if _size(value) > 15 else []
    if not re.fullmatch("[-a-z0-9]+", value):
        errors.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", value):
        errors.append("must contain at least one letter (a-z)")
    if "--" in value:
        errors.append("must not contain consecutive hyphens")
    if value.startswith("-") or value.endswith("-"):
        errors.append("must not begin or end with a hyphen")
    return errors


def env_name(value: str) -> list[str]:
    """An environment variable's name: printable ASCII without `=` (the relaxed rule, in force since 1.34)."""
    if not value:
        return [f"environment variable name {EMPTY}"]
    if _ENV_NAME_RE.fullmatch(value):
        return []
    return ["a valid environment variable name must consist only of printable ASCII characters other than '='"]


def strict_env_name(value: str) -> list[str]:
    """The rule before 1.34, still in force for the keys that `envFrom` turns into variables."""
    errors: list[str] = []
    if not re.fullmatch(_ENV, value):
        words = (
            "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and "
            "must not start with a digit"
        )
        errors.append(pattern_message(words, _ENV, "my.env-name", "MY_ENV.NAME", "MyEnvName1"))
    return errors + _parent_directory(value)


def config_map_key(value: str) -> list[str]:
    """A key of a ConfigMap or a Secret."""
    errors = [too_long(253)] if _size(value) > 253 else []
    if not re.fullmatch(_CONFIG_KEY, value):
        words = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
        errors.append(pattern_message(words, _CONFIG_KEY, "key.name", "KEY_NAME", "key-name"))
    return errors + _parent_directory(value)


def percent(value: str) -> list[str]:
    if re.fullmatch(_PERCENT, value):
        return []
    words = "a valid percent string must be a numeric string followed by an ending '%'"
    return [pattern_message(words, _PERCENT, "1%", "93%")]


def http_header_name(value: str) -> list[str]:
    if re.fullmatch(_HEADER, value):
        return []
    words = "a valid HTTP header must consist of alphanumeric characters or '-'"
    return [pattern_message(words, _HEADER, "X-Header-Name")]


def ip_address(value: str) -> list[str]:
    if _parsed_ip(value) is not None:
        return []
    return ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]


def endpoint_address(value: str) -> list[str]:
    """Where traffic may be sent to: not where each machine only finds itself, or its neighbours on the link."""
    return [] if len(value) <= _LONGEST_IP and _is_endpoint_address(value) else _unreachable(value)


@lru_cache(maxsize=4096)
def _is_endpoint_address(value: str) -> bool:
    """All endpoints of a Service are looked at whenever one of them changes."""
    return not _unreachable(value)


def _unreachable(value: str) -> list[str]:
    parsed = _parsed_ip(value)
    if parsed is None:
        return ip_address(value)
    special = (
        (parsed.is_unspecified, f"may not be unspecified ({value})"),
        (parsed.is_loopback, "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        (parsed.is_link_local, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
        (any(parsed in found for found in _LINK_MULTICAST if found.version == parsed.version),
         "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
    )
    return [why for found, why in special if found]


def ipv4_address(value: str) -> list[str]:
    return [] if isinstance(_parsed_ip(value), ipaddress.IPv4Address) else ["must be a valid IPv4 address"]


def ipv6_address(value: str) -> list[str]:
    return [] if isinstance(_parsed_ip(value), ipaddress.IPv6Address) else ["must be a valid IPv6 address"]


def cidr(value: str) -> list[str]:
    address, slash, length = value.partition("/")
    parsed = _parsed_ip(address)
    if parsed is not None and slash and re.fullmatch("[0-9]{1,3}", length) and int(length) <= parsed.max_prefixlen:
        return []
    return ["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"]


def path_segment_name(value: str) -> list[str]:
    """A name that is only required to fit into a URL path, as those of RBAC objects."""
    if value in (".", ".."):
        return [f"may not be '{value}'"]
    return path_segment_prefix(value)


def path_segment_prefix(value: str) -> list[str]:
    return [f"may not contain '{char}'" for char in "/%" if char in value]


def fully_qualified_domain_name(value: str) -> list[str]:
    """Two labels at least; a dot at the end is allowed."""
    name = value.removesuffix(".")
    if wrong := dns1123_subdomain(name):
        return [",".join(wrong)]
    if "." not in name:
        return ["should be a domain with at least two segments separated by dots"]
    for label in name.split("."):
        if wrong := dns1123_label(label):
            return [",".join(wrong)]
    return []


def domain_prefixed_path(value: str) -> list[str]:
    """`acme.io/foo`, as the names of controllers and finalizers of Ingress classes."""
    host, _, path = value.partition("/")
    if not host or not path:
        return ['must be a domain-prefixed path (such as "acme.io/foo")']
    errors = dns1123_subdomain(host)
    if not re.fullmatch(_HTTP_PATH, path):
        errors.append(pattern_message("Invalid path", _HTTP_PATH))
    return errors


def prefix_of(check: NameCheck) -> NameCheck:
    """The same check for a `generateName`: a hyphen at its end is as good as a letter."""

    def checked(value: str) -> list[str]:
        if len(value) > 1 and value.endswith("-"):
            value = value[:-1] + "a"
        return check(value)

    return checked


def _parsed_ip(value: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """As Go parses it: no zone; an IPv4-mapped IPv6 address counts as IPv4; leading zeros in IPv4 are decimal."""
    if "%" in value:
        return None
    if "." in value and ":" not in value:
        value = ".".join(part.lstrip("0") or part[-1:] for part in value.split("."))
    try:
        parsed = ipaddress.ip_address(value)
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped
    return parsed


def _is_subdomain(value: str) -> bool:
    return all(_LABEL_RE.fullmatch(label) for label in value.split("."))


def _parent_directory(value: str) -> list[str]:
    if value in (".", ".."):
        return [f"must not be '{value}'"]
    return ["must not start with '..'"] if value.startswith("..") else []
