"""Between the dataclasses of `sampan.cri.runtime` and CRI's protobuf messages; pure functions.

Also the few bytes of containerd's event service that the kubelet reads, decoded by hand since no stubs for it exist:
`Envelope{timestamp=1, namespace=2, topic=3, event=4: Any{type_url=1, value=2}}`, where the value of every task event
starts with `container_id=1`, and `id=2` of TaskExit is the process: the container's own, or an exec's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, get_args

from cri_api.v1 import api_pb2

from sampan.cri.runtime import (
    AuthConfig,
    Container,
    ContainerConfig,
    ContainerSecurity,
    ContainerState,
    ContainerStats,
    ContainerStatus,
    Image,
    NamespaceMode,
    Namespaces,
    Resources,
    RuntimeEvent,
    Sandbox,
    SandboxConfig,
    SandboxStatus,
    SeccompProfile,
)

pb: Any = api_pb2  # enumerations arrive here as plain numbers, which the stubs' types refuse
_STATES: dict[int, ContainerState] = {0: "CREATED", 1: "RUNNING", 2: "EXITED", 3: "UNKNOWN"}
_MODES: dict[int, NamespaceMode] = dict(enumerate(get_args(NamespaceMode)))
_PROFILES = {"RuntimeDefault": 0, "Unconfined": 1, "Localhost": 2}
_PROPAGATION = {"PRIVATE": 0, "HOST_TO_CONTAINER": 1, "BIDIRECTIONAL": 2}


def _int64(value: int | None) -> Any:
    return None if value is None else pb.Int64Value(value=value)


def _seccomp(profile: SeccompProfile | None) -> Any:
    if profile is None:
        return None
    return pb.SecurityProfile(profile_type=_PROFILES[profile.type], localhost_ref=profile.localhost_ref)


def _namespaces(options: Namespaces) -> Any:
    numbers = {name: number for number, name in _MODES.items()}
    return pb.NamespaceOption(
        network=numbers[options.network], pid=numbers[options.pid], ipc=numbers[options.ipc],
        target_id=options.target_id,
    )


def sandbox_config(config: SandboxConfig) -> Any:
    """-> PodSandboxConfig."""
    security = pb.LinuxSandboxSecurityContext(
        namespace_options=_namespaces(config.namespaces), run_as_user=_int64(config.run_as_user),
        run_as_group=_int64(config.run_as_group), supplemental_groups=config.supplemental_groups,
        privileged=config.privileged, seccomp=_seccomp(config.seccomp),
    )
    ports = [
        pb.PortMapping(
            protocol=pb.Protocol.Value(item.protocol), container_port=item.container_port, host_port=item.host_port,
            host_ip=item.host_ip,
        )
        for item in config.port_mappings
    ]
    dns = config.dns
    return pb.PodSandboxConfig(
        metadata=pb.PodSandboxMetadata(
            name=config.name, uid=config.uid, namespace=config.namespace, attempt=config.attempt
        ),
        hostname=config.hostname, log_directory=config.log_directory, port_mappings=ports,
        dns_config=pb.DNSConfig(servers=dns.servers, searches=dns.searches, options=dns.options) if dns else None,
        labels=config.labels, annotations=config.annotations,
        linux=pb.LinuxPodSandboxConfig(
            cgroup_parent=config.cgroup_parent, security_context=security, sysctls=config.sysctls
        ),
    )


def resources(value: Resources) -> Any:
    """-> LinuxContainerResources."""
    return pb.LinuxContainerResources(
        cpu_period=value.cpu_period_us, cpu_quota=value.cpu_quota_us, cpu_shares=value.cpu_shares,
        memory_limit_in_bytes=value.memory_limit_bytes, oom_score_adj=value.oom_score_adj, unified=value.unified,
    )


def _security(value: ContainerSecurity) -> Any:
    return pb.LinuxContainerSecurityContext(
        capabilities=pb.Capability(add_capabilities=value.add_capabilities, drop_capabilities=value.drop_capabilities),
        privileged=value.privileged, namespace_options=_namespaces(value.namespaces),
        run_as_user=_int64(value.run_as_user), run_as_group=_int64(value.run_as_group),
        run_as_username=value.run_as_username, readonly_rootfs=value.readonly_rootfs,
        supplemental_groups=value.supplemental_groups, no_new_privs=value.no_new_privs,
        masked_paths=value.masked_paths, readonly_paths=value.readonly_paths, seccomp=_seccomp(value.seccomp),
    )


def container_config(config: ContainerConfig) -> Any:
    """-> ContainerConfig."""
    mounts = [
        pb.Mount(
            container_path=item.container_path, host_path=item.host_path, readonly=item.readonly,
            propagation=_PROPAGATION[item.propagation],
        )
        for item in config.mounts
    ]
    devices = [
        pb.Device(container_path=item.container_path, host_path=item.host_path, permissions=item.permissions)
        for item in config.devices
    ]
    return pb.ContainerConfig(
        metadata=pb.ContainerMetadata(name=config.name, attempt=config.attempt),
        image=pb.ImageSpec(image=config.image), command=config.command, args=config.args,
        working_dir=config.working_dir, envs=[pb.KeyValue(key=key, value=value) for key, value in config.envs],
        mounts=mounts, devices=devices, labels=config.labels, annotations=config.annotations,
        log_path=config.log_path, stdin=config.stdin, stdin_once=config.stdin_once, tty=config.tty,
        linux=pb.LinuxContainerConfig(
            resources=resources(config.resources), security_context=_security(config.security)
        ),
    )


def auth(value: AuthConfig) -> Any:
    """-> AuthConfig."""
    return pb.AuthConfig(
        username=value.username, password=value.password, auth=value.auth, server_address=value.server_address,
        identity_token=value.identity_token, registry_token=value.registry_token,
    )


def sandbox(item: Any) -> Sandbox:
    """PodSandbox or PodSandboxStatus ->."""
    made_by = item.metadata
    return Sandbox(
        id=item.id, name=made_by.name, namespace=made_by.namespace, uid=made_by.uid, attempt=made_by.attempt,
        state="READY" if item.state == 0 else "NOTREADY", created_at_ns=item.created_at, labels=dict(item.labels),
        annotations=dict(item.annotations),
    )


def sandbox_status(item: Any) -> SandboxStatus:
    """PodSandboxStatus ->."""
    first = (item.network.ip,) if item.network.ip else ()
    ips = (*first, *(extra.ip for extra in item.network.additional_ips))
    return SandboxStatus(sandbox(item), ips, _MODES[item.linux.namespaces.options.network])


def container(item: Any) -> Container:
    """Container ->."""
    return Container(
        id=item.id, sandbox_id=item.pod_sandbox_id, name=item.metadata.name, attempt=item.metadata.attempt,
        image=item.image.image, image_ref=item.image_ref, state=_STATES[item.state], created_at_ns=item.created_at,
        labels=dict(item.labels), annotations=dict(item.annotations),
    )


def container_status(item: Any) -> ContainerStatus:
    """ContainerStatus ->."""
    return ContainerStatus(
        id=item.id, name=item.metadata.name, attempt=item.metadata.attempt, state=_STATES[item.state],
        created_at_ns=item.created_at, started_at_ns=item.started_at, finished_at_ns=item.finished_at,
        exit_code=item.exit_code, image=item.image.image, image_ref=item.image_ref, image_id=item.image_id,
        reason=item.reason, message=item.message, labels=dict(item.labels), annotations=dict(item.annotations),
        log_path=item.log_path,
    )


def image(item: Any) -> Image:
    """Image ->."""
    return Image(
        id=item.id, repo_tags=tuple(item.repo_tags), repo_digests=tuple(item.repo_digests), size_bytes=item.size,
        uid=item.uid.value if item.HasField("uid") else None, username=item.username, pinned=item.pinned,
    )


def container_stats(item: Any) -> ContainerStats:
    """ContainerStats ->."""
    return ContainerStats(
        id=item.attributes.id, name=item.attributes.metadata.name, labels=dict(item.attributes.labels),
        timestamp_ns=item.cpu.timestamp, cpu_usage_ns=item.cpu.usage_core_nano_seconds.value,
        memory_working_set_bytes=item.memory.working_set_bytes.value, memory_usage_bytes=item.memory.usage_bytes.value,
        memory_rss_bytes=item.memory.rss_bytes.value, filesystem_used_bytes=item.writable_layer.used_bytes.value,
        filesystem_inodes_used=item.writable_layer.inodes_used.value,
    )


def subscribe_request(filters: Sequence[str]) -> bytes:
    """containerd's SubscribeRequest{repeated string filters=1}; each filter shorter than 128 bytes."""
    return b"".join(bytes((0x0A, len(text))) + text.encode() for text in filters)


def containerd_event(envelope: bytes) -> RuntimeEvent:
    """containerd's Envelope, reduced to its topic and the container it is about."""
    topic, container_id, exec_id = "", "", ""
    for number, value in _fields(envelope):
        if number == 3:
            topic = value.decode()
        elif number == 4:
            payload = next((inner for n, inner in _fields(value) if n == 2), b"")
            texts = {n: inner.decode("utf-8", "replace") for n, inner in _fields(payload) if n in (1, 2)}
            container_id, exec_id = texts.get(1, ""), texts.get(2, "")
    ended_exec = topic == "/tasks/exit" and exec_id not in ("", container_id)
    return RuntimeEvent(topic, container_id, ended_exec or topic.startswith("/tasks/exec-"))


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The length-delimited fields of a protobuf message; other wire types are skipped."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        kind = tag & 7
        if kind == 2:
            size, position = _varint(message, position)
            yield tag >> 3, message[position : position + size]
            position += size
        elif kind == 0:
            _, position = _varint(message, position)
        else:
            position += {1: 8, 5: 4}[kind]


def _varint(message: bytes, position: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = message[position]
        position += 1
        result |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return result, position
