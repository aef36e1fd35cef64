"""One priority level at work: seats for requests that run, queues for those that wait.

A request takes a seat at once while there is one and nobody waits; that is all it costs then. Otherwise it joins one of
its flow's queues, and when a seat is free the queue whose turn it is goes on: the one with the least virtual time,
which grows by the seconds that its requests ran, so that every queue gets its share of the level. A level whose seats
are all taken borrows those that other levels would lend and do not use. A queue that is full, or a wait of more than
`WAIT_S`, refuses the request. Source: KEP-1040.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from sampan import effects
from sampan.apimachinery.errors import TooManyRequests
from sampan.apimachinery.object import Object
from sampan.apiserver.flowcontrol.shuffle_sharding import deal

WAIT_S: Final = 15.0
RETRY_AFTER_S: Final = 1
ESTIMATE_S: Final = 0.003
"""What a request is charged when it starts, until it is known how long it ran."""
MESSAGE: Final = "Too many requests, please try again later."


@dataclass(slots=True)
class Queue:
    """Requests that wait, and the virtual time at which the next of them starts."""

    waiting: deque[Waiter] = field(default_factory=deque)
    executing: int = 0
    virtual_s: float = 0.0


@dataclass(slots=True, eq=False)
class Waiter:
    queue: Queue
    admitted: asyncio.Future[None]


@dataclass(slots=True)
class Seat:
    """What a running request holds; given back with `PriorityLevel.leave`."""

    queue: Queue | None = None
    began_s: float = 0.0


_PLAIN_SEAT: Final = Seat()


class PriorityLevel:
    """`configure` may be called again while requests run and wait."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.uid = ""
        self.exempt = False
        self.seats = 0
        self.lendable = 0
        self.borrowing_limit: int | None = None
        self.executing = 0
        self.waiting = 0
        self.rejected = 0
        self.others: Iterable[PriorityLevel] = ()
        self._queues: list[Queue] = []
        self._hand_size = 0
        self._queue_length = 0
        self._virtual_s = 0.0

    def configure(self, document: Object, server_seats: int, all_shares: int) -> None:
        """Take on a PriorityLevelConfiguration; `all_shares` are those of all levels together."""
        spec = document["spec"]
        self.uid = document.get("metadata", {}).get("uid", "")
        self.exempt = spec["type"] == "Exempt"
        section = spec.get("exempt" if self.exempt else "limited") or {}
        shares = section.get("nominalConcurrencyShares") or 0
        self.seats = -(-server_seats * shares // max(1, all_shares))
        self.lendable = round(self.seats * (section.get("lendablePercent") or 0) / 100)
        percent = section.get("borrowingLimitPercent")
        self.borrowing_limit = None if percent is None else round(self.seats * percent / 100)
        queuing = (section.get("limitResponse") or {}).get("queuing") or {}
        self._hand_size = int(queuing.get("handSize") or 0)
        self._queue_length = int(queuing.get("queueLengthLimit") or 0)
        wanted = int(queuing.get("queues") or 0)
        if wanted != len(self._queues):
            # Requests that wait in a queue that is taken away keep their turn: it is only dealt no more.
            waiting = [queue for queue in self._queues if queue.waiting]
            self._queues = [Queue(virtual_s=self._virtual_s) for _ in range(max(0, wanted - len(waiting)))] + waiting

    def try_enter(self) -> Seat | None:
        """A seat, if there is one now and nobody waits for it."""
        if self.exempt or (not self.waiting and (self.executing < self.seats or self._may_borrow())):
            self.executing += 1
            return _PLAIN_SEAT
        return None

    async def enter(self, hash: int) -> Seat:
        """Wait for a seat. Raises TooManyRequests."""
        queue = self._join(hash)
        waiter = Waiter(queue, asyncio.get_running_loop().create_future())
        queue.waiting.append(waiter)
        self.waiting += 1
        try:
            async with asyncio.timeout(WAIT_S):
                await waiter.admitted
        except TimeoutError:
            self._give_up(waiter)
            raise self._refused() from None
        except BaseException:
            self._give_up(waiter)
            raise
        return Seat(queue, effects.monotonic())

    def leave(self, seat: Seat) -> None:
        """The request is done; whoever waits longest in its turn goes on."""
        self.executing -= 1
        queue = seat.queue
        if queue is not None:
            queue.executing -= 1
            queue.virtual_s += effects.monotonic() - seat.began_s - ESTIMATE_S
        if self.waiting:
            self._dispatch()

    def idle_to_lend(self) -> int:
        """Seats that another level may use now."""
        return max(0, min(self.lendable, self.seats - self.executing)) if not self.waiting else 0

    def _may_borrow(self) -> bool:
        borrowed = self.executing - self.seats
        if self.borrowing_limit is not None and borrowed >= self.borrowing_limit:
            return False
        lent = sum(max(0, other.executing - other.seats) for other in self.others if not other.exempt)
        return lent < sum(other.idle_to_lend() for other in self.others if other is not self and not other.exempt)

    def _join(self, hash: int) -> Queue:
        if not self._queues or not self._hand_size:
            raise self._refused()
        hand = deal(hash, len(self._queues), self._hand_size)
        queue = min((self._queues[card] for card in hand), key=lambda one: len(one.waiting) + one.executing)
        if len(queue.waiting) >= self._queue_length:
            raise self._refused()
        if not queue.waiting and not queue.executing:
            queue.virtual_s = max(queue.virtual_s, self._virtual_s)
        return queue

    def _dispatch(self) -> None:
        while self.waiting and (self.executing < self.seats or self._may_borrow()):
            queue = min((one for one in self._queues if one.waiting), key=lambda one: one.virtual_s, default=None)
            if queue is None:
                return
            waiter = queue.waiting.popleft()
            self.waiting -= 1
            if waiter.admitted.done():
                continue  # it has given up, and says so itself
            self._virtual_s = queue.virtual_s
            queue.virtual_s += ESTIMATE_S
            queue.executing += 1
            self.executing += 1
            waiter.admitted.set_result(None)

    def _give_up(self, waiter: Waiter) -> None:
        """The waiter left the queue on its own, perhaps in the moment in which it was admitted."""
        if waiter in waiter.queue.waiting:
            waiter.queue.waiting.remove(waiter)
            self.waiting -= 1
        elif waiter.admitted.done() and not waiter.admitted.cancelled():
            self.leave(Seat(waiter.queue, effects.monotonic()))

    def _refused(self) -> TooManyRequests:
        self.rejected += 1
        return TooManyRequests(MESSAGE, retry_after_s=RETRY_AFTER_S)
