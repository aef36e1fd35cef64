"""LeaderElector: of several replicas, the one that holds a Lease does the work.

A candidate tries every `retry_s` to take a Lease that is free, or whose holder has not renewed it for the Lease's
duration *by the candidate's own clock since it last saw it change*: clocks of different machines are never compared.
The leader renews every `retry_s`; if it cannot for `renew_deadline_s`, which is shorter than the duration, it stops
working before anyone else can begin. So at no time do two work, as long as monotonic clocks run at about the same
speed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sampan import effects
from sampan.api.resources import LEASES
from sampan.apimachinery import errors
from sampan.apimachinery.object import Object
from sampan.client.client import Client
from sampan.client.events import NORMAL, EventRecorder

log = logging.getLogger(__name__)


class LeadershipLost(Exception):
    """The Lease could not be renewed in time; the work has been stopped."""


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """Durations in seconds; upstream's defaults."""

    lease_s: int = 15
    renew_deadline_s: float = 10.0
    retry_s: float = 2.0


DEFAULT_TIMES = LeaseTimes()


class LeaderElector:
    """Competes for the Lease `namespace/name` as `identity`."""

    def __init__(
        self, client: Client, name: str, namespace: str, identity: str, *, times: LeaseTimes = DEFAULT_TIMES,
        recorder: EventRecorder | None = None,
    ) -> None:
        self._client = client
        self._name = name
        self._namespace = namespace
        self._identity = identity
        self._times = times
        self._recorder = recorder
        self._lease: Object = {}
        self._seen: Object = {}
        self._seen_at = 0.0
        self.is_leader = False

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Wait for leadership, then do `work` while it lasts. Raises LeadershipLost; gives the Lease up at the end."""
        while not await self._try():  # noqa: ASYNC110 - the Lease is the only thing that tells
            await asyncio.sleep(self._times.retry_s * (1 + 1.2 * effects.rng().random()))
        self.is_leader = True
        log.info("%s became leader of %s/%s", self._identity, self._namespace, self._name)
        working = asyncio.ensure_future(work())
        renewing = asyncio.ensure_future(self._renew())
        try:
            await asyncio.wait((working, renewing), return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise LeadershipLost(f"{self._namespace}/{self._name}")
            await working
        finally:
            self.is_leader = False
            self._tell("stopped leading")
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            lost = renewing.done()
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            if not lost:
                await self._release()

    async def _renew(self) -> None:
        """Returns when the Lease is lost."""
        renewed = effects.monotonic()
        while True:
            await asyncio.sleep(self._times.retry_s)
            started = effects.monotonic()
            left = renewed + self._times.renew_deadline_s - started
            try:
                async with asyncio.timeout(max(left, 0.0)):
                    if await self._try():
                        renewed = started
                        continue
            except TimeoutError:
                return
            if self._seen.get("holderIdentity") not in ("", None, self._identity):
                return
            if effects.monotonic() >= renewed + self._times.renew_deadline_s:
                return

    async def _try(self) -> bool:
        """Take or renew the Lease if that is possible; whether we hold it now."""
        try:
            return await self._take()
        except errors.APIError as error:
            log.debug("lease %s/%s: %s", self._namespace, self._name, error)
            return False

    async def _take(self) -> bool:
        now = effects.monotonic()
        try:
            lease = await self._client.get(LEASES, self._name, self._namespace)
        except errors.NotFound:
            new = {
                "apiVersion": LEASES.api_version, "kind": LEASES.kind, "spec": self._spec({}),
                "metadata": {"name": self._name, "namespace": self._namespace},
            }
            self._note(await self._client.create(LEASES, new), effects.monotonic())
            return True
        spec = lease.get("spec") or {}
        if spec != self._seen:
            self._note(lease, now)
        holder = spec.get("holderIdentity")
        duration = spec.get("leaseDurationSeconds") or self._times.lease_s
        if holder and holder != self._identity and now < self._seen_at + duration:
            return False
        answer = await self._client.update(LEASES, {**lease, "spec": self._spec(spec)})
        self._note(answer, effects.monotonic())
        return True

    def _note(self, lease: Object, at: float) -> None:
        self._lease, self._seen, self._seen_at = lease, lease.get("spec") or {}, at
        if not self.is_leader and self._seen.get("holderIdentity") == self._identity:
            self._tell("became leader")

    def _tell(self, what: str) -> None:
        if self._recorder is not None:
            self._recorder.event(self._lease, NORMAL, "LeaderElection", f"{self._identity} {what}")

    def _spec(self, old: Object) -> Object:
        now = effects.micro_timestamp()
        spec = {**old, "leaseDurationSeconds": self._times.lease_s, "renewTime": now}
        if old.get("holderIdentity") != self._identity:
            spec["acquireTime"] = now
            spec["leaseTransitions"] = (old.get("leaseTransitions") or 0) + (1 if old else 0)
        spec["holderIdentity"] = self._identity
        return spec

    async def _release(self) -> None:
        """Let the next candidate in at once."""
        try:
            async with asyncio.timeout(2.0):
                lease = await self._client.get(LEASES, self._name, self._namespace)
                if (lease.get("spec") or {}).get("holderIdentity") == self._identity:
                    spec = {**self._spec(lease["spec"]), "holderIdentity": "", "leaseDurationSeconds": 1}
                    await self._client.update(LEASES, {**lease, "spec": spec})
        except (errors.APIError, TimeoutError) as error:
            log.debug("lease %s/%s was not given up: %s", self._namespace, self._name, error)
