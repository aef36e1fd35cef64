"""The ConfigMap kube-system/extension-apiserver-authentication: how a server behind an APIService knows this one.

It holds the authority of ordinary clients and that of the front proxy, and the names of the headers in which a front
proxy says who is asking. Aggregated API servers read it with the role `extension-apiserver-authentication-reader`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from sampan.api.resources import CONFIG_MAPS
from sampan.apimachinery.errors import AlreadyExists, NotFound
from sampan.apimachinery.object import Object
from sampan.apiserver.config import APIServerConfig
from sampan.client.client import Client

NAME: Final = "extension-apiserver-authentication"
NAMESPACE: Final = "kube-system"
PROXY_NAMES: Final = ("front-proxy-client",)


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


async def ensure(client: Client, config: APIServerConfig) -> None:
    """Create it, or bring it up to date. Safe to run at every start."""
    wanted = data(config)
    if not wanted:
        return
    try:
        present = await client.get(CONFIG_MAPS, NAME, NAMESPACE)
    except NotFound:
        document: Object = {
            "kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": NAME, "namespace": NAMESPACE}, "data": wanted,
        }
        try:
            await client.create(CONFIG_MAPS, document)
        except AlreadyExists:
            pass  # another server of the cluster was faster
        return
    if {key: (present.get("data") or {}).get(key) for key in wanted} != wanted:
        await client.patch(CONFIG_MAPS, NAME, {"data": wanted}, NAMESPACE)
