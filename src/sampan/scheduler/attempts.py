"""What the last failed attempt to place each waiting pod saw: when, which try it was, and every node's verdict.

Verdicts are kept as a number a node, compressed, which for thousands of nodes is some dozens of bytes, since most say
the same; names of nodes are shared between attempts. Nothing is put into words before somebody asks (`document`).

Guarantee: memory is bounded. Of more than `LIMIT` pods, and of more than `GENERATIONS` sets of nodes, the attempts
that are longest ago are forgotten.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sampan import effects
from sampan.apimachinery.object import Object
from sampan.scheduler.diagnosis import Diagnosis
from sampan.scheduler.framework.status import Status
from sampan.scheduler.queue import QueuedPod

LIMIT = 10_000
GENERATIONS = 8


@dataclass(frozen=True, slots=True)
class Attempt:
    """`packed` has for each of `names` a number: 0, or the place in `statuses` plus one of what was said about it."""

    uid: str
    number: int
    at: str
    message: str
    nominated_node: str
    names: tuple[str, ...]
    statuses: tuple[Status, ...]
    packed: bytes
    overruled: Mapping[str, Status]
    """Of nodes that fitted but were refused in the end."""

    def document(self, key: str) -> Object:
        """As JSON; nodes with one verdict are told together."""
        index = np.frombuffer(zlib.decompress(self.packed), np.uint16) if self.packed else np.zeros(0, np.uint16)
        told = [
            (status, [self.names[row] for row in np.flatnonzero(index == place).tolist()])
            for place, status in enumerate(self.statuses, start=1)
        ]
        told += [(status, [name]) for name, status in self.overruled.items()]
        return {
            "pod": key, "uid": self.uid, "attempt": self.number, "time": self.at, "message": self.message,
            "nominatedNodeName": self.nominated_node,
            "verdicts": [
                {"plugin": s.plugin, "code": s.code.value, "reasons": list(s.reasons), "nodes": nodes}
                for s, nodes in told if nodes
            ],
        }


class Attempts:
    """By pod."""

    def __init__(self) -> None:
        self._attempts: OrderedDict[str, Attempt] = OrderedDict()
        self._generations: OrderedDict[int, tuple[str, ...]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._attempts)

    def note(self, queued: QueuedPod, message: str, diagnosis: Diagnosis | None = None, nominated: str = "") -> None:
        """An attempt failed; without a diagnosis because something broke."""
        names: tuple[str, ...] = ()
        statuses: tuple[Status, ...] = ()
        packed = b""
        if diagnosis is not None and diagnosis.statuses:
            names = diagnosis.statuses.names
            statuses, index = diagnosis.statuses.indexed()
            packed = zlib.compress(index.tobytes(), 1)
            self._remember(names)
        key = queued.pod.key
        self._attempts[key] = Attempt(
            queued.pod.uid, queued.attempts, effects.timestamp(), message, nominated, names, statuses, packed,
            dict(diagnosis.overruled) if diagnosis is not None else {},
        )
        self._attempts.move_to_end(key)
        if len(self._attempts) > LIMIT:
            self._attempts.popitem(last=False)

    def forget(self, key: str) -> None:
        """The pod has its place, or is gone."""
        self._attempts.pop(key, None)

    def of(self, key: str) -> Object | None:
        attempt = self._attempts.get(key)
        return None if attempt is None else attempt.document(key)

    def _remember(self, names: tuple[str, ...]) -> None:
        self._generations[id(names)] = names
        self._generations.move_to_end(id(names))
        if len(self._generations) > GENERATIONS:
            _, oldest = self._generations.popitem(last=False)
            for key in [key for key, attempt in self._attempts.items() if attempt.names is oldest]:
                del self._attempts[key]
