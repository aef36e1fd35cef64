"""GET /containerLogs/NAMESPACE/POD/CONTAINER: which run's log to read, and how, with upstream's refusals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

from sampan import effects
from sampan.apimachinery.errors import APIError, BadRequest, NotFound
from sampan.apimachinery.http import Request, Response
from sampan.apimachinery.object import Object, dig, name_of
from sampan.cri.runtime import CRIError, Runtime
from sampan.kubelet import logs, spec
from sampan.kubelet.logs import LogOptions
from sampan.kubelet.pod_state import PodContainer, PodState

FLUSH_BYTES = 32 * 1024
SETTLING_NS, SETTLING_POLL_S = 1_000_000_000, 0.02


def options_of(request: Request) -> LogOptions:
    """From the query. Raises BadRequest."""
    try:
        since: datetime | None = None
        if request.param("sinceTime"):
            since = datetime.fromisoformat(request.param("sinceTime"))
        elif request.param("sinceSeconds"):
            since = effects.now() - timedelta(seconds=int(request.param("sinceSeconds")))
        return LogOptions(
            follow=_is_true(request.param("follow")),
            tail_lines=int(request.param("tailLines")) if request.param("tailLines") else None,
            limit_bytes=int(request.param("limitBytes")) if request.param("limitBytes") else None,
            since=since, timestamps=_is_true(request.param("timestamps")), stream=request.param("stream", "All"),
        )
    except ValueError as error:
        raise BadRequest(f"unable to decode query: {error}") from error


def _is_true(text: str) -> bool:
    return text.lower() in ("1", "true", "t")


def choose_run(pod: Object, state: PodState, name: str, *, previous: bool) -> PodContainer:
    """The run whose log is meant. Raises BadRequest or NotFound in upstream's words."""
    if spec.container_named(pod, name) is None:
        raise NotFound(f'container "{name}" not found in pod "{name_of(pod)}"')
    runs = state.all_named(name)
    if previous:
        ended = [run for run in runs[1:] if run.has_exited]
        if not ended and runs and runs[0].has_exited and _is_waiting(pod, name):
            ended = runs[:1]
        if not ended:
            raise BadRequest(f'previous terminated container "{name}" in pod "{name_of(pod)}" not found')
        return ended[0]
    if not runs:
        raise BadRequest(f'container "{name}" in pod "{name_of(pod)}" is {_waiting_for(pod, name)}')
    return runs[0]


def _status_of(pod: Object, name: str) -> Object:
    for key in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        for status in dig(pod, "status", key, default=[]):
            if status["name"] == name:
                return dict(status)
    return {}


def _is_waiting(pod: Object, name: str) -> bool:
    return bool(dig(_status_of(pod, name), "state", "waiting"))


def _waiting_for(pod: Object, name: str) -> str:
    reason = dig(_status_of(pod, name), "state", "waiting", "reason", default="")
    message = dig(_status_of(pod, name), "state", "waiting", "message", default="")
    if reason in ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"):
        return f"waiting to start: {message or reason}" if reason == "ErrImageNeverPull" else \
            f"waiting to start: {_PULL_MESSAGES.get(reason, reason)}"
    return f"waiting to start: {reason}" if reason else "waiting to start - no logs yet"


_PULL_MESSAGES = {
    "ErrImagePull": "image can't be pulled", "ImagePullBackOff": "trying and failing to pull image",
    "InvalidImageName": "InvalidImageName",
}


async def respond(request: Request, pod: Object, state: PodState, name: str, runtime: Runtime) -> Response:
    """The log as a stream. Raises APIError."""
    options = options_of(request)
    run = choose_run(pod, state, name, previous=_is_true(request.param("previous")))
    path = Path(run.status.log_path)
    if not logs.files_of(path):
        raise APIError(f"failed to try resolving symlinks in path \"{path}\": no such file or directory", code=500)

    await _settled(run, path)

    async def is_running() -> bool:
        try:
            return (await runtime.container_status(run.id)).state in ("RUNNING", "CREATED")
        except CRIError as error:
            return error.code == "UNAVAILABLE"

    stream = logs.read(path, options, is_running) if options.follow else _joined(logs.read(path, options))
    return Response(200, {"content-type": "text/plain"}, b"", stream)


async def _settled(run: PodContainer, path: Path) -> None:
    """containerd may say that a container has ended a moment before what it printed last is in the file.

    So the log of one that ended just now, and is empty, gets that moment.
    """
    until_ns = run.status.finished_at_ns + SETTLING_NS if run.has_exited else 0
    while effects.now().timestamp() * 1e9 < until_ns and _is_empty(path):  # noqa: ASYNC110 - a file has no event
        await asyncio.sleep(SETTLING_POLL_S)


def _is_empty(path: Path) -> bool:
    return not any(file.stat().st_size for file in logs.files_of(path))


async def _joined(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Larger pieces of what is read anyway."""
    held = bytearray()
    async for piece in pieces:
        held += piece
        if len(held) >= FLUSH_BYTES:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)
