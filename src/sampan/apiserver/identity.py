"""The server's identity: a Lease in kube-system that says which API servers there are (KEP-1965).

Each server keeps one, `apiserver-<hash of its host's name>` with the label `apiserver.kubernetes.io/identity`, and
renews it every ten seconds. Once an hour it deletes the Leases of servers that have not renewed theirs for as long as
they promised to, after it has asked for each once more.
"""

from __future__ import annotations

import base64
import hashlib
import logging
from datetime import datetime, timedelta
from typing import Final

from sampan import effects
from sampan.api.resources import LEASES
from sampan.apimachinery.errors import APIError, NotFound
from sampan.apimachinery.object import Object, dig, labels_of, meta, name_of, uid_of
from sampan.apiserver.registry.periodic import Periodic
from sampan.client.client import Client

log = logging.getLogger(__name__)

NAMESPACE: Final = "kube-system"
LABEL: Final = "apiserver.kubernetes.io/identity"
SERVER: Final = "kube-apiserver"
HOST_LABEL: Final = "kubernetes.io/hostname"
ADDRESS: Final = "sampan.dev/advertise-address"
"""Annotation of the Lease: where the other servers may say that this one is reached (`kubernetes_endpoints.py`)."""
DURATION_S: Final = 3600
RENEWAL_S: Final = 10.0
COLLECTION_S: Final = 3600.0


def identity_of(hostname: str) -> str:
    """The server's name: both parts with their lengths in front, hashed, half of it in base 32."""
    parts = (part.encode() for part in (hostname, SERVER))
    digest = hashlib.sha256(b"".join(len(part).to_bytes(2, "big") + part for part in parts)).digest()
    return f"apiserver-{base64.b32encode(digest[:16]).decode().rstrip('=').lower()}"


def is_expired(lease: Object, now: datetime) -> bool:
    """A Lease that does not say until when it holds does not hold."""
    renewed, seconds = dig(lease, "spec", "renewTime"), dig(lease, "spec", "leaseDurationSeconds")
    return not renewed or seconds is None or datetime.fromisoformat(renewed) + timedelta(seconds=seconds) < now


class Identity:
    """Keeps the Lease of the server on `hostname`, and collects those of others. Does nothing without a name."""

    def __init__(self, client: Client, hostname: str, address: str = "") -> None:
        self._client = client
        self._hostname = hostname
        self._address = address
        self.name = identity_of(hostname)
        self._holder = f"{self.name}_{effects.uid()}" if hostname else ""
        self._loops = (
            Periodic("renewal of the server's identity", self.renew, RENEWAL_S),
            Periodic("collection of identities", self.collect, COLLECTION_S),
        )

    def start(self) -> None:
        for loop in self._loops if self._hostname else ():
            loop.start()

    async def stop(self) -> None:
        for loop in self._loops:
            await loop.stop()

    async def renew(self) -> None:
        """Write the present time into the Lease; make it if there is none."""
        spec = {
            "holderIdentity": self._holder, "leaseDurationSeconds": DURATION_S, "renewTime": effects.micro_timestamp()
        }
        said: Object = {"labels": {LABEL: SERVER, HOST_LABEL: self._hostname}}
        if self._address:
            said["annotations"] = {ADDRESS: self._address}
        try:
            await self._client.patch(LEASES, self.name, {"metadata": said, "spec": spec}, NAMESPACE)
        except NotFound:
            metadata = {"name": self.name, "namespace": NAMESPACE, **said}
            document = {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": metadata, "spec": spec}
            await self._client.create(LEASES, document)

    async def collect(self) -> None:
        """Delete the Leases of servers that are gone."""
        found = await self._client.list(LEASES, NAMESPACE, label_selector=f"{LABEL}={SERVER}")
        for lease in found["items"]:
            if is_expired(lease, effects.now()):
                await self._delete(name_of(lease))

    async def _delete(self, name: str) -> None:
        try:
            lease = await self._client.get(LEASES, name, NAMESPACE)
            if is_expired(lease, effects.now()) and labels_of(lease).get(LABEL) == SERVER:
                version = str(meta(lease)["resourceVersion"])
                await self._client.delete(LEASES, name, NAMESPACE, uid=uid_of(lease), resource_version=version)
        except APIError as error:  # it is gone, or its server is back
            log.debug("lease %s/%s: %s", NAMESPACE, name, error)
