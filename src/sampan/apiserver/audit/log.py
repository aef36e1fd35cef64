"""The audit log: who asked for what, when, and how it ended, as the policy says.

A link of the chain, behind authentication and before authorisation, so that refusals are on record too. A request
leaves an event a stage: RequestReceived, ResponseStarted for watches and streams, ResponseComplete when the answer (or
the last byte of a stream) is out, Panic when the server failed. All of them carry the same auditID, which the answer's
`Audit-Id` header tells the client.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import Any, Final, Protocol

import orjson

from sampan import effects
from sampan.apimachinery.errors import APIError
from sampan.apimachinery.http import Duplex, Pushing, Response
from sampan.apiserver.audit.event import Answer, event
from sampan.apiserver.audit.file import MEGABYTE, AuditFile
from sampan.apiserver.audit.policy import COMPLETE, PANIC, RECEIVED, STARTED, Default, Policy, Scope, parse
from sampan.apiserver.authn.watched_file import WatchedFile
from sampan.apiserver.context import RequestContext
from sampan.apiserver.seams import Next, ServerParts

_CRASHED: Final = {"status": "Failure", "reason": "InternalError"}


class Scopes(Protocol):
    """A policy."""

    def scope(self, ctx: RequestContext) -> Scope: ...


class AuditLog:
    """The link. `policy` gives the present policy, which may change while the server runs."""

    def __init__(self, file: AuditFile, policy: WatchedFile[Policy] | None = None) -> None:
        self.file = file
        self._policy = policy
        self._default = Default()

    async def __call__(self, ctx: RequestContext, next: Next) -> Response:
        policy: Scopes = self._default if self._policy is None else self._policy.get()
        scope = policy.scope(ctx)
        if not scope.level:
            return await next(ctx)
        received = effects.micro_timestamp()
        ctx.audit_id = ctx.request.headers.get("audit-id", "")[:64] or effects.uid()
        if RECEIVED not in scope.omit_stages:
            self._note(ctx, scope, RECEIVED, received, None)
        try:
            response = await next(ctx)
        except APIError as error:
            self._note(ctx, scope, COMPLETE, received, Answer.failed(error))
            raise
        except Exception:
            self._note(ctx, scope, PANIC, received, Answer(500, status=_CRASHED))
            raise
        response.headers["audit-id"] = ctx.audit_id
        if response.stream is None and response.upgrade is None:
            self._note(ctx, scope, COMPLETE, received, Answer.of(response))
        else:
            self._follow(ctx, scope, received, response)
        return response

    def _follow(self, ctx: RequestContext, scope: Scope, received: str, response: Response) -> None:
        """A stream is noted when it starts, and again when it has ended, however that happens."""
        answer = Answer(response.status)
        self._note(ctx, scope, STARTED, received, answer)
        ended = _Once(self, ctx, scope, received, answer)
        if response.upgrade is not None:
            handler = response.upgrade

            async def run(client: Duplex) -> None:
                try:
                    await handler(client)
                finally:
                    ended()

            response.upgrade = run
        elif response.stream is not None:
            in_process = ctx.request.user is not None
            if in_process:
                response.stream = _iterated(response.stream, ended)
            elif isinstance(response.stream, Pushing):
                response.stream = _PushingStream(response.stream, ended)
            else:
                response.stream = _Stream(response.stream, ended)

    def _note(self, ctx: RequestContext, scope: Scope, stage: str, received: str, answer: Answer | None) -> None:
        if stage in scope.omit_stages:
            return
        document = event(ctx, scope, stage, received, answer)
        self.file.append(orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE))

    def complete(self, ctx: RequestContext, scope: Scope, received: str, answer: Answer) -> None:
        """A stream has ended."""
        self._note(ctx, scope, COMPLETE, received, answer)


class _Once:
    """Notes the end of a stream the first time it is called."""

    __slots__ = ("_answer", "_ctx", "_log", "_received", "_scope")

    def __init__(self, log: AuditLog, ctx: RequestContext, scope: Scope, received: str, answer: Answer) -> None:
        self._log: AuditLog | None = log
        self._ctx, self._scope, self._received, self._answer = ctx, scope, received, answer

    def __call__(self) -> None:
        log, self._log = self._log, None
        if log is not None:
            log.complete(self._ctx, self._scope, self._received, self._answer)


class _Stream:
    """A stream whose reader closes it, as listeners do; its chunks pass without a detour."""

    def __init__(self, inner: AsyncIterator[bytes], ended: _Once) -> None:
        self._inner = inner
        self._ended = ended

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._inner.__aiter__()

    def __anext__(self) -> Awaitable[bytes]:
        return self._inner.__anext__()

    async def aclose(self) -> None:
        try:
            close = getattr(self._inner, "aclose", None)
            if close is not None:
                await close()
        finally:
            self._ended()


class _PushingStream(_Stream):
    """The same around a stream that pushes."""

    def __init__(self, inner: Any, ended: _Once) -> None:
        super().__init__(inner, ended)
        self.push_to = inner.push_to


async def _iterated(inner: AsyncIterator[bytes], ended: _Once) -> AsyncIterator[bytes]:
    """A stream whose reader may just stop reading, as callers in the same process do."""
    try:
        async for chunk in inner:
            yield chunk
    finally:
        close = getattr(inner, "aclose", None)
        if close is not None:
            await close()
        ended()


def build(parts: ServerParts) -> AuditLog | None:
    config = parts.config
    if not config.audit_log_path:
        return None
    file = AuditFile(config.audit_log_path, config.audit_log_max_size_mb * MEGABYTE, config.audit_log_max_backups)
    policy = WatchedFile(config.audit_policy_file, parse) if config.audit_policy_file else None
    return AuditLog(file, policy)
