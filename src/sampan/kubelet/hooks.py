"""Lifecycle hooks: postStart and preStop, by exec, httpGet or sleep."""

from __future__ import annotations

import asyncio

from sampan.apimachinery.object import Object
from sampan.cri.runtime import CRIError, Runtime
from sampan.kubelet.errors import KubeletError
from sampan.kubelet.probes import http_get
from sampan.kubelet.probes.check import Target, headers_of, url_of


class HookFailed(KubeletError):
    """The hook ran and failed, or could not run."""

    reason = "HookFailed"


async def run_hook(runtime: Runtime, hook: Object, target: Target, timeout_s: float) -> None:
    """Run one handler to its end. Raises HookFailed."""
    if hook.get("exec") is not None:
        await _exec(runtime, hook["exec"].get("command") or [], target, timeout_s)
    elif hook.get("httpGet") is not None:
        try:
            answer = await http_get.get(url_of(hook["httpGet"], target), headers_of(hook["httpGet"]), timeout_s)
        except http_get.HTTPFailure as error:
            raise HookFailed(str(error)) from error
        if not 200 <= answer.status < 400:
            raise HookFailed(f"HTTP lifecycle hook failed with statuscode: {answer.status}")
    elif hook.get("sleep") is not None:
        await asyncio.sleep(min(float(hook["sleep"]["seconds"]), timeout_s))
    elif hook.get("tcpSocket") is None:
        raise HookFailed("invalid handler")


async def _exec(runtime: Runtime, command: list[str], target: Target, timeout_s: float) -> None:
    try:
        done = await runtime.exec_sync(target.container_id, command, timeout_s)
    except CRIError as error:
        raise HookFailed(f"command {command} failed: {error.message}") from error
    if done.exit_code != 0:
        output = (done.stdout + done.stderr)[:1024].decode("utf-8", "replace")
        raise HookFailed(f"command {command} exited with {done.exit_code}: {output}")
