"""Names: what is a good one, and upstream's words for each bad one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sampan.apimachinery import names

LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)

GOOD: list[tuple[names.NameCheck, list[str]]] = [
    (names.dns1123_label, ["a", "0a", "a-b", "a" * 63]),
    (names.dns1123_subdomain, ["a", "a.b-c.d0", "a" * 253]),
    (names.dns1035_label, ["a", "a-0"]),
    (names.wildcard_dns1123_subdomain, ["*.a.b"]),
    (names.qualified_name, ["a", "A_b.c", "example.com/Name"]),
    (names.label_value, ["", "A_b.c-d", "a" * 63]),
    (names.port_name, ["http", "a1-b"]),
    (names.env_name, ["A", "1 x", "a.b"]),
    (names.config_map_key, [".a", "A_b-c.d", "..."[:1] + "x"]),
    (names.ip_address, ["10.0.0.1", "::1", "::ffff:1.2.3.4", "010.1.1.1"]),
    (names.cidr, ["10.0.0.0/8", "fd00::/64", "10.1.2.3/32"]),
    (names.percent, ["1%", "100%"]),
    (names.http_header_name, ["X-Y"]),
    (names.c_identifier, ["_a1"]),
    (names.path_segment_name, ["system:node", "A b"]),
    (names.fully_qualified_domain_name, ["a.b", "a.b."]),
    (names.domain_prefixed_path, ["acme.io/foo/bar"]),
]
BAD: list[tuple[names.NameCheck, str, list[str]]] = [
    (names.dns1123_label, "A", [LABEL]),
    (names.dns1123_label, "a\n", [LABEL]),
    (names.dns1123_label, "", [LABEL]),
    (names.dns1123_label, "a" * 64, ["must be no more than 63 bytes"]),
    (names.dns1123_subdomain, "a..b", [SUBDOMAIN]),
    (names.dns1123_subdomain, "Web_1", [SUBDOMAIN]),
    (names.dns1123_subdomain, "a" * 254, ["must be no more than 253 bytes"]),
    (names.dns1035_label, "0a", [
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
        "character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation "
        "is '[a-z]([-a-z0-9]*[a-z0-9])?')",
    ]),
    (names.qualified_name, "/a", ["prefix part must be non-empty"]),
    (names.port_name, "--1", [
        "must contain at least one letter (a-z)", "must not contain consecutive hyphens",
        "must not begin or end with a hyphen",
    ]),
    (names.port_name, "a" * 16, ["must be no more than 15 bytes"]),
    (names.env_name, "", ["environment variable name must be non-empty"]),
    (names.env_name, "A=B", [
        "a valid environment variable name must consist only of printable ASCII characters other than '='",
    ]),
    (names.config_map_key, "..", ["must not be '..'"]),
    (names.config_map_key, "..a", ["must not start with '..'"]),
    (names.config_map_key, "a/b", [
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME', "
        " or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
    ]),
    (names.ip_address, "10.0.0", ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]),
    (names.ip_address, "fe80::1%eth0", ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]),
    (names.ipv4_address, "::1", ["must be a valid IPv4 address"]),
    (names.cidr, "10.0.0.0/33", ["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"]),
    (names.path_segment_name, "..", ["may not be '..'"]),
    (names.path_segment_name, "a/b", ["may not contain '/'"]),
    (names.fully_qualified_domain_name, "a", ["should be a domain with at least two segments separated by dots"]),
    (names.domain_prefixed_path, "foo", ['must be a domain-prefixed path (such as "acme.io/foo")']),
]


@pytest.mark.parametrize(("check", "values"), GOOD)
def test_good_names_have_nothing_wrong(check: Callable[[str], list[str]], values: list[str]) -> None:
    assert {value: check(value) for value in values} == {value: [] for value in values}


@pytest.mark.parametrize(("check", "value", "messages"), BAD)
def test_bad_names_are_explained(check: Callable[[str], list[str]], value: str, messages: list[str]) -> None:
    assert check(value) == messages


def test_a_generate_name_may_end_in_a_hyphen() -> None:
    assert names.prefix_of(names.dns1123_subdomain)("web-") == []
    assert names.prefix_of(names.dns1123_subdomain)("Web-") == [SUBDOMAIN]


def test_numbers_in_a_range() -> None:
    assert names.port_number(65535) == []
    assert names.port_number(0) == ["must be between 1 and 65535, inclusive"]
    assert names.user_id(-1) == ["must be between 0 and 2147483647, inclusive"]


def test_a_very_long_name_is_checked_in_no_time() -> None:
    assert len(names.dns1123_subdomain("a." * 500_000 + "-")) == 2
