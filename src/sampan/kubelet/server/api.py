"""The node's own API."""
from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sampan.kubelet.kubelet import Kubelet


class NodeAPI:
    def __init__(self, kubelet: Kubelet) -> None:
        self._kubelet = kubelet

    async def run(self) -> None:
        await asyncio.Event().wait()
