"""The container runtime as the kubelet sees it: typed values and one Protocol, after CRI v1 (k8s.io/cri-api).

The kubelet works only with what is here. `sampan.cri.client.CRIClient` speaks it over gRPC to containerd, CRI-O or any
other CRI v1 runtime; a simulated node implements it in memory. Values are frozen dataclasses whose fields carry CRI's
names with units added; enumerations are the strings that CRI prints without their prefix.

Guarantee: every method raises `CRIError` and nothing else when the runtime refuses or cannot be reached.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

NamespaceMode: TypeAlias = Literal["POD", "CONTAINER", "NODE", "TARGET"]
ContainerState: TypeAlias = Literal["CREATED", "RUNNING", "EXITED", "UNKNOWN"]
SandboxState: TypeAlias = Literal["READY", "NOTREADY"]
Propagation: TypeAlias = Literal["PRIVATE", "HOST_TO_CONTAINER", "BIDIRECTIONAL"]


class CRIError(Exception):
    """The runtime's refusal. `code` is gRPC's, in words: NOT_FOUND, UNAVAILABLE, DEADLINE_EXCEEDED, UNKNOWN, …"""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Version:
    runtime_name: str
    runtime_version: str
    runtime_api_version: str


@dataclass(frozen=True, slots=True)
class Condition:
    """`RuntimeReady` or `NetworkReady`."""

    type: str
    status: bool
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class AuthConfig:
    """Credentials for a registry."""

    username: str = ""
    password: str = ""
    auth: str = ""
    server_address: str = ""
    identity_token: str = ""
    registry_token: str = ""


@dataclass(frozen=True, slots=True)
class Image:
    """An image in the runtime's store. `uid` and `username` are what its config says it runs as."""

    id: str
    repo_tags: tuple[str, ...] = ()
    repo_digests: tuple[str, ...] = ()
    size_bytes: int = 0
    uid: int | None = None
    username: str = ""
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class SeccompProfile:
    """`type` is RuntimeDefault, Unconfined or Localhost."""

    type: str
    localhost_ref: str = ""


@dataclass(frozen=True, slots=True)
class Namespaces:
    """Whose namespaces a sandbox or container joins. `target_id` goes with pid mode TARGET."""

    network: NamespaceMode = "POD"
    pid: NamespaceMode = "CONTAINER"
    ipc: NamespaceMode = "POD"
    target_id: str = ""


