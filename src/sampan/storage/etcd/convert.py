"""etcd's terms and the store's.

An empty etcd is at revision 1, an empty store at 0, so a store's revision is etcd's less one; everything here does that
step. A prefix is a half-open range of keys.
"""

from __future__ import annotations

from aetcd import rpc

from sampan.storage.store import Event, EventKind, KeyValue

_EVERYTHING = b"\0"


def to_etcd(revision: int) -> int:
    """A store's revision as etcd counts."""
    return revision + 1


def from_etcd(revision: int) -> int:
    """etcd's revision as the store counts."""
    return revision - 1


def key_value(kv: rpc.KeyValue) -> KeyValue:
    return KeyValue(kv.key.decode(), kv.value, from_etcd(kv.create_revision), from_etcd(kv.mod_revision))


def event(change: rpc.Event) -> Event:
    """A watch's event; it was asked for with the state before."""
    previous = key_value(change.prev_kv) if change.prev_kv.mod_revision else None
    if change.type == rpc.Event.EventType.PUT:
        return Event(EventKind.PUT, key_value(change.kv), previous)
    assert previous is not None, "what is deleted was there before"
    gone = KeyValue(previous.key, previous.value, previous.create_revision, from_etcd(change.kv.mod_revision))
    return Event(EventKind.DELETE, gone, previous)


def key_range(prefix: str, start_after: str = "") -> tuple[bytes, bytes]:
    """First key and end of the range of keys with the prefix that come after `start_after`."""
    first, end = prefix.encode(), _end(prefix.encode())
    if start_after:
        first = max(first, start_after.encode() + b"\0")
    return first or _EVERYTHING, end


def _end(prefix: bytes) -> bytes:
    """The smallest key that is greater than all with the prefix; zero, etcd's word for no end, if there is none."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else _EVERYTHING
