"""The ConfigMap kube-system/extension-apiserver-authentication: how a server behind an APIService knows this one.

It holds the authority of ordinary clients and that of the front proxy, and the names of the headers in which a front
proxy says who is asking. Aggregated API servers read it with the role `extension-apiserver-authentication-reader`.

Authorities that another server of the cluster wrote, or this one before its files changed, stay until they expire:
their certificates are still about.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sampan import effects
from sampan.api.resources import CONFIG_MAPS
from sampan.apimachinery.errors import AlreadyExists, NotFound
from sampan.apimachinery.object import Object
from sampan.apiserver.config import APIServerConfig
from sampan.apiserver.registry.periodic import Periodic
from sampan.client.client import Client

NAME: Final = "extension-apiserver-authentication"
NAMESPACE: Final = "kube-system"
PROXY_NAMES: Final = ("front-proxy-client",)
INTERVAL_S: Final = 60.0


def data(config: APIServerConfig) -> dict[str, str]:
    """What the ConfigMap says; empty for a server without authorities. Raises OSError."""
    found: dict[str, str] = {}
    if config.client_ca_file:
        found["client-ca-file"] = Path(config.client_ca_file).read_text()
    if config.requestheader_client_ca_file:
        found |= {
            "requestheader-client-ca-file": Path(config.requestheader_client_ca_file).read_text(),
            "requestheader-allowed-names": json.dumps(PROXY_NAMES),
            "requestheader-username-headers": json.dumps(["X-Remote-User"]),
            "requestheader-uid-headers": json.dumps(["X-Remote-Uid"]),
            "requestheader-group-headers": json.dumps(["X-Remote-Group"]),
            "requestheader-extra-headers-prefix": json.dumps(["X-Remote-Extra-"]),
        }
    return found


def merged(present: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    """What is there and what this server adds; what makes no sense is left out."""
    found = dict(present)
    for key, text in wanted.items():
        if key.endswith("-file"):
            found[key] = _bundle(present.get(key, ""), text)
        else:
            found[key] = json.dumps(list(dict.fromkeys([*_names(present.get(key, "")), *json.loads(text)])))
    return found


def _bundle(*texts: str) -> str:
    """The certificates of all bundles that have not expired, each once."""
    now = effects.now()
    certificates = {
        certificate.public_bytes(Encoding.DER): certificate for text in texts for certificate in _certificates(text)
    }
    return "".join(
        one.public_bytes(Encoding.PEM).decode() for one in certificates.values() if one.not_valid_after_utc > now
    )


def _certificates(text: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        return []


def _names(text: str) -> list[str]:
    try:
        found = json.loads(text)
    except ValueError:
        return []
    return [str(one) for one in found] if isinstance(found, list) else []


async def ensure(client: Client, config: APIServerConfig) -> None:
    """Create it, or bring it up to date. Safe to run at any time."""
    wanted = data(config)
    if not wanted:
        return
    try:
        present = await client.get(CONFIG_MAPS, NAME, NAMESPACE)
    except NotFound:
        document: Object = {
            "kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": NAME, "namespace": NAMESPACE},
            "data": merged({}, wanted),
        }
        with contextlib.suppress(AlreadyExists):  # another server of the cluster was faster
            await client.create(CONFIG_MAPS, document)
        return
    found = merged(present.get("data") or {}, wanted)
    if found != (present.get("data") or {}):
        await client.patch(CONFIG_MAPS, NAME, {"data": found}, NAMESPACE)


def upkeep(client: Client, config: APIServerConfig) -> Periodic:
    """Follows changed files, and brings it back."""
    return Periodic("trust of aggregated servers", lambda: ensure(client, config), INTERVAL_S)
