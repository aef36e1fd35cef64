"""PodSecurityConfiguration: what a namespace asks for that does not say, and who and what is exempt from Pod Security.

    apiVersion: pod-security.admission.config.k8s.io/v1
    kind: PodSecurityConfiguration
    defaults: {enforce: baseline, enforce-version: latest, audit: …, warn: …}
    exemptions: {usernames: [], runtimeClasses: [], namespaces: [kube-system]}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from sampan.apimachinery.field import FieldError, Path, duplicate, invalid
from sampan.apimachinery.names import dns1123_label, dns1123_subdomain
from sampan.apimachinery.object import Object
from sampan.apiserver.admission import configuration
from sampan.apiserver.admission.pod_security_levels import LATEST, LEVELS, PRIVILEGED
from sampan.apiserver.admission.pod_security_policy import MODES, VERSION, Asked, Policy
from sampan.apiserver.config import APIServerConfig

NAME: Final = "PodSecurity"
_API_VERSIONS: Final = tuple(f"pod-security.admission.config.k8s.io/{version}" for version in (
    "v1", "v1beta1", "v1alpha1",
))
_NOTHING: Final = Policy(Asked(PRIVILEGED, LATEST), Asked(PRIVILEGED, LATEST), Asked(PRIVILEGED, LATEST))


@dataclass(frozen=True, slots=True)
class PodSecurityConfiguration:
    """Without a file: nothing is asked by default, and nobody is exempt."""

    defaults: Policy = _NOTHING
    usernames: frozenset[str] = field(default_factory=frozenset)
    runtime_classes: frozenset[str] = field(default_factory=frozenset)
    namespaces: frozenset[str] = field(default_factory=frozenset)


def load(config: APIServerConfig) -> PodSecurityConfiguration:
    """Raises ValueError."""
    document = configuration.of(config, NAME)
    if document is None:
        return PodSecurityConfiguration()
    configuration.checked(document, "PodSecurityConfiguration", _API_VERSIONS)
    wrong: list[FieldError] = []
    defaults = _defaults(document.get("defaults") or {}, Path("defaults"), wrong)
    exempt, path = document.get("exemptions") or {}, Path("exemptions")
    found = {
        key: _names(exempt, key, path, valid, wrong) for key, valid in (
            ("usernames", _any_name), ("runtimeClasses", dns1123_subdomain), ("namespaces", dns1123_label),
        )
    }
    configuration.refuse(NAME, wrong)
    return PodSecurityConfiguration(defaults, found["usernames"], found["runtimeClasses"], found["namespaces"])


def _defaults(given: Object, path: Path, wrong: list[FieldError]) -> Policy:
    modes: dict[str, Asked] = {}
    for mode in MODES:
        level, version = given.get(mode) or PRIVILEGED, given.get(f"{mode}-version") or LATEST
        if level not in LEVELS:
            wrong.append(invalid(path.child(mode), level, f"must be one of {', '.join(LEVELS)}"))
        if not isinstance(version, str) or not VERSION.fullmatch(version):
            wrong.append(invalid(path.child(f"{mode}-version"), version, 'must be "latest" or "v1.x"'))
        modes[mode] = Asked(level, version)
    return Policy(modes["enforce"], modes["audit"], modes["warn"])


def _any_name(name: str) -> list[str]:
    return [] if name else ["username must not be empty"]


def _names(
    given: Mapping[str, object], key: str, path: Path, valid: Callable[[str], list[str]], wrong: list[FieldError]
) -> frozenset[str]:
    seen: set[str] = set()
    for position, name in enumerate(configuration.strings(given, key, path)):
        where = path.child(key).index(position)
        wrong += [invalid(where, name, why) for why in valid(name)]
        if name in seen:
            wrong.append(duplicate(where, name))
        seen.add(name)
    return frozenset(seen)
