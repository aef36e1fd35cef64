"""One execution of one probe: exec, httpGet, tcpSocket or grpc. Says Success, Failure or Unknown, with a message."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sampan.apimachinery.object import Object
from sampan.cri.runtime import CRIError, Runtime
from sampan.kubelet.errors import ConfigError, go_code
from sampan.kubelet.expansion import expand
from sampan.kubelet.probes import http_get

MAX_OUTPUT_BYTES = 10 * 1024

Outcome = Literal["Success", "Failure", "Unknown"]


@dataclass(frozen=True, slots=True)
class Result:
    outcome: Outcome
    message: str = ""
    warning: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """The container a probe or hook is aimed at."""

    container: Object
    container_id: str
    pod_ip: str


def port_number(port: Any, container: Object) -> int:
    """A port given by number or by the name of a container port. Raises ConfigError."""
    if isinstance(port, int) or str(port).isdigit():
        return int(port)
    for item in container.get("ports") or []:
        if item.get("name") == port:
            return int(item["containerPort"])
    raise ConfigError(f"couldn't find port: {port}")


def url_of(action: Object, target: Target) -> str:
    """The URL of an httpGet action."""
    scheme = (action.get("scheme") or "HTTP").lower()
    host = action.get("host") or target.pod_ip
    host = f"[{host}]" if ":" in host else host
    path = action.get("path") or "/"
    path = path if path.startswith("/") else f"/{path}"
    return f"{scheme}://{host}:{port_number(action['port'], target.container)}{path}"


def headers_of(action: Object) -> list[tuple[str, str]]:
    return [(item["name"], item.get("value", "")) for item in action.get("httpHeaders") or []]


async def check(runtime: Runtime, probe: Object, target: Target, variables: Mapping[str, str]) -> Result:
    """Run `probe` once, within its timeoutSeconds."""
    timeout_s = float(probe.get("timeoutSeconds") or 1)
    try:
        if probe.get("exec") is not None:
            return await _exec(runtime, probe["exec"], target, timeout_s, variables)
        if probe.get("httpGet") is not None:
            return await _http(probe["httpGet"], target, timeout_s)
        if probe.get("tcpSocket") is not None:
            return await _tcp(probe["tcpSocket"], target, timeout_s)
        if probe.get("grpc") is not None:
            return await _grpc(probe["grpc"], target, timeout_s)
    except ConfigError as error:
        return Result("Unknown", str(error))
    return Result("Unknown", "missing probe handler")


async def _exec(
    runtime: Runtime, action: Object, target: Target, timeout_s: float, variables: Mapping[str, str]
) -> Result:
    command = [expand(item, variables) for item in action.get("command") or []]
    try:
        done = await runtime.exec_sync(target.container_id, command, timeout_s)
    except CRIError as error:
        if error.code == "DEADLINE_EXCEEDED" or "timeout" in error.message or "timed out" in error.message:
            text = f'command timed out: "{" ".join(command)}" timed out after {int(timeout_s)}s'
            return Result("Failure", text)
        return Result("Unknown", f"rpc error: code = {go_code(error.code)} desc = {error.message}")
    output = (done.stdout + done.stderr)[:MAX_OUTPUT_BYTES].decode("utf-8", "replace")
    return Result("Success" if done.exit_code == 0 else "Failure", output)


async def _http(action: Object, target: Target, timeout_s: float) -> Result:
    try:
        answer = await http_get.get(url_of(action, target), headers_of(action), timeout_s)
    except http_get.HTTPFailure as error:
        return Result("Failure", str(error))
    if answer.leads_away:
        return Result("Success", answer.body, warning="Probe terminated redirects, Response body: " + answer.body)
    if 200 <= answer.status < 400:
        return Result("Success", answer.body)
    return Result("Failure", f"HTTP probe failed with statuscode: {answer.status}")


async def _tcp(action: Object, target: Target, timeout_s: float) -> Result:
    host, port = action.get("host") or target.pod_ip, port_number(action["port"], target.container)
    address = f"{host}:{port}"
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), timeout_s)
    except TimeoutError:
        return Result("Failure", f"dial tcp {address}: i/o timeout")
    except OSError as error:
        return Result("Failure", http_get.dial_error(address, error))
    writer.close()
    return Result("Success")


async def _grpc(action: Object, target: Target, timeout_s: float) -> Result:
    """grpc.health.v1.Health/Check, in two hand-made messages: {service=1} and {status=1}, where 1 is SERVING."""
    import grpc.aio

    address = f"{target.pod_ip}:{action['port']}"
    service = (action.get("service") or "").encode()
    request = b"\x0a" + _length(len(service)) + service if service else b""
    # A pool of its own: a failed try must not make the next probe wait for the connection's back-off.
    options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        try:
            reply = await channel.unary_unary("/grpc.health.v1.Health/Check")(
                request, timeout=timeout_s, metadata=(("user-agent", http_get.USER_AGENT),), wait_for_ready=False
            )
        except grpc.aio.AioRpcError as error:
            return Result("Failure", _grpc_failure(error, address, timeout_s))
    if reply[:2] == b"\x08\x01":
        return Result("Success", "service healthy")
    names = {0: "UNKNOWN", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
    status = names.get(reply[1] if len(reply) > 1 else 0, "UNKNOWN")
    return Result("Failure", f'service unhealthy (responded with "{status}")')


def _length(size: int) -> bytes:
    """As protobuf writes it; a service's name is at most a few hundred bytes."""
    return bytes((size,)) if size < 128 else bytes((size & 0x7F | 0x80, size >> 7))


def _grpc_failure(error: Any, address: str, timeout_s: float) -> str:
    code = error.code().name
    if code == "UNIMPLEMENTED":
        missing = "error: this server does not implement the grpc health protocol (grpc.health.v1.Health)"
        return f"{missing}: {error.details()}"
    if code == "DEADLINE_EXCEEDED":
        return f"timeout: health rpc did not complete within {int(timeout_s)}s"
    if code == "UNAVAILABLE":
        return f'timeout: failed to connect service "{address}" within {int(timeout_s)}s: {error.details()}'
    return f"error: health rpc failed: {error.details()}"
