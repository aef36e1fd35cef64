"""DefaultBinder: tells the API server where the pod goes, through its binding subresource."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from sampan.api.resources import PODS
from sampan.apimachinery import errors
from sampan.apimachinery.object import Object, uid_of
from sampan.client.client import Client
from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.handle import Handle
from sampan.scheduler.framework.interface import CycleState
from sampan.scheduler.framework.status import Code, Status
from sampan.scheduler.pod_info import PodInfo


class DefaultBinder:
    name: ClassVar[str] = "DefaultBinder"
    events: ClassVar[frozenset[ClusterEvent]] = frozenset()

    def __init__(self, handle: Handle, arguments: Mapping[str, Any]) -> None:
        self._client = handle.client

    async def bind(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        assert self._client is not None, "a binder needs a client"
        binding: Object = {
            "apiVersion": "v1", "kind": "Binding",
            "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node_name},
        }
        try:
            await self._client.create(PODS, binding, pod.namespace, name=pod.name, subresource="binding")
        except errors.APIError as error:
            if await _is_bound(self._client, pod, node_name):
                return None
            return Status(Code.ERROR, (str(error),))
        return None


async def _is_bound(client: Client, pod: PodInfo, node_name: str) -> bool:
    """A binding whose answer was lost may have happened all the same."""
    try:
        present = await client.get(PODS, pod.name, pod.namespace)
    except errors.APIError:
        return False
    return uid_of(present) == pod.uid and (present.get("spec") or {}).get("nodeName") == node_name
