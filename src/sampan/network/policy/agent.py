"""Keeps a node's nftables table of NetworkPolicies: watches, works out, writes what changed.

Pods and namespaces are watched only once there is a policy. The table is replaced whole at the start and whenever the
kernel refuses a change; what it wrote stays when it ends, so pods stay isolated while it is away. `admit` is called by
whoever starts pods, between a pod's network and its first container: a pod that a policy selects is isolated before it
runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass

from sampan.api.resources import NAMESPACES, NETWORK_POLICIES, NODES, PODS
from sampan.apimachinery.object import Object, key_of
from sampan.client.client import Client
from sampan.client.informer import InformerFactory
from sampan.netfilter.kernel import Kernel
from sampan.netfilter.nft import NFTError
from sampan.netfilter.ruleset import Ruleset, Transaction
from sampan.network.policy.rules import frame
from sampan.network.policy.view import Policies

log = logging.getLogger(__name__)

RETRY_S, RETRY_LIMIT_S = 1.0, 30.0
SETTLE_S = 0.01
ADMIT_S = 5.0
AUDIT_S = 60.0


@dataclass(frozen=True, slots=True)
class PolicyConfig:
    """`enter` moves the thread that talks to the kernel into the node's namespace, where the process is not there."""

    node: str
    enter: Callable[[], None] | None = None


class PolicyAgent:
    """`run` until cancelled; `admit` at any time."""

    def __init__(self, config: PolicyConfig) -> None:
        self._config = config
        self._policies = Policies(config.node)
        self._ruleset = Ruleset(frame())
        self._changed = asyncio.Event()
        self._written = asyncio.Condition()
        self._asked = 0
        self._done = 0
        self._is_running = False
        self.failures = 0

    async def admit(self, pod: Object, ips: tuple[str, ...]) -> None:
        """Return once the kernel isolates the pod as its policies ask. A node whose agent does not work lets it start
        after a while, and says so: like upstream's, policies are enforced by who is there to enforce them."""
        if not self._is_running or not ips or not self._policies.isolates(pod):
            return
        self._policies.set_pod(pod, ips[0])
        self._note()
        mine = self._asked
        try:
            async with asyncio.timeout(ADMIT_S), self._written:
                await self._written.wait_for(lambda: self._done >= mine)
        except TimeoutError:
            log.error("pod %s starts before its policies are enforced", key_of(pod))

    async def run(self, client: Client) -> None:
        self._policies, self._ruleset = Policies(self._config.node), Ruleset(frame())
        kernel = Kernel(self._config.enter)
        first, second = InformerFactory(client), InformerFactory(client)
        try:
            async with first, second:
                await self._watch(first, second, kernel)
                await self._loop(kernel)
        finally:
            self._is_running = False
            await kernel.close()

    async def _watch(self, first: InformerFactory, second: InformerFactory, kernel: Kernel) -> None:
        """Policies at once; the rest when there is a policy. Without any, what an earlier agent wrote is undone."""
        policies = first.informer(NETWORK_POLICIES)
        there = asyncio.Event()
        policies.add_handler(lambda obj: there.set())
        await policies.wait_synced()
        self._is_running = True
        if not there.is_set() and await kernel.has_table(self._ruleset.frame):
            await kernel.replace(self._ruleset)
        await there.wait()
        view = self._policies
        for resource, put, drop in (
            (NAMESPACES, view.set_namespace, view.drop_namespace), (NODES, view.set_node, view.drop_node),
            (PODS, view.set_pod, view.drop_pod),
        ):
            informer = second.informer(resource)
            await informer.wait_synced()
            informer.add_handler(self._told(put), self._told_new(put), self._told(drop))
        policies.add_handler(
            self._told(view.set_policy), self._told_new(view.set_policy), self._told(view.drop_policy)
        )

    def _told(self, take: Callable[[Object], None]) -> Callable[[Object], None]:
        def told(obj: Object) -> None:
            try:
                take(obj)
            except (KeyError, ValueError, TypeError):  # whatever the API server let through
                self.failures += 1
                log.exception("network policies: %s %s cannot be read", obj.get("kind"), key_of(obj))
            self._note()

        return told

    def _told_new(self, take: Callable[[Object], None]) -> Callable[[Object, Object], None]:
        told = self._told(take)
        return lambda _, new: told(new)

    def _note(self) -> None:
        self._asked += 1
        self._changed.set()

    async def _loop(self, kernel: Kernel) -> None:
        whole, retry_s = True, RETRY_S
        while True:
            self._changed.clear()
            asked = self._asked
            try:
                await self._write(kernel, whole=whole)
            except (NFTError, OSError) as error:
                self.failures += 1
                log.error("network policies: not written, trying again in %s s: %s", retry_s, error)
                self._policies.all_keys()
                await asyncio.sleep(retry_s)
                whole, retry_s = True, min(2 * retry_s, RETRY_LIMIT_S)
                continue
            whole, retry_s = False, RETRY_S
            async with self._written:
                self._done = asked
                self._written.notify_all()
            while not self._changed.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(AUDIT_S):
                        await self._changed.wait()
                if not self._changed.is_set() and not await kernel.has_table(self._ruleset.frame):
                    log.warning("table %s was removed by somebody; writing it again", self._ruleset.frame.table)
                    whole = True
                    self._changed.set()
            await asyncio.sleep(SETTLE_S)

    async def _write(self, kernel: Kernel, *, whole: bool) -> None:
        main: list[str] = []
        cleanup: list[str] = []
        for piece in self._policies.pieces():
            transaction = self._ruleset.update(piece)
            main += transaction.main
            cleanup += transaction.cleanup
            await asyncio.sleep(0)  # the node's kubelet lives in the same process
        if whole:
            await kernel.replace(self._ruleset)
        elif main or cleanup:
            await kernel.apply(Transaction(tuple(main), tuple(cleanup)))
