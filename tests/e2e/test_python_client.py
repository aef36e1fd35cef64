"""The official Python client's streams: exec over WebSocket, logs that are followed, attach, port-forward."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes import client, config
from kubernetes.stream import portforward, stream
from tests.e2e.kubectl import eventually, sampan


@pytest.fixture(scope="module")
def core(cluster: str) -> Iterator[client.CoreV1Api]:
    path = Path(sampan("kubeconfig", "path", "--name", cluster).strip())
    with config.new_client_from_config(str(path)) as connected:
        yield client.CoreV1Api(connected)


@pytest.fixture(scope="module")
def namespace(core: client.CoreV1Api) -> Iterator[str]:
    name = "python-" + os.urandom(2).hex()
    core.create_namespace({"metadata": {"name": name}})
    eventually(lambda: "default" in [item.metadata.name for item in core.list_namespaced_service_account(name).items])
    command = ["sh", "-c", "echo begun; echo hello > /tmp/index.html; exec httpd -f -p 8080 -h /tmp"]
    core.create_namespaced_pod(name, {
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "main", "image": "busybox:1", "command": command, "readinessProbe": {
            "httpGet": {"path": "/index.html", "port": 8080}, "periodSeconds": 1, "timeoutSeconds": 10}}]},
    })
    eventually(lambda: any(one.ready for one in core.read_namespaced_pod("p", name).status.container_statuses or ()))
    yield name
    core.delete_namespace(name)


def execute(core: client.CoreV1Api, namespace: str, *command: str, **options):
    return stream(
        client.CoreV1Api(core.api_client).connect_get_namespaced_pod_exec, "p", namespace, command=list(command),
        stderr=True, stdout=True, tty=False, **{"stdin": False, **options},
    )


def test_a_command_s_output_and_exit_code_come_back(core, namespace):
    assert execute(core, namespace, "echo", "hello").strip() == "hello"
    session = execute(core, namespace, "sh", "-c", "echo out; echo err >&2; exit 7", _preload_content=False)
    session.run_forever(timeout=100)
    assert (session.read_stdout(), session.read_stderr()) == ("out\n", "err\n")
    assert session.returncode == 7


def test_a_command_is_given_input(core, namespace):
    # It stays until its input ends: where output and end come together, the client forgets the output.
    script = "read line; echo got $line; read rest"
    session = execute(core, namespace, "sh", "-c", script, stdin=True, _preload_content=False)
    session.write_stdin("this\n")
    assert session.readline_stdout(timeout=100) == "got this"
    session.close()


def test_logs_are_read(core, namespace):
    assert eventually(lambda: core.read_namespaced_pod_log("p", namespace)) == "begun\n"
    assert core.read_namespaced_pod_log("p", namespace, tail_lines=1, timestamps=True).endswith(" begun\n")


def test_a_port_is_forwarded(core, namespace):
    forward = portforward(
        client.CoreV1Api(core.api_client).connect_get_namespaced_pod_portforward, "p", namespace, ports="8080"
    )
    socket = forward.socket(8080)
    socket.settimeout(100)
    socket.sendall(b"GET /index.html HTTP/1.0\r\n\r\n")
    answer = b""
    while chunk := socket.recv(4096):
        answer += chunk
    assert answer.startswith(b"HTTP/1.") and answer.endswith(b"hello\n")
    assert forward.error(8080) is None


def test_a_container_that_is_not_there_is_said(core, namespace):
    with pytest.raises(client.ApiException) as refused:
        execute(core, namespace, "true", container="none")
    assert "container none is not valid for pod p" in str(refused.value) or json.loads(refused.value.body)
