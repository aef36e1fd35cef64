"""Between dataclasses and protobuf messages."""

from __future__ import annotations

from cri_api.v1 import api_pb2 as pb

from sampan.cri import wire
from sampan.cri.runtime import ContainerConfig, ContainerSecurity, Mount, Namespaces, RuntimeEvent, SandboxConfig


def field(number: int, value: bytes) -> bytes:
    return bytes((number << 3 | 2, len(value))) + value


def event(topic: str, container_id: str, process_id: str = "") -> bytes:
    payload = field(1, container_id.encode()) + (field(2, process_id.encode()) if process_id else b"") + b"\x18\x07"
    message = field(1, b"type") + field(2, payload)
    return field(1, b"\x08\x05") + field(2, b"k8s.io") + field(3, topic.encode()) + field(4, message)


def test_containerds_events_are_read_by_hand() -> None:
    assert wire.containerd_event(event("/tasks/exit", "c1", "c1")) == RuntimeEvent("/tasks/exit", "c1")
    assert wire.containerd_event(event("/tasks/exit", "c1", "exec-9")) == RuntimeEvent("/tasks/exit", "c1", True)
    assert wire.containerd_event(event("/tasks/exec-started", "c1", "e")).is_exec
    assert wire.containerd_event(event("/tasks/oom", "c1")) == RuntimeEvent("/tasks/oom", "c1")


def test_a_subscription_names_its_filters() -> None:
    assert wire.subscribe_request(("ab", "c")) == b"\x0a\x02ab\x0a\x01c"


def test_a_sandbox_config_arrives_whole() -> None:
    config = SandboxConfig("p", "ns", "u", 2, namespaces=Namespaces("NODE", "POD", "NODE"), sysctls={"a": "b"})
    message = pb.PodSandboxConfig.FromString(wire.sandbox_config(config).SerializeToString())
    options = message.linux.security_context.namespace_options
    assert (message.metadata.name, message.metadata.attempt, dict(message.linux.sysctls)) == ("p", 2, {"a": "b"})
    assert (options.network, options.pid, options.ipc) == (pb.NODE, pb.POD, pb.NODE)


def test_user_zero_is_not_no_user() -> None:
    root = wire.container_config(ContainerConfig("c", "i", security=ContainerSecurity(run_as_user=0)))
    assert root.linux.security_context.HasField("run_as_user")
    nobody = wire.container_config(ContainerConfig("c", "i", mounts=(Mount("/a", "/b", True, "BIDIRECTIONAL"),)))
    assert not nobody.linux.security_context.HasField("run_as_user")
    assert nobody.mounts[0].propagation == pb.PROPAGATION_BIDIRECTIONAL and nobody.mounts[0].readonly


def test_statuses_come_back_as_values() -> None:
    status = pb.PodSandboxStatus(id="s", state=pb.SANDBOX_NOTREADY, network=pb.PodSandboxNetworkStatus(ip="10.0.0.1"))
    made = wire.sandbox_status(status)
    assert made.sandbox.state == "NOTREADY" and made.ips == ("10.0.0.1",) and made.network == "POD"
    assert wire.image(pb.Image(id="i", uid=pb.Int64Value(value=0))).uid == 0
    assert wire.image(pb.Image(id="i", username="app")).uid is None
