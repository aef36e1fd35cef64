"""IPAddress objects: one for every cluster address of a Service, made before the Service and gone after it (KEP-1880).

What Services hold is the truth; the objects show it, keep others (a Gateway, another API server) from the same address
and hold ServiceCIDRs in use. `claim` makes one and tells whether the address was free; `released` lets one go in the
background. `repair` at start and every few minutes makes what is missing and removes what nothing holds, as upstream's
repair loop does, with the same patience for objects whose Service may still be on its way. One that somebody deletes
while its Service lives comes back at once.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Coroutine, Iterable
from datetime import timedelta
from typing import Final

from sampan import effects
from sampan.api.resources import IP_ADDRESSES, SERVICES
from sampan.apimachinery.duration import parse_time
from sampan.apimachinery.errors import AlreadyExists, APIError, Conflict, NotFound
from sampan.apimachinery.object import Object, dig, labels_of, meta, name_of, namespace_of, uid_of
from sampan.apiserver.registry.entry import Entry
from sampan.apiserver.registry.periodic import Periodic
from sampan.apiserver.registry.watcher import Change
from sampan.apiserver.seams import Reader
from sampan.client.client import Client

log = logging.getLogger(__name__)

MANAGED_BY: Final = "ipaddress.kubernetes.io/managed-by"
FAMILY: Final = "ipaddress.kubernetes.io/ip-family"
MANAGER: Final = "ipallocator.k8s.io"
REPAIR_S: Final = 180.0
PATIENCE: Final = timedelta(seconds=60)


def document(address: str, namespace: str, name: str) -> Object:
    """The object for an address of a Service."""
    family = f"IPv{ipaddress.ip_address(address).version}"
    return {
        "kind": "IPAddress", "apiVersion": "networking.k8s.io/v1",
        "metadata": {"name": address, "labels": {FAMILY: family, MANAGED_BY: MANAGER}},
        "spec": {"parentRef": {"resource": "services", "namespace": namespace, "name": name}},
    }


def addresses_of(service: Object) -> list[str]:
    return [one for one in dig(service, "spec", "clusterIPs", default=()) if one and one != "None"]


def is_as_wanted(present: Object, wanted: Object) -> bool:
    labels = labels_of(present)
    return present["spec"] == wanted["spec"] and all(
        labels.get(key) == value for key, value in labels_of(wanted).items()
    )


class AddressLedger:
    """A listener of the cache of IPAddresses. `start` and `stop` its repairs."""

    def __init__(self, client: Client, reader: Reader) -> None:
        self._client = client
        self._reader = reader
        self._going: set[str] = set()
        """Uids of objects that are being removed: they hold nothing any more."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._repairs = Periodic("service addresses", self.repair, REPAIR_S)

    def start(self) -> None:
        self._repairs.start()

    async def stop(self) -> None:
        await self._repairs.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def reset(self, entries: Iterable[Entry]) -> None:
        """The repairs look at all of them."""

    def changed(self, change: Change) -> None:
        """One that vanished comes back if a Service holds its address."""
        if change.new is None and change.old is not None and self._repairs.is_running:
            holder = self._holder(change.old.name)
            if holder is not None:
                self._spawn(self._ensure(document(change.old.name, *holder)))

    async def fresh_services(self) -> None:
        """Until every change of a Service that is stored by now has been followed."""
        await self._reader.fresh(SERVICES)

    def is_claimed(self, address: str) -> bool:
        """Whether an object holds it that is not on its way out."""
        found = self._reader.peek(IP_ADDRESSES, address)
        return found is not None and uid_of(found) not in self._going

    async def claim(self, address: str, namespace: str, name: str) -> bool:
        """Make the object of an address that was chosen for a Service; False if another has it."""
        wanted = document(address, namespace, name)
        for _ in range(3):
            try:
                await self._client.create(IP_ADDRESSES, wanted)
                return True
            except AlreadyExists:
                await self._reader.fresh(IP_ADDRESSES)
            present = self._reader.peek(IP_ADDRESSES, address)
            if present is not None:
                if is_as_wanted(present, wanted):
                    return True  # left behind by an earlier attempt
                if uid_of(present) not in self._going:
                    return False
                await self._remove(present)
        return False

    def released(self, address: str, namespace: str, name: str) -> None:
        """The Service does not have this address any more, or never got it."""
        present = self._reader.peek(IP_ADDRESSES, address)
        wanted = document(address, namespace, name)
        if present is None:
            self._spawn(self._release(wanted))  # made a moment ago, for a write that failed
        elif present["spec"] == wanted["spec"]:
            self._going.add(uid_of(present))
            self._spawn(self._remove(present))

    async def repair(self) -> None:
        """Make objects and Services agree."""
        await self._reader.fresh(IP_ADDRESSES)
        held: dict[str, Object] = {}
        for service in self._reader.list(SERVICES):
            for address in addresses_of(service):
                held.setdefault(address, document(address, namespace_of(service), name_of(service)))
        for address in sorted(held):
            await self._ensure(held[address])
        oldest = effects.now() - PATIENCE
        for present in self._reader.list(IP_ADDRESSES):
            if labels_of(present).get(MANAGED_BY) != MANAGER or name_of(present) in held:
                continue
            if parse_time(meta(present)["creationTimestamp"]) < oldest and self._holder(name_of(present)) is None:
                await self._remove(present)

    def _holder(self, address: str) -> tuple[str, str] | None:
        for service in self._reader.list(SERVICES):
            if address in addresses_of(service):
                return namespace_of(service), name_of(service)
        return None

    async def _release(self, wanted: Object) -> None:
        await self._reader.fresh(IP_ADDRESSES)
        present = self._reader.peek(IP_ADDRESSES, name_of(wanted))
        if present is not None and present["spec"] == wanted["spec"]:
            await self._remove(present)

    async def _ensure(self, wanted: Object) -> None:
        """What a Service holds, shown as it should be."""
        address = name_of(wanted)
        present = self._reader.peek(IP_ADDRESSES, address)
        if present is not None and is_as_wanted(present, wanted):
            return
        if self._holder(address) is None:
            return  # it went meanwhile
        if present is not None:
            log.warning("address %s is recorded wrongly; repaired", address)
            await self._remove(present)
        try:
            await self._client.create(IP_ADDRESSES, wanted)
        except AlreadyExists:
            pass  # a claim of this moment
        except APIError as error:
            log.warning("address %s: %s", address, error)

    async def _remove(self, present: Object) -> None:
        uid = uid_of(present)
        self._going.add(uid)
        try:
            await self._client.delete(IP_ADDRESSES, name_of(present), uid=uid)
        except (NotFound, Conflict):
            pass  # it went already, or is another's by now
        except APIError as error:
            log.warning("address %s: %s", name_of(present), error)
        finally:
            await self._reader.fresh(IP_ADDRESSES)
            self._going.discard(uid)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
