"""Pulling images: pull policy, credentials, back-off and the events that tell of them.

Guarantees: an image is pulled once at a time, whoever asks; reasons and messages are upstream's (ErrImagePull,
ImagePullBackOff, ErrImageNeverPull, InvalidImageName).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

from sampan import effects
from sampan.apimachinery.object import Object, uid_of
from sampan.cri.runtime import AuthConfig, CRIError, Image, Runtime, SandboxConfig
from sampan.kubelet.backoff import Backoff
from sampan.kubelet.errors import StartError

Record: TypeAlias = Callable[[str, str, str], None]
"""(type, reason, message): an event about the container whose image it is."""

_REFERENCE = re.compile(
    r"(?:[a-zA-Z0-9][a-zA-Z0-9.-]*(?::[0-9]+)?/)?[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
    r"(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*(?::[\w][\w.-]{0,127})?(?:@[A-Za-z][\w+.-]*:[0-9a-fA-F]{32,})?"
)


def pull_policy(container: Object) -> str:
    """imagePullPolicy, or its default: Always for `:latest` and untagged images."""
    chosen = container.get("imagePullPolicy")
    if chosen:
        return str(chosen)
    image = container.get("image", "")
    tag = image.rsplit("/", 1)[-1].partition(":")[2]
    return "Always" if "@" not in image and tag in ("", "latest") else "IfNotPresent"


def duration(seconds: float) -> str:
    """As Go prints a duration cut to milliseconds: `765ms`, `1.2s`, `2m3.4s`."""
    total_ms = int(seconds * 1000)
    if total_ms < 1000:
        return f"{total_ms}ms" if total_ms else "0s"
    minutes, rest = divmod(total_ms, 60_000)
    text = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    return text if not minutes else f"{minutes // 60}h{minutes % 60}m{text}" if minutes >= 60 else f"{minutes}m{text}"


class ImageManager:
    """Makes sure that an image is there before a container is made of it."""

    def __init__(self, runtime: Runtime, backoff: Backoff) -> None:
        self._runtime = runtime
        self._backoff = backoff
        self._pulls: dict[str, asyncio.Lock] = {}
        self._last_error: dict[str, str] = {}
        self.last_used: dict[str, float] = {}

    async def ensure(
        self, pod: Object, container: Object, credentials: Sequence[AuthConfig], sandbox: SandboxConfig,
        record: Record,
    ) -> Image:
        """The image, pulled if policy wants it. Raises StartError."""
        image, policy = container.get("image", ""), pull_policy(container)
        if not _REFERENCE.fullmatch(image) and not re.fullmatch(r"(sha256:)?[0-9a-f]{64}", image):
            message = f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}": ' \
                "invalid reference format"
            record("Warning", "InspectFailed", message)
            raise StartError("InvalidImageName", message)
        present = await self._inspect(image, record)
        if present is not None and policy != "Always":
            message = f'Container image "{image}" already present on machine and can be accessed by the pod'
            record("Normal", "Pulled", message)
        elif policy == "Never":
            message = f'Container image "{image}" is not present with pull policy of Never'
            record("Warning", "ErrImageNeverPull", message)
            raise StartError("ErrImageNeverPull", message)
        else:
            present = await self._pull(f"{uid_of(pod)}/{image}", image, credentials, sandbox, record)
        self.last_used[present.id] = effects.monotonic()
        return present

    def pull_wait_s(self, pod: Object, image: str) -> float:
        """How long until a failed pull may be tried again."""
        return self._backoff.remaining_since_update_s(f"{uid_of(pod)}/{image}")

    async def _inspect(self, image: str, record: Record) -> Image | None:
        try:
            return await self._runtime.image_status(image)
        except CRIError as error:
            message = f'Failed to inspect image "{image}": {error.message}'
            record("Warning", "InspectFailed", message)
            raise StartError("ImageInspectError", message) from error

    async def _pull(
        self, key: str, image: str, credentials: Sequence[AuthConfig], sandbox: SandboxConfig, record: Record
    ) -> Image:
        if self._backoff.remaining_since_update_s(key) > 0:
            message = f'Back-off pulling image "{image}"'
            last = self._last_error.get(key)
            message += f": ErrImagePull: {last}" if last else ""
            record("Normal", "BackOff", message)
            raise StartError("ImagePullBackOff", message)
        asked = effects.monotonic()
        lock = self._pulls.setdefault(image, asyncio.Lock())
        async with lock:
            record("Normal", "Pulling", f'Pulling image "{image}"')
            started = effects.monotonic()
            try:
                await self._pull_with(image, credentials, sandbox)
                pulled = await self._runtime.image_status(image)
            except CRIError as error:
                self._backoff.next(key)
                self._last_error[key] = error.message
                record("Warning", "Failed", f'Failed to pull image "{image}": {error.message}')
                raise StartError("ErrImagePull", error.message) from error
        if pulled is None:
            raise StartError("ErrImagePull", f'image "{image}" is missing after it was pulled')
        took, waited = effects.monotonic() - started, effects.monotonic() - asked
        self._last_error.pop(key, None)
        record(
            "Normal", "Pulled",
            f'Successfully pulled image "{image}" in {duration(took)} ({duration(waited)} including waiting). '
            f"Image size: {pulled.size_bytes} bytes.",
        )
        return pulled

    async def _pull_with(self, image: str, credentials: Sequence[AuthConfig], sandbox: SandboxConfig) -> None:
        """With each credential in turn; the last error is what counts."""
        error: CRIError | None = None
        tries: Sequence[AuthConfig | None] = credentials or [None]
        for auth in tries:
            try:
                await self._runtime.pull_image(image, auth, sandbox)
                return
            except CRIError as caught:
                error = caught
        if error is not None:
            raise error
