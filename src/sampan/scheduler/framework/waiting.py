"""Pods that a Permit plugin holds: they keep their place on the node until allowed, rejected, or their time is over."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping

from sampan.scheduler.framework.status import Code, Status
from sampan.scheduler.pod_info import PodInfo


class WaitingPod:
    """One pod; `plugins` are those that still hold it. The first rejection decides, else the last allowance."""

    def __init__(self, pod: PodInfo, node_name: str, timeouts: Mapping[str, float]) -> None:
        self.pod = pod
        self.node_name = node_name
        self.plugins = dict.fromkeys(timeouts)
        loop = asyncio.get_running_loop()
        self._verdict: asyncio.Future[Status | None] = loop.create_future()
        self._timers = [
            loop.call_later(timeout_s, self.reject, name, f"rejected due to timeout after waiting {timeout_s:g}s")
            for name, timeout_s in timeouts.items()
        ]

    def allow(self, plugin: str) -> None:
        """The plugin holds the pod no longer."""
        self.plugins.pop(plugin, None)
        if not self.plugins:
            self._decide(None)

    def reject(self, plugin: str, message: str) -> None:
        """The pod gives up its place and is queued again."""
        self._decide(Status(Code.UNSCHEDULABLE, (message,), plugin))

    async def verdict(self) -> Status | None:
        """None once the pod may go on."""
        try:
            return await self._verdict
        finally:
            for timer in self._timers:
                timer.cancel()

    def _decide(self, verdict: Status | None) -> None:
        if not self._verdict.done():
            self._verdict.set_result(verdict)


class WaitingPods:
    """Every pod that waits at present, by uid, longest waiting first."""

    def __init__(self) -> None:
        self._pods: dict[str, WaitingPod] = {}

    def __iter__(self) -> Iterator[WaitingPod]:
        return iter(list(self._pods.values()))

    def __len__(self) -> int:
        return len(self._pods)

    def get(self, uid: str) -> WaitingPod | None:
        return self._pods.get(uid)

    def hold(self, pod: PodInfo, node_name: str, timeouts: Mapping[str, float]) -> None:
        """Begin to hold a pod: by these plugins, each for so many seconds at most."""
        self._pods[pod.uid] = WaitingPod(pod, node_name, timeouts)

    async def verdict(self, pod: PodInfo) -> Status | None:
        """Wait until the pod may go on (None, at once if it is not held) or must not."""
        waiting = self._pods.get(pod.uid)
        if waiting is None:
            return None
        try:
            return await waiting.verdict()
        finally:
            self.drop(pod)

    def drop(self, pod: PodInfo) -> None:
        self._pods.pop(pod.uid, None)
