"""PodInformer: every pod that matters to scheduling, as PodInfo, kept equal to the API server's list.

As `client.informer.Informer`, but a pod is parsed where it arrives and its document is dropped once it is on a node; so
a hundred thousand running pods cost a few hundred bytes each, and no pod is parsed twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Protocol

from sampan.api.resources import PODS
from sampan.apimachinery.object import Object, key_of
from sampan.client.client import Client, WatchEvent
from sampan.client.reflector import Reflector
from sampan.scheduler.pod_info import PodInfo, parse

log = logging.getLogger(__name__)

RUNNING = "status.phase!=Succeeded,status.phase!=Failed"
"""Pods that have ended hold nothing on a node."""
PAGE_SIZE = 2000
"""A hundred thousand pods as documents would take a gigabyte, if only for a moment."""


class PodHandler(Protocol):
    """Called in the order of the changes."""

    def added(self, pod: PodInfo) -> None: ...
    def updated(self, old: PodInfo, new: PodInfo) -> None: ...
    def deleted(self, pod: PodInfo) -> None: ...


class PodInformer:
    """`run()` never returns; `handler` is called for each change, and sees a pod replaced as deleted and added."""

    def __init__(self, client: Client) -> None:
        self._pods: dict[str, PodInfo] = {}
        self.handler: PodHandler | None = None
        self._synced = asyncio.Event()
        self.reflector = Reflector(
            client, PODS, self, field_selector=RUNNING, page_size=PAGE_SIZE, reduce=self._parsed
        )

    def __len__(self) -> int:
        return len(self._pods)

    def __iter__(self) -> Iterator[PodInfo]:
        return iter(self._pods.values())

    def get(self, key: str) -> PodInfo | None:
        """A pod by its `namespace/name`."""
        return self._pods.get(key)

    async def run(self) -> None:
        """Keep the copy current until cancelled."""
        await self.reflector.run()

    async def wait_synced(self) -> None:
        await self._synced.wait()

    def replace(self, items: list[PodInfo | None]) -> None:
        """Make the copy equal to `items`; called by the reflector."""
        gone = dict.fromkeys(self._pods)
        for pod in items:
            if pod is not None:
                gone.pop(pod.key, None)
                self._put(pod)
        for key in gone:
            self._remove(key)
        self._synced.set()

    def apply(self, event: WatchEvent) -> None:
        """Take one change; called by the reflector."""
        if event.type == "DELETED":
            self._remove(key_of(event.object))
        elif (pod := self._parsed(event.object)) is not None:
            self._put(pod)

    def _parsed(self, obj: Object) -> PodInfo | None:
        try:
            return parse(obj)
        except (KeyError, TypeError, ValueError):
            log.exception("pod %s cannot be read; it is left alone", key_of(obj))
            return None

    def _put(self, pod: PodInfo) -> None:
        old = self._pods.get(pod.key)
        if old is not None and old.uid != pod.uid:  # another pod under the same name: the old one went unseen
            self._remove(pod.key)
            old = None
        if old is not None and old.resource_version == pod.resource_version and old.resource_version:
            return
        self._pods[pod.key] = pod
        if self.handler is None:
            return
        if old is None:
            self.handler.added(pod)
        else:
            self.handler.updated(old, pod)

    def _remove(self, key: str) -> None:
        pod = self._pods.pop(key, None)
        if pod is not None and self.handler is not None:
            self.handler.deleted(pod)
