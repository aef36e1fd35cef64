"""A connection to an etcd cluster: its address, its credentials, and etcd's errors in the store's words.

gRPC balances over the endpoints and reconnects by itself. A call that could not be delivered, or whose answer was lost,
raises `Unreachable`; whoever knows that its call may be repeated goes through `Connection.repeat`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import grpc
from aetcd import rpc

from sampan import effects
from sampan.storage.etcd.config import EtcdConfig
from sampan.storage.store import StoreError, StoreUnavailable

T = TypeVar("T")
_Credentials: TypeAlias = tuple[bytes | None, bytes | None, bytes | None]

CALL_TIMEOUT_S = 5.0
REPEAT_WITHIN_S = 15.0
PAUSE_S = 0.1

_COMPACTED = "required revision has been compacted"
_FUTURE = "required revision is a future revision"
_LOST = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)
_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)


class Unreachable(Exception):
    """No answer: what was asked for may have happened or not."""


class RevisionCompacted(Exception):
    """etcd has forgotten the revision."""


class RevisionInFuture(Exception):
    """etcd has not reached the revision."""


class Connection:
    """Calls on one channel. Close it in the loop that opened it."""

    def __init__(self, config: EtcdConfig) -> None:
        self._config = config
        self._connect(_credentials(config))

    def _connect(self, credentials: _Credentials) -> None:
        self._credentials = credentials
        self._channel = _channel(self._config, credentials)
        self.kv = rpc.KVStub(self._channel)
        self.watching = rpc.WatchStub(self._channel)

    async def call(self, method: Callable[..., Awaitable[T]], request: Any) -> T:
        """One attempt. Raises Unreachable, RevisionCompacted, RevisionInFuture, StoreError."""
        try:
            return await method(request, timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise translated(error) from error
        except grpc.aio.UsageError as error:
            raise StoreUnavailable(f"etcd: {error}") from error

    async def repeat(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Attempt until an answer comes; StoreUnavailable when none has come for REPEAT_WITHIN_S."""
        began = effects.monotonic()
        while True:
            try:
                return await attempt()
            except Unreachable as error:
                if effects.monotonic() - began > REPEAT_WITHIN_S:
                    raise StoreUnavailable(f"etcd does not answer: {error}") from error
                await asyncio.sleep(PAUSE_S)
                await self._renew()

    async def read(self, request: rpc.RangeRequest) -> rpc.RangeResponse:
        """A range, however often it takes to get it."""
        return await self.repeat(lambda: self.call(self.kv.Range, request))

    async def _renew(self) -> None:
        """Connect anew if the certificates were rotated: a channel shows for ever what it was made with."""
        credentials = await asyncio.to_thread(_credentials, self._config)
        if credentials != self._credentials:
            former = self._channel
            self._connect(credentials)
            await former.close()

    async def close(self) -> None:
        await self._channel.close()


def translated(error: grpc.aio.AioRpcError) -> Exception:
    """etcd's error as one of the above, or as a StoreError."""
    details = error.details() or ""
    if _COMPACTED in details:
        return RevisionCompacted(details)
    if _FUTURE in details:
        return RevisionInFuture(details)
    if error.code() in _LOST:
        return Unreachable(details)
    if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return StoreUnavailable(f"etcd is full: {details}")
    return StoreError(f"etcd: {details} ({error.code().name})")


def _channel(config: EtcdConfig, credentials: _Credentials) -> grpc.aio.Channel:
    if not config.secure:
        return grpc.aio.insecure_channel(config.target, options=_OPTIONS)
    return grpc.aio.secure_channel(config.target, grpc.ssl_channel_credentials(*credentials), options=_OPTIONS)


def _credentials(config: EtcdConfig) -> _Credentials:
    """Authority, key and certificate, in the order in which gRPC takes them."""
    return _pem(config.ca_file), _pem(config.key_file), _pem(config.cert_file)


def _pem(path: str) -> bytes | None:
    return Path(path).read_bytes() if path else None
