"""A connection to an etcd cluster: its address, its credentials, and etcd's errors in the store's words.

gRPC balances over the endpoints and reconnects by itself. A call that could not be delivered, or whose answer was lost,
raises `Unreachable`; whoever knows that its call may be repeated goes through `Connection.repeat`. A member that passed
a request on to a leader that is gone says nothing until it gives up by itself, after seconds; so the first attempt
waits for less than those that follow.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, TypeAlias

import grpc
from aetcd import rpc

from sampan import effects
from sampan.storage.etcd.config import EtcdConfig
from sampan.storage.store import StoreError, StoreUnavailable

_Credentials: TypeAlias = tuple[bytes | None, bytes | None, bytes | None]

FIRST_TIMEOUT_S = 1.5
CALL_TIMEOUT_S = 5.0
REPEAT_WITHIN_S = 15.0
PAUSE_S = 0.1

_COMPACTED = "required revision has been compacted"
_FUTURE = "required revision is a future revision"
_FULL = "database space exceeded"
_LOST = {
    grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL,  # what etcd itself has no name for, as its own deadlines
}
_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 2_000),  # which is how long gRPC lets one attempt to connect take
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
        self._kv = rpc.KVStub(self._channel)
        self._watching = rpc.WatchStub(self._channel)

    def open_watch(self) -> Any:
        """A stream of watches, ended by a member that has lost its leader: it would never tell anything again."""
        return self._watching.Watch(metadata=(("hasleader", "true"),))

    async def call(self, method: str, request: Any, timeout: float) -> Any:
        """One call of etcd's KV service. Raises Unreachable, RevisionCompacted, RevisionInFuture, StoreError."""
        try:
            return await getattr(self._kv, method)(request, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            raise translated(error) from error
        except grpc.aio.UsageError as error:
            raise StoreUnavailable(f"etcd: {error}") from error

    async def repeat(self, method: str, request: Any) -> tuple[Any, bool]:
        """Call until an answer comes: it, and whether one got lost before. StoreUnavailable after REPEAT_WITHIN_S."""
        began = effects.monotonic()
        lost = False
        while True:
            try:
                return await self.call(method, request, CALL_TIMEOUT_S if lost else FIRST_TIMEOUT_S), lost
            except Unreachable as error:
                if effects.monotonic() - began > REPEAT_WITHIN_S:
                    raise StoreUnavailable(f"etcd does not answer: {error}") from error
                lost = True
                await asyncio.sleep(PAUSE_S)
                await self._renew()

    async def read(self, request: rpc.RangeRequest) -> rpc.RangeResponse:
        """A range, however often it takes to get it."""
        answer: rpc.RangeResponse = (await self.repeat("Range", request))[0]
        return answer

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
        return StoreUnavailable(f"etcd is full: {details}" if _FULL in details else f"etcd: {details}")
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
