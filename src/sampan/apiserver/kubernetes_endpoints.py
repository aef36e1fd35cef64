"""Where `kubernetes.default` leads: the addresses of all API servers that are alive.

Servers that share a store find each other by their identity Leases (`identity.py`), on which each notes the address at
which it is reached. A server is alive while its Lease is renewed: seen from here, within the last fifteen seconds, so
that clocks of machines need not agree. Every ten seconds, and when it starts, each server makes the Endpoints and the
EndpointSlice `default/kubernetes` say so. One that stops takes itself out first, unless it is the last: then clients
wait for it where it was.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from sampan import effects
from sampan.api.resources import ENDPOINT_SLICES, ENDPOINTS, LEASES
from sampan.apimachinery.errors import APIError
from sampan.apimachinery.object import Object, annotations_of, dig, name_of
from sampan.apiserver.config import APIServerConfig
from sampan.apiserver.identity import ADDRESS, LABEL, NAMESPACE, SERVER, identity_of
from sampan.apiserver.presence import present
from sampan.apiserver.registry.periodic import Periodic
from sampan.client.client import Client

INTERVAL_S: Final = 10.0
ALIVE_S: Final = 15.0


class KubernetesEndpoints:
    """Keeps both objects right. Does nothing for a server on a loopback address, which no endpoint may have."""

    def __init__(self, client: Client, config: APIServerConfig) -> None:
        self._client = client
        self._address, self._port = config.advertise_address, config.advertise_port
        self._own_lease = identity_of(config.hostname) if config.hostname else ""
        self._is_reachable = not ipaddress.ip_address(config.advertise_address).is_loopback
        self._renewals: dict[str, tuple[str, float]] = {}
        """Lease to its last renewal and when that was first seen here."""
        self._loop = Periodic("endpoints of the API servers", self.reconcile, INTERVAL_S)

    @property
    def reached_at(self) -> str:
        """What the other servers may be told; "" for an address that means something else to each of them."""
        return self._address if self._is_reachable else ""

    def start(self) -> None:
        if self._is_reachable:
            self._loop.start()

    async def stop(self) -> None:
        if not self._loop.is_running:
            return
        await self._loop.stop()
        others = await self._others()
        if not others:
            return
        try:
            await self._client.patch(LEASES, self._own_lease, {"metadata": {"annotations": {ADDRESS: None}}}, NAMESPACE)
            await self._write(others)
        except APIError:
            return  # the store is away; the others notice by themselves that this server is gone

    async def reconcile(self) -> None:
        """Make both objects name every server that is alive."""
        if self._is_reachable:
            await self._write({*await self._others(), self._address})

    async def _others(self) -> set[str]:
        """Addresses of the other servers that are alive."""
        found = await self._client.list(LEASES, NAMESPACE, label_selector=f"{LABEL}={SERVER}")
        leases = {name_of(lease): lease for lease in found["items"] if name_of(lease) != self._own_lease}
        self._renewals = {name: seen for name, seen in self._renewals.items() if name in leases}
        addresses = {annotations_of(lease).get(ADDRESS, "") for lease in leases.values() if self._is_alive(lease)}
        return {address for address in addresses if address}

    def _is_alive(self, lease: Object) -> bool:
        name, renewed = name_of(lease), str(dig(lease, "spec", "renewTime", default=""))
        known = self._renewals.get(name)
        if known is None:
            is_new = bool(renewed) and datetime.fromisoformat(renewed) + timedelta(seconds=ALIVE_S) > effects.now()
            known = (renewed, effects.monotonic() if is_new else float("-inf"))
        elif known[0] != renewed:
            known = (renewed, effects.monotonic())
        self._renewals[name] = known
        return effects.monotonic() - known[1] < ALIVE_S

    async def _write(self, addresses: set[str]) -> None:
        ordered = sorted(addresses, key=lambda one: ipaddress.ip_address(one).packed)
        await present(self._client, ENDPOINTS, endpoints(ordered, self._port), ("subsets",))
        await present(self._client, ENDPOINT_SLICES, endpoint_slice(ordered, self._port), ("endpoints", "ports"))


def endpoints(addresses: Sequence[str], port: int) -> Object:
    """The Endpoints as kube-apiserver writes them."""
    return {
        "kind": "Endpoints", "apiVersion": "v1",
        "metadata": {
            "name": "kubernetes", "namespace": "default",
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
        },
        "subsets": [{
            "addresses": [{"ip": address} for address in addresses],
            "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
        }],
    }


def endpoint_slice(addresses: Sequence[str], port: int) -> Object:
    """The slice as kube-apiserver writes it."""
    return {
        "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1",
        "metadata": {
            "name": "kubernetes", "namespace": "default", "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "addressType": "IPv6" if ":" in addresses[0] else "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }
