"""ServiceCIDR: says that a range is ready for use, and keeps it while Services have addresses of it.

Observed: ServiceCIDRs, IPAddresses, Services. Desired: a range that is there is Ready, one that nothing needs can go. A
range carries a finalizer. From one that is being deleted no new address is taken; it goes once every address in it (of
a Service, or of an IPAddress object) is gone, or lies in another range that stays too, and ten seconds have passed, by
which every API server knows. Until then, if addresses hold it, it is not Ready and says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from sampan import effects
from sampan.api.resources import IP_ADDRESSES, SERVICE_CIDRS, SERVICES
from sampan.apimachinery.object import Object, dig, is_being_deleted, meta, name_of
from sampan.controllers import conditions, times
from sampan.controllers.conditions import Condition
from sampan.reconcile.controller import Wiring
from sampan.reconcile.plan import NOTHING, Plan, Update

GRACE = timedelta(seconds=10)
FINALIZER = "networking.k8s.io/service-cidr-finalizer"
READY = Condition("Ready", True, "", "Kubernetes Service CIDR is ready")
HELD = Condition(
    "Ready", False, "Terminating",
    "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR",
)


def plan(cidr: Object, others: Iterable[Object], addresses: Iterable[str], now: datetime) -> Plan:
    """Mark the range ready; or let it go when nothing needs it."""
    finalizers = list(meta(cidr).get("finalizers") or ())
    if not is_being_deleted(cidr):
        if FINALIZER not in finalizers:
            metadata = {**meta(cidr), "finalizers": [*finalizers, FINALIZER]}
            return Plan((Update(SERVICE_CIDRS, {**cidr, "metadata": metadata}),))
        return _condition(cidr, READY, now)
    if FINALIZER not in finalizers:
        return NOTHING
    if _is_needed(networks_of(cidr), [net for one in others for net in networks_of(one)], addresses):
        return _condition(cidr, HELD, now)
    due = times.parse(meta(cidr)["deletionTimestamp"]) + GRACE
    if now < due:
        return Plan(requeue_after_s=times.seconds_until(due, now))
    metadata = {**meta(cidr), "finalizers": [one for one in finalizers if one != FINALIZER]}
    return Plan((Update(SERVICE_CIDRS, {**cidr, "metadata": metadata}),))


def networks_of(cidr: Object) -> list[IPv4Network | IPv6Network]:
    return [ip_network(text, strict=False) for text in dig(cidr, "spec", "cidrs", default=())]


def addresses_of(service: Object) -> list[str]:
    """The cluster addresses that a Service has."""
    return [one for one in dig(service, "spec", "clusterIPs", default=()) if one and one != "None"]


def _is_needed(
    mine: Sequence[IPv4Network | IPv6Network], others: Sequence[IPv4Network | IPv6Network], addresses: Iterable[str]
) -> bool:
    found = map(ip_address, addresses)
    return any(
        any(_has(net, address) for net in mine) and not any(_has(net, address) for net in others) for address in found
    )


def _has(net: IPv4Network | IPv6Network, address: IPv4Address | IPv6Address) -> bool:
    """Whether a Service may have the address of this range: not the first, and of IPv4 not the last one either."""
    if address not in net or address == net.network_address:
        return False
    return net.version == 6 or address != net.broadcast_address


def _condition(cidr: Object, condition: Condition, now: datetime) -> Plan:
    known = dig(cidr, "status", "conditions", default=())
    found = conditions.with_condition(known, condition, now)
    if found == list(known):
        return NOTHING
    return Plan((Update(SERVICE_CIDRS, {**cidr, "status": {"conditions": found}}, subresource="status"),))


class ServiceCIDRReconciler:
    """Keys are ranges. An address that goes concerns those that are being deleted, as a range that comes does."""

    def __init__(self, wiring: Wiring) -> None:
        self._cidrs = wiring.watch(SERVICE_CIDRS, lambda cidr: [name_of(cidr), *self._going()])
        self._addresses = wiring.watch(IP_ADDRESSES, lambda address: self._going())
        self._services = wiring.watch(SERVICES, lambda service: self._going(), addresses_of)

    async def reconcile(self, key: str) -> Plan:
        cidr = self._cidrs.get(key)
        if cidr is None:
            return NOTHING
        others = [one for one in self._cidrs.list() if name_of(one) != key and not is_being_deleted(one)]
        addresses = {name_of(one) for one in self._addresses.list()}
        addresses.update(address for service in self._services.list() for address in addresses_of(service))
        return plan(cidr, others, sorted(addresses), effects.now())

    def _going(self) -> list[str]:
        return sorted(name_of(one) for one in self._cidrs.list() if is_being_deleted(one))
