"""One extender: its verbs as requests, and which pods concern it.

What reads (filter, prioritize, preempt) is sent again once when the connection was lost, binding is not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import orjson

from sampan.apimachinery import errors
from sampan.apimachinery.http import Request, Transport
from sampan.apimachinery.object import Object
from sampan.client.kubeconfig import Credentials, Material
from sampan.client.transport import HTTPTransport
from sampan.scheduler.configuration.extender import ExtenderConfig, ExtenderTLS
from sampan.scheduler.extenders import documents
from sampan.scheduler.extenders.documents import BadAnswer, Filtered, Victims
from sampan.scheduler.pod_info import PodInfo

T = TypeVar("T")


class ExtenderError(Exception):
    """An extender could not be asked, or said that it failed."""


class Extender:
    """`config` says where it is and what it can."""

    def __init__(self, config: ExtenderConfig, transport: Transport | None = None) -> None:
        self.config = config
        url = urlsplit(config.url_prefix)
        self._path = url.path.rstrip("/")
        self._managed = frozenset(resource.name for resource in config.managed_resources)
        self._transport = transport or _transport(config)

    @property
    def name(self) -> str:
        return self.config.url_prefix

    async def close(self) -> None:
        await self._transport.close()

    def concerns(self, pod: PodInfo) -> bool:
        """Whether the pod asks for one of the resources that the extender manages; it manages all if it names none."""
        if not self._managed:
            return True
        spec = (pod.obj or {}).get("spec") or {}
        for container in [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]:
            asked = container.get("resources") or {}
            if self._managed & {*(asked.get("requests") or ()), *(asked.get("limits") or ())}:
                return True
        return False

    async def filter(self, pod: Object, nodes: Mapping[str, Object]) -> Filtered:
        """Which of the nodes are left. Raises ExtenderError."""
        body = documents.arguments(pod, nodes, names_only=self.config.node_cache_capable)
        return self._read(documents.filtered, await self._post(self.config.filter_verb, body), nodes)

    async def prioritize(self, pod: Object, nodes: Mapping[str, Object]) -> dict[str, int]:
        """Scores from 0 to 10, by node. Raises ExtenderError."""
        body = documents.arguments(pod, nodes, names_only=self.config.node_cache_capable)
        return self._read(documents.priorities, await self._post(self.config.prioritize_verb, body))

    async def preempt(self, pod: Object, victims: Mapping[str, tuple[list[Object], int]]) -> dict[str, Victims]:
        """The nodes on which it agrees to preemption, and of which pods. Raises ExtenderError."""
        body = documents.preemption(pod, victims, names_only=self.config.node_cache_capable)
        return self._read(documents.victims, await self._post(self.config.preempt_verb, body))

    async def bind(self, pod: PodInfo, node_name: str) -> None:
        """Let it bind the pod. Raises ExtenderError."""
        await self._post(self.config.bind_verb, documents.binding(pod, node_name), again=False)

    def _read(self, reader: Callable[..., T], answer: Any, *arguments: Any) -> T:
        try:
            return reader(answer, *arguments)
        except (BadAnswer, TypeError, ValueError) as error:
            raise ExtenderError(f'extender "{self.name}": {error}') from error

    async def _post(self, verb: str, body: Object, *, again: bool = True) -> Any:
        request = Request(
            "POST", f"{self._path}/{verb}", {}, {"content-type": "application/json", "accept": "application/json"},
            orjson.dumps(body),
        )
        try:
            async with asyncio.timeout(self.config.http_timeout_s):
                try:
                    response = await self._transport.request(request)
                except errors.ServiceUnavailable:
                    if not again:
                        raise
                    response = await self._transport.request(request)
        except (errors.APIError, TimeoutError) as error:
            raise ExtenderError(f'extender "{self.name}": {verb}: {error or "timed out"}') from error
        if response.status != 200:
            raise ExtenderError(f"failed {verb} with extender at URL {self.name}/{verb}, code {response.status}")
        try:
            answer = orjson.loads(response.body) if response.body else {}
        except orjson.JSONDecodeError as error:
            raise ExtenderError(f'extender "{self.name}": {verb}: the answer is not JSON') from error
        said = documents.error_of(answer)
        if said:
            raise ExtenderError(said)
        return answer


def _transport(config: ExtenderConfig) -> HTTPTransport:
    url = urlsplit(config.url_prefix)
    scheme = "https" if config.enable_https else url.scheme
    server = f"{scheme}://{url.netloc}"
    if scheme == "http":
        return HTTPTransport(server)
    tls = config.tls or ExtenderTLS()
    has_ca = bool(tls.ca_data or tls.ca_file)
    credentials = Credentials(
        server, _material(tls.ca_data, tls.ca_file), _material(tls.cert_data, tls.cert_file),
        _material(tls.key_data, tls.key_file), insecure=tls.insecure or (config.enable_https and not has_ca),
    )
    return HTTPTransport(server, credentials.ssl_context, server_name=tls.server_name)


def _material(data: bytes, file: str) -> Material:
    return Material(data=data) if data else Material(path=Path(file)) if file else Material()
