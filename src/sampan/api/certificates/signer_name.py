"""A signer's name: `example.com/some.signer`, a domain of two labels or more and a path of subdomains."""

from __future__ import annotations

from typing import Final

from sampan.apimachinery.field import FieldError, Path, invalid, required, too_long
from sampan.apimachinery.names import dns1123_label, dns1123_subdomain

_LONGEST_DOMAIN: Final = 253
_LONGEST: Final = _LONGEST_DOMAIN + 1 + 253 + 63 + 1
"""The path has room for a subdomain, a dot and a label: a namespace and a name."""
_FORM: Final = "must be a fully qualified domain and path of the form 'example.com/signer-name'"


def is_of_kubernetes(name: str) -> bool:
    """Whether the name is one that Kubernetes keeps for itself."""
    domain = name.partition("/")[0]
    return domain == "kubernetes.io" or domain.endswith(".kubernetes.io")


def validate_signer_name(name: str, path: Path) -> list[FieldError]:
    """Messages are upstream's."""
    if not name:
        return [required(path)]
    segments = name.split("/")
    if len(segments) != 2:
        return [invalid(path, name, _FORM)]
    domain, rest = segments
    errors = [too_long(path, _LONGEST_DOMAIN)] if len(domain) > _LONGEST_DOMAIN else []
    labels = domain.split(".")
    errors += [
        invalid(path, domain, f'validating label "{label}": {message}')
        for label in labels for message in dns1123_label(label)
    ]
    if len(labels) < 2:
        errors.append(invalid(path, domain, "should be a domain with at least two segments separated by dots"))
    errors += [
        invalid(path, rest, f'validating label "{label}": {message}')
        for label in rest.split(".") for message in dns1123_subdomain(label)
    ]
    if len(name) > _LONGEST:
        errors.append(too_long(path, _LONGEST))
    return errors