@dataclass(frozen=True, slots=True)
class DNSConfig:
    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PortMapping:
    protocol: str
    container_port: int
    host_port: int
    host_ip: str = ""


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """All that RunPodSandbox needs; `attempt` counts the sandboxes of one pod."""

    name: str
    namespace: str
    uid: str
    attempt: int = 0
    hostname: str = ""
    log_directory: str = ""
    dns: DNSConfig | None = None
    port_mappings: tuple[PortMapping, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    cgroup_parent: str = ""
    sysctls: Mapping[str, str] = field(default_factory=dict)
    namespaces: Namespaces = Namespaces()
    run_as_user: int | None = None
    run_as_group: int | None = None
    supplemental_groups: tuple[int, ...] = ()
    privileged: bool = False
    seccomp: SeccompProfile | None = None


@dataclass(frozen=True, slots=True)
class Resources:
    """A container's cgroup limits; 0 means not set. `oom_score_adj` is always applied."""

    cpu_period_us: int = 0
    cpu_quota_us: int = 0
    cpu_shares: int = 0
    memory_limit_bytes: int = 0
    oom_score_adj: int = 0
    unified: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mount:
    container_path: str
    host_path: str
    readonly: bool = False
    propagation: Propagation = "PRIVATE"


@dataclass(frozen=True, slots=True)
class Device:
    container_path: str
    host_path: str
    permissions: str = "mrw"


@dataclass(frozen=True, slots=True)
class ContainerSecurity:
    """As LinuxContainerSecurityContext. An empty `masked_paths` unmasks everything."""

    privileged: bool = False
    add_capabilities: tuple[str, ...] = ()
    drop_capabilities: tuple[str, ...] = ()
    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_username: str = ""
    readonly_rootfs: bool = False
    supplemental_groups: tuple[int, ...] = ()
    no_new_privs: bool = False
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    seccomp: SeccompProfile | None = None
    namespaces: Namespaces = Namespaces()


@dataclass(frozen=True, slots=True)
class ContainerConfig:
    """All that CreateContainer needs. `image` is an image id; `log_path` is relative to the sandbox's log directory."""

    name: str
    image: str
    attempt: int = 0
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    envs: tuple[tuple[str, str], ...] = ()
    mounts: tuple[Mount, ...] = ()
    devices: tuple[Device, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    log_path: str = ""
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    resources: Resources = Resources()
    security: ContainerSecurity = ContainerSecurity()


@dataclass(frozen=True, slots=True)
class Sandbox:
    """One item of ListPodSandbox. `created_at_ns` is nanoseconds since the epoch."""

    id: str
    name: str
    namespace: str
    uid: str
    attempt: int
    state: SandboxState
    created_at_ns: int
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SandboxStatus:
    """A sandbox with its addresses; `ips` is empty for one in the node's network."""

    sandbox: Sandbox
    ips: tuple[str, ...] = ()
    network: NamespaceMode = "POD"


@dataclass(frozen=True, slots=True)
class Container:
    """One item of ListContainers."""

    id: str
    sandbox_id: str
    name: str
    attempt: int
    image: str
    image_ref: str
    state: ContainerState
    created_at_ns: int
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ContainerStatus:
    """As CRI's; times are nanoseconds since the epoch, 0 when it has not happened."""

    id: str
    name: str
    attempt: int
    state: ContainerState
    created_at_ns: int
    started_at_ns: int
    finished_at_ns: int
    exit_code: int
    image: str
    image_ref: str
    image_id: str = ""
    reason: str = ""
    message: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    log_path: str = ""


@dataclass(frozen=True, slots=True)
class ExecResult:
    stdout: bytes
    stderr: bytes
    exit_code: int


@dataclass(frozen=True, slots=True)
class ContainerStats:
    """Usage of one running container at `timestamp_ns`."""

    id: str
    name: str
    labels: Mapping[str, str]
    timestamp_ns: int
    cpu_usage_ns: int
    memory_working_set_bytes: int
    memory_usage_bytes: int = 0
    memory_rss_bytes: int = 0
    filesystem_used_bytes: int = 0
    filesystem_inodes_used: int = 0


@dataclass(frozen=True, slots=True)
class Filesystem:
    """Where the runtime keeps images."""

    mountpoint: str
    used_bytes: int
    inodes_used: int


@dataclass(frozen=True, slots=True)
class RuntimeEvent:
    """Something happened to a container or sandbox: a hint to look, no more. `topic` is the runtime's word for it.

    `is_exec` marks what happened only to a command run inside the container.
    """

    topic: str
    container_id: str
    is_exec: bool = False


class Runtime(Protocol):
    """CRI v1's RuntimeService and ImageService."""

    async def version(self) -> Version: ...
    async def status(self) -> Sequence[Condition]: ...
    async def update_pod_cidr(self, pod_cidr: str) -> None: ...

    async def run_sandbox(self, config: SandboxConfig, runtime_handler: str = "") -> str:
        """Create and start a sandbox; its id."""

    async def stop_sandbox(self, sandbox_id: str) -> None:
        """Stop its containers by force, free its network. Idempotent."""

    async def remove_sandbox(self, sandbox_id: str) -> None: ...
    async def list_sandboxes(self, labels: Mapping[str, str] | None = None) -> Sequence[Sandbox]:
        """All of them, or those that carry these labels."""

    async def sandbox_status(self, sandbox_id: str) -> SandboxStatus: ...

    async def create_container(self, sandbox_id: str, config: ContainerConfig, sandbox: SandboxConfig) -> str:
        """Create but do not start; its id."""

    async def start_container(self, container_id: str) -> None: ...
    async def stop_container(self, container_id: str, timeout_s: int) -> None:
        """SIGTERM (or the image's stop signal), then SIGKILL after `timeout_s`; returns when it has ended."""

    async def remove_container(self, container_id: str) -> None: ...
    async def list_containers(self, labels: Mapping[str, str] | None = None) -> Sequence[Container]:
        """All of them, or those that carry these labels."""

    async def container_status(self, container_id: str) -> ContainerStatus: ...
    async def update_resources(self, container_id: str, resources: Resources) -> None: ...
    async def reopen_log(self, container_id: str) -> None: ...

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout_s: float = 0) -> ExecResult: ...
    async def exec(self, container_id: str, command: Sequence[str], streams: Streams) -> str:
        """The URL of the runtime's streaming server for this session."""

    async def attach(self, container_id: str, streams: Streams) -> str: ...
    async def port_forward(self, sandbox_id: str, ports: Sequence[int]) -> str: ...

    async def mount_image(self, image: str, target: str) -> None:
        """Show an image's files, read-only, at a directory. CRI mounts images only from containerd 2.1 on."""

    async def unmount_image(self, target: str) -> None:
        """Take such a mount down, with what the runtime keeps for it. Nothing happens where there is none."""

    async def list_images(self) -> Sequence[Image]: ...
    async def image_status(self, image: str) -> Image | None: ...
    async def pull_image(self, image: str, auth: AuthConfig | None, sandbox: SandboxConfig | None) -> str:
        """Pull; the image's reference (id)."""

    async def remove_image(self, image: str) -> None: ...
    async def image_filesystems(self) -> Sequence[Filesystem]: ...

    async def list_stats(self) -> Sequence[ContainerStats]: ...

    def events(self) -> AsyncIterator[RuntimeEvent]:
        """Hints that state changed. Raises CRIError UNIMPLEMENTED where the runtime has no such stream."""

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Streams:
    """Which streams an exec or attach session has."""

    stdin: bool = False
    stdout: bool = True
    stderr: bool = True
    tty: bool = False
