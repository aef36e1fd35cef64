"""The audit log: a JSON line a request, appended to a file.

Lines are gathered and written together, at most `FLUSH_S` late, so that a request pays for one small encoding only.
At `ROTATE_BYTES` the file becomes `PATH.1`, the one before that `PATH.2`. A process that ends writes what is left; a
crash may lose the last second.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
from pathlib import Path
from typing import Final

import orjson

from sampan import effects
from sampan.apimachinery.errors import APIError
from sampan.apimachinery.http import Response
from sampan.apiserver.audit.event import event
from sampan.apiserver.context import RequestContext
from sampan.apiserver.seams import Next, ServerParts

FLUSH_S: Final = 1.0
FLUSH_LINES: Final = 500
ROTATE_BYTES: Final = 100 * 1024 * 1024
_QUIET: Final = frozenset({"/livez", "/readyz", "/healthz"})

log = logging.getLogger(__name__)


class AuditLog:
    """A link of the chain, behind authentication and before authorisation, so that refusals are on record too."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._lines: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self.lost = 0
        # The chain knows no end, so what is gathered when the process stops is written on its way out.
        atexit.register(self.flush)

    async def __call__(self, ctx: RequestContext, next: Next) -> Response:
        if ctx.request.path in _QUIET:
            return await next(ctx)
        received = effects.micro_timestamp()
        try:
            response = await next(ctx)
        except APIError as error:
            self.write(ctx, error.status_code, received, error.reason)
            raise
        except Exception:
            self.write(ctx, 500, received, "InternalError")
            raise
        self.write(ctx, response.status, received)
        return response

    def write(self, ctx: RequestContext, code: int, received: str, reason: str = "") -> None:
        """Note one answered request; for a watch or stream, its beginning."""
        stage = "ResponseStarted" if ctx.long_running and code < 400 else "ResponseComplete"
        self._lines.append(orjson.dumps(event(ctx, code, stage, received, reason), option=orjson.OPT_APPEND_NEWLINE))
        if len(self._lines) >= FLUSH_LINES:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self.flush)

    def flush(self) -> None:
        """Write what has been gathered. A full disk loses lines, which the log of the server counts."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines = self._lines, []
        if not lines:
            return
        try:
            self._append(b"".join(lines))
        except OSError as error:
            self.lost += len(lines)
            log.error("%s: %d audit events lost so far: %s", self._path, self.lost, error)

    def _append(self, data: bytes) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, data)
            size_bytes = os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)
        if size_bytes >= ROTATE_BYTES:
            first = self._path.with_name(self._path.name + ".1")
            if first.exists():
                first.replace(self._path.with_name(self._path.name + ".2"))
            self._path.replace(first)


def build(parts: ServerParts) -> AuditLog | None:
    path = parts.config.audit_log_path
    return AuditLog(path) if path else None
