"""CRI v1 over gRPC on a Unix socket: the `Runtime` that containerd, CRI-O and every other CRI runtime serve.

Each method is one unary call; `sampan.cri.wire` turns the dataclasses of `sampan.cri.runtime` into protobuf messages
and back. containerd 1.6 has no CRI event stream, so `events` subscribes to containerd's own event service, and to CRI's
GetContainerEvents where that is served instead.

Guarantee: failures are `CRIError`, with gRPC's code and the runtime's message.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from cri_api.v1 import api_pb2 as pb
from cri_api.v1 import api_pb2_grpc

from sampan.cri import images, wire
from sampan.cri.runtime import (
    AuthConfig,
    Condition,
    Container,
    ContainerConfig,
    ContainerStats,
    ContainerStatus,
    CRIError,
    ExecResult,
    Filesystem,
    Image,
    Resources,
    RuntimeEvent,
    Sandbox,
    SandboxConfig,
    SandboxStatus,
    Streams,
    Version,
)

CALL_TIMEOUT_S = 120.0
PULL_TIMEOUT_S = 3600.0
MAX_MESSAGE_BYTES = 16 * 1024 * 1024

stubs: Any = api_pb2_grpc
_OPTIONS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
]


class CRIClient:
    """A connection to one CRI socket; reconnects by itself. Create it inside the event loop that uses it."""

    def __init__(self, socket_path: str) -> None:
        self._socket = socket_path.partition("://")[2] or socket_path
        address = socket_path if "://" in socket_path else f"unix://{socket_path}"
        self._channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        self._runtime = stubs.RuntimeServiceStub(self._channel)
        self._images = stubs.ImageServiceStub(self._channel)

    async def close(self) -> None:
        await self._channel.close()

    async def version(self) -> Version:
        got = await _call(self._runtime.Version(pb.VersionRequest(), timeout=CALL_TIMEOUT_S))
        return Version(got.runtime_name, got.runtime_version, got.runtime_api_version)

    async def status(self) -> Sequence[Condition]:
        got = await _call(self._runtime.Status(pb.StatusRequest(), timeout=CALL_TIMEOUT_S))
        return [Condition(c.type, c.status, c.reason, c.message) for c in got.status.conditions]

    async def update_pod_cidr(self, pod_cidr: str) -> None:
        config = pb.RuntimeConfig(network_config=pb.NetworkConfig(pod_cidr=pod_cidr))
        request = pb.UpdateRuntimeConfigRequest(runtime_config=config)
        await _call(self._runtime.UpdateRuntimeConfig(request, timeout=CALL_TIMEOUT_S))

    async def run_sandbox(self, config: SandboxConfig, runtime_handler: str = "") -> str:
        request = pb.RunPodSandboxRequest(config=wire.sandbox_config(config), runtime_handler=runtime_handler)
        got = await _call(self._runtime.RunPodSandbox(request, timeout=2 * CALL_TIMEOUT_S))
        return str(got.pod_sandbox_id)

    async def stop_sandbox(self, sandbox_id: str) -> None:
        request = pb.StopPodSandboxRequest(pod_sandbox_id=sandbox_id)
        await _call(self._runtime.StopPodSandbox(request, timeout=CALL_TIMEOUT_S))

    async def remove_sandbox(self, sandbox_id: str) -> None:
        request = pb.RemovePodSandboxRequest(pod_sandbox_id=sandbox_id)
        await _call(self._runtime.RemovePodSandbox(request, timeout=CALL_TIMEOUT_S))

    async def list_sandboxes(self, labels: Mapping[str, str] | None = None) -> Sequence[Sandbox]:
        request = pb.ListPodSandboxRequest(filter=pb.PodSandboxFilter(label_selector=labels) if labels else None)
        got = await _call(self._runtime.ListPodSandbox(request, timeout=CALL_TIMEOUT_S))
        return [wire.sandbox(item) for item in got.items]

    async def sandbox_status(self, sandbox_id: str) -> SandboxStatus:
        request = pb.PodSandboxStatusRequest(pod_sandbox_id=sandbox_id)
        got = await _call(self._runtime.PodSandboxStatus(request, timeout=CALL_TIMEOUT_S))
        return wire.sandbox_status(got.status)

    async def create_container(self, sandbox_id: str, config: ContainerConfig, sandbox: SandboxConfig) -> str:
        request = pb.CreateContainerRequest(
            pod_sandbox_id=sandbox_id,
            config=wire.container_config(config),
            sandbox_config=wire.sandbox_config(sandbox),
        )
        got = await _call(self._runtime.CreateContainer(request, timeout=CALL_TIMEOUT_S))
        return str(got.container_id)

    async def start_container(self, container_id: str) -> None:
        request = pb.StartContainerRequest(container_id=container_id)
        await _call(self._runtime.StartContainer(request, timeout=CALL_TIMEOUT_S))

    async def stop_container(self, container_id: str, timeout_s: int) -> None:
        request = pb.StopContainerRequest(container_id=container_id, timeout=timeout_s)
        await _call(self._runtime.StopContainer(request, timeout=CALL_TIMEOUT_S + timeout_s))

    async def remove_container(self, container_id: str) -> None:
        request = pb.RemoveContainerRequest(container_id=container_id)
        await _call(self._runtime.RemoveContainer(request, timeout=CALL_TIMEOUT_S))

    async def list_containers(self, labels: Mapping[str, str] | None = None) -> Sequence[Container]:
        request = pb.ListContainersRequest(filter=pb.ContainerFilter(label_selector=labels) if labels else None)
        got = await _call(self._runtime.ListContainers(request, timeout=CALL_TIMEOUT_S))
        return [wire.container(item) for item in got.containers]

    async def container_status(self, container_id: str) -> ContainerStatus:
        request = pb.ContainerStatusRequest(container_id=container_id)
        got = await _call(self._runtime.ContainerStatus(request, timeout=CALL_TIMEOUT_S))
        return wire.container_status(got.status)

    async def update_resources(self, container_id: str, resources: Resources) -> None:
        request = pb.UpdateContainerResourcesRequest(container_id=container_id, linux=wire.resources(resources))
        await _call(self._runtime.UpdateContainerResources(request, timeout=CALL_TIMEOUT_S))

    async def reopen_log(self, container_id: str) -> None:
        request = pb.ReopenContainerLogRequest(container_id=container_id)
        await _call(self._runtime.ReopenContainerLog(request, timeout=CALL_TIMEOUT_S))

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout_s: float = 0) -> ExecResult:
        request = pb.ExecSyncRequest(container_id=container_id, cmd=list(command), timeout=int(timeout_s))
        limit = timeout_s + 5 if timeout_s else CALL_TIMEOUT_S
        got = await _call(self._runtime.ExecSync(request, timeout=limit))
        return ExecResult(got.stdout, got.stderr, got.exit_code)

    async def exec(self, container_id: str, command: Sequence[str], streams: Streams) -> str:
        request = pb.ExecRequest(
            container_id=container_id, cmd=list(command), tty=streams.tty, stdin=streams.stdin, stdout=streams.stdout,
            stderr=streams.stderr,
        )
        return str((await _call(self._runtime.Exec(request, timeout=CALL_TIMEOUT_S))).url)

    async def attach(self, container_id: str, streams: Streams) -> str:
        request = pb.AttachRequest(
            container_id=container_id, tty=streams.tty, stdin=streams.stdin, stdout=streams.stdout,
            stderr=streams.stderr,
        )
        return str((await _call(self._runtime.Attach(request, timeout=CALL_TIMEOUT_S))).url)

    async def port_forward(self, sandbox_id: str, ports: Sequence[int]) -> str:
        request = pb.PortForwardRequest(pod_sandbox_id=sandbox_id, port=list(ports))
        return str((await _call(self._runtime.PortForward(request, timeout=CALL_TIMEOUT_S))).url)

    async def mount_image(self, image: str, target: str) -> None:
        await self._ctr("mount", images.normalized(image), target)

    async def unmount_image(self, target: str) -> None:
        await self._ctr("unmount", "--rm", target)

    async def _ctr(self, *arguments: str) -> None:
        try:
            await images.ctr(Path(self._socket), "images", *arguments)
        except (images.ImageError, OSError) as error:
            raise CRIError("UNKNOWN", str(error)) from error

    async def list_images(self) -> Sequence[Image]:
        got = await _call(self._images.ListImages(pb.ListImagesRequest(), timeout=CALL_TIMEOUT_S))
        return [wire.image(item) for item in got.images]

    async def image_status(self, image: str) -> Image | None:
        request = pb.ImageStatusRequest(image=pb.ImageSpec(image=image))
        got = await _call(self._images.ImageStatus(request, timeout=CALL_TIMEOUT_S))
        return wire.image(got.image) if got.HasField("image") and got.image.id else None

    async def pull_image(self, image: str, auth: AuthConfig | None, sandbox: SandboxConfig | None) -> str:
        request = pb.PullImageRequest(
            image=pb.ImageSpec(image=image),
            auth=wire.auth(auth) if auth else None,
            sandbox_config=wire.sandbox_config(sandbox) if sandbox else None,
        )
        return str((await _call(self._images.PullImage(request, timeout=PULL_TIMEOUT_S))).image_ref)

    async def remove_image(self, image: str) -> None:
        request = pb.RemoveImageRequest(image=pb.ImageSpec(image=image))
        await _call(self._images.RemoveImage(request, timeout=CALL_TIMEOUT_S))

    async def image_filesystems(self) -> Sequence[Filesystem]:
        got = await _call(self._images.ImageFsInfo(pb.ImageFsInfoRequest(), timeout=CALL_TIMEOUT_S))
        return [
            Filesystem(item.fs_id.mountpoint, item.used_bytes.value, item.inodes_used.value)
            for item in got.image_filesystems
        ]

    async def list_stats(self) -> Sequence[ContainerStats]:
        got = await _call(self._runtime.ListContainerStats(pb.ListContainerStatsRequest(), timeout=CALL_TIMEOUT_S))
        return [wire.container_stats(item) for item in got.stats]

    async def events(self) -> AsyncIterator[RuntimeEvent]:
        """containerd's task events; CRI's own stream where containerd's service is missing."""
        subscribe = self._channel.unary_stream("/containerd.services.events.v1.Events/Subscribe")
        stream = subscribe(wire.subscribe_request(('namespace==k8s.io,topic~="^/tasks/"',)))
        try:
            async for envelope in stream:
                yield wire.containerd_event(envelope)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                raise _error(error) from None
        try:
            async for event in self._runtime.GetContainerEvents(pb.GetEventsRequest()):
                yield RuntimeEvent(str(event.container_event_type), event.container_id)
        except grpc.aio.AioRpcError as error:
            raise _error(error) from None


async def _call(pending: Awaitable[Any]) -> Any:
    try:
        return await pending
    except grpc.aio.AioRpcError as error:
        raise _error(error) from None
    except grpc.aio.UsageError as error:
        raise CRIError("UNAVAILABLE", str(error)) from None


def _error(error: grpc.aio.AioRpcError) -> CRIError:
    return CRIError(error.code().name, error.details() or error.code().name)
