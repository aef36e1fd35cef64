"""EncryptionConfiguration (apiserver.config.k8s.io/v1): which resources are sealed, with which keys, in which order.

The first provider of a resource seals what is written; all of them may open what is read. So a rotation is: put the
new key first and keep the old one behind it until every value has been written again. `identity` among the providers
lets values that were never sealed be read. Resources are `secrets`, `deployments.apps`, `*.apps`, `*.` (the core
group) or `*.*`; the first entry that names a resource decides.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from sampan.apimachinery.object import Object
from sampan.apiserver import configuration_file
from sampan.apiserver.encryption.providers import MARK, AESCBCProvider, AESGCMProvider, CannotOpen, Identity, Provider

VERSIONS: Final = ("apiserver.config.k8s.io/v1",)
_KEY_BYTES: Final = (16, 24, 32)
Providers: TypeAlias = tuple[Provider, ...]
_KEYED: Final[Mapping[str, Callable[[str, bytes], Provider]]] = {"aesgcm": AESGCMProvider, "aescbc": AESCBCProvider}


@dataclass(frozen=True, slots=True)
class Entry:
    """Resources as they were written, and their providers in order."""

    resources: tuple[str, ...]
    providers: Providers

    def covers(self, group: str, plural: str) -> bool:
        names = ("*.*", f"*.{group}", f"{plural}.{group}" if group else plural)
        return any(name in self.resources for name in names)


class EncryptionConfiguration:
    """A whole configuration; what a resource's providers are is worked out once."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = tuple(entries)
        self._known: dict[tuple[str, str], Providers] = {}

    def providers(self, group: str, plural: str) -> Providers:
        """Those of a resource, none when it is not to be sealed."""
        where = (group, plural)
        found = self._known.get(where)
        if found is None:
            entry = next((one for one in self.entries if one.covers(group, plural)), None)
            found = self._known[where] = entry.providers if entry else ()
        return found


def opened(providers: Providers, key: str, sealed: bytes) -> bytes:
    """The value behind stored bytes. Raises CannotOpen."""
    if not sealed.startswith(MARK):
        if providers and not any(isinstance(one, Identity) for one in providers):
            raise CannotOpen(f"{key}: not sealed, and no identity provider allows that")
        return sealed
    for provider in providers:
        if provider.prefix and sealed.startswith(provider.prefix):
            return provider.open(key, sealed)
    name = sealed.split(b":", 5)[2:5]
    raise CannotOpen(f"{key}: sealed with {b'/'.join(name).decode(errors='replace')}, which is not configured")


def stale(providers: Providers, sealed: bytes) -> bool:
    """Whether the first provider would write other bytes."""
    if not providers:
        return False
    first = providers[0].prefix
    return not sealed.startswith(first) if first else sealed.startswith(MARK)


def parse(content: bytes) -> EncryptionConfiguration:
    """A configuration from its file. Raises ValueError."""
    document = configuration_file.parse(content, "EncryptionConfiguration", VERSIONS)
    entries = document.get("resources")
    if not entries:
        raise ValueError("resources: at least one resource configuration is required")
    return EncryptionConfiguration([_entry(one, f"resources[{at}]") for at, one in enumerate(entries)])


def _entry(document: Object, path: str) -> Entry:
    resources = tuple(document.get("resources") or ())
    if not resources:
        raise ValueError(f"{path}.resources: must be non-empty")
    for name in resources:
        wild = name.startswith("*")
        if not name or name.lower() != name or (wild and not name.startswith("*.")):
            raise ValueError(f"{path}.resources: invalid resource name {name!r}")
    if len(set(resources)) != len(resources) or ("*.*" in resources and len(resources) > 1):
        raise ValueError(f"{path}.resources: overlapping or duplicate resources")
    providers = document.get("providers") or ()
    if not providers:
        raise ValueError(f"{path}.providers: must be non-empty")
    found: list[Provider] = []
    for at, provider in enumerate(providers):
        found += _provider(provider, f"{path}.providers[{at}]")
    return Entry(resources, tuple(found))


def _provider(document: Object, path: str) -> list[Provider]:
    if len(document) != 1:
        raise ValueError(f"{path}: exactly one provider must be given")
    [(mechanism, settings)] = document.items()
    if mechanism == "identity":
        return [Identity()]
    if mechanism not in _KEYED:
        raise ValueError(f"{path}: {mechanism} is not supported; use aesgcm, aescbc or identity")
    keys = (settings or {}).get("keys") or ()
    if not keys:
        raise ValueError(f"{path}.{mechanism}.keys: must be non-empty")
    names = [str(key.get("name") or "") for key in keys]
    if not all(names) or len(set(names)) != len(names) or any(":" in name for name in names):
        raise ValueError(f"{path}.{mechanism}.keys: each key needs a name of its own, without a colon")
    make = _KEYED[mechanism]
    return [make(name, _secret(key, f"{path}.{mechanism}.keys")) for name, key in zip(names, keys, strict=True)]


def _secret(key: Object, path: str) -> bytes:
    try:
        secret = base64.b64decode(str(key.get("secret") or ""), validate=True)
    except binascii.Error:
        raise ValueError(f"{path}: a secret must be base64-encoded") from None
    if len(secret) not in _KEY_BYTES:
        raise ValueError(f"{path}: a secret must have 16, 24 or 32 bytes, not {len(secret)}")
    return secret
