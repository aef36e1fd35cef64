"""A node without a machine: the kubelet over the fake API and the fake runtime, on virtual time."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.kubelet.fake_api import FakeAPI
from tests.kubelet.fake_runtime import FakeRuntime

from sampan import effects
from sampan.kubelet.config import Eviction, KubeletConfig
from sampan.kubelet.kubelet import Kubelet
from sampan.kubelet.machine import Machine
from sampan.sim import loop
from sampan.sim.source import SeededSource

Object = dict[str, Any]

MACHINE = Machine(4, 8 * 2**30, "m", "s", "b", "6.1", "Test Linux", "amd64")
DEADLINE_S = 3600.0
NO_EVICTION = Eviction(0, 0.0, 0.0)


def pod(name: str = "web", containers: list[Object] | None = None, **spec: Any) -> Object:
    """A pod bound to node n1, as the API server has defaulted it."""
    items = containers or [{"name": "main", "image": "app:1"}]
    for item in items:
        item.setdefault("image", "app:1")
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}", "generation": 1},
        "spec": {"nodeName": "n1", "restartPolicy": "Always", "containers": items, **spec},
        "status": {"phase": "Pending"},
    }


class World:
    """`kubelet` runs; `restart` kills it without any farewell and starts another one."""

    def __init__(self, root: Path, runtime: FakeRuntime | None = None, **config: Any) -> None:
        self.api = FakeAPI()
        self.runtime = runtime or FakeRuntime()
        self.config = KubeletConfig(
            "n1", "192.168.0.1", "", root, cgroup_root="", host_etc_hosts=root / "no-hosts",
            host_resolv_conf=root / "no-resolv", cluster_dns=("10.96.0.10",), eviction=NO_EVICTION, **config,
        )
        self.kubelet = self._new()
        self._task: asyncio.Task[None] | None = None

    def _new(self) -> Kubelet:
        return Kubelet(self.api.client(), self.config, self.runtime, MACHINE)

    async def __aenter__(self) -> World:
        self._task = asyncio.create_task(self.kubelet.run())
        await self.until(lambda: self.kubelet.pods.is_synced)
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def restart(self, **config: Any) -> None:
        await self.__aexit__()
        self.config = replace(self.config, **config)
        self.kubelet = self._new()
        await self.__aenter__()

    async def until(self, condition: Callable[[], object], deadline_s: float = DEADLINE_S) -> float:
        """Wait for it on virtual time; how long it took."""
        began = effects.monotonic()
        while True:
            if self._task is not None and self._task.done():
                self._task.result()
            if condition():
                return effects.monotonic() - began
            assert effects.monotonic() - began < deadline_s, "it did not happen"
            await asyncio.sleep(0.05)

    def add(self, document: Object) -> Object:
        return self.api.put("pods", copy.deepcopy(document))

    def status(self, name: str = "web") -> Object:
        found = self.api.get("pods", name)
        return (found or {}).get("status") or {}

    def container(self, name: str = "web", index: int = 0) -> Object:
        items = self.status(name).get("containerStatuses") or []
        return items[index] if index < len(items) else {}

    def is_ready(self, name: str = "web") -> bool:
        return self.condition("Ready", name).get("status") == "True"

    def condition(self, kind: str, name: str = "web") -> Object:
        found = [item for item in self.status(name).get("conditions") or [] if item["type"] == kind]
        return found[0] if found else {}

    def waiting(self, name: str = "web") -> str:
        return ((self.container(name).get("state") or {}).get("waiting") or {}).get("reason", "")


def simulate(story: Callable[[], Awaitable[None]]) -> None:
    """Run a test's story on virtual time with a seed."""
    async def main() -> None:
        with effects.use(SeededSource(7, asyncio.get_running_loop())):
            await story()

    work: Coroutine[Any, Any, None] = main()
    loop.run(work)
