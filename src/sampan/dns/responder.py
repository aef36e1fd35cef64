"""From the bytes of a query to the bytes of its answer, fast: what was answered once is kept encoded.

The key is the query without its id, so a client's repeated question costs a dictionary look-up. Where a name has
several addresses, the answer is kept in several rotations that take turns, so clients spread over the endpoints.
Every change of the zone drops the lot; a Service's answer is never older than the zone.
"""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from sampan.dns.answer import MAX_UDP_BYTES, FormError, Policy, Verdict, answer, parse
from sampan.dns.forward import Address, forward
from sampan.dns.zone import Zone

log = logging.getLogger(__name__)

MAX_CACHED = 4096
MAX_ROTATIONS = 8
MAX_TCP_BYTES = 65535


@dataclass(slots=True)
class _Cached:
    """The encoded rotations of an answer, without their ids."""

    wires: list[bytes]
    turn: int = 0

    def next(self) -> bytes:
        self.turn = (self.turn + 1) % len(self.wires)
        return self.wires[self.turn]


@dataclass(slots=True)
class Responder:
    """Answers queries from a zone, and through `resolvers` what lies outside it."""

    zone: Zone
    policy: Policy = field(default_factory=Policy)
    resolvers: Sequence[Address] = ()
    queries: int = 0
    hits: int = 0
    failures: int = 0
    _cache: dict[tuple[bool, bytes], _Cached] = field(default_factory=dict)
    _generation: int = -1

    def immediate(self, wire: bytes, *, tcp: bool) -> bytes | Pending | None:
        """The answer; None when the query deserves none; Pending when others must be asked first."""
        self.queries += 1
        if self.zone.generation != self._generation or len(self._cache) > MAX_CACHED:
            self._cache.clear()
            self._generation = self.zone.generation
        cached = self._cache.get((tcp, wire[2:]))
        if cached is not None:
            self.hits += 1
            return wire[:2] + cached.next()
        try:
            query = parse(wire)
            if query is None:
                return None
            verdict, reply = answer(query, self.zone, self.policy)
            limit = MAX_TCP_BYTES if tcp else _udp_limit(query)
            if verdict is Verdict.FORWARD:
                return Pending(self, wire, reply, limit, tcp)
            wires = [encode(turned, limit)[2:] for turned in _rotations(reply)]
        except FormError as error:
            return error.wire
        except Exception:
            self.failures += 1
            log.exception("query of %d bytes could not be answered", len(wire))
            return wire[:2] + bytes((0x80 | wire[2] & 0x79, dns.rcode.SERVFAIL)) + bytes(8)
        self._cache[tcp, wire[2:]] = _Cached(wires)
        return wire[:2] + wires[0]


@dataclass(frozen=True, slots=True)
class Pending:
    """An answer for which resolvers outside must be asked."""

    responder: Responder
    wire: bytes
    reply: dns.message.Message
    limit: int
    tcp: bool

    async def resolve(self) -> bytes:
        """The resolvers' answer, after the aliases that led to it; SERVFAIL when none answers."""
        if not self.reply.answer:
            found = await forward(self.wire, self.responder.resolvers, tcp=self.tcp)
            if found is not None:
                return found
            self.reply.set_rcode(dns.rcode.SERVFAIL)
            return encode(self.reply, self.limit)
        target = self.reply.answer[-1][0].target
        question = dns.message.make_query(target, self.reply.question[0].rdtype, use_edns=True)
        found = await forward(question.to_wire(), self.responder.resolvers, tcp=self.tcp)
        try:
            if found is not None:
                rest = dns.message.from_wire(found)
                self.reply.answer.extend(rest.answer)
                self.reply.set_rcode(rest.rcode())
        except dns.exception.DNSException:
            log.warning("a resolver's answer for %s cannot be read", target)
        return encode(self.reply, self.limit)


def encode(reply: dns.message.Message, limit: int) -> bytes:
    """The message in at most `limit` bytes; what does not fit is left out, and TC says so."""
    return reply.to_wire(max_size=limit, prefer_truncation=True, want_shuffle=False)


def start_pending(pending: Pending, tasks: set[asyncio.Task[bytes]]) -> asyncio.Task[bytes]:
    """Resolve in the background; `tasks` keeps the task alive until it is done."""
    task = asyncio.create_task(pending.resolve())
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    return task


def _udp_limit(query: dns.message.Message) -> int:
    if query.edns < 0:
        return 512
    return max(512, min(query.payload, MAX_UDP_BYTES))


def _rotations(reply: dns.message.Message) -> list[dns.message.Message]:
    """The reply with its addresses in turn at the front; just the reply where order does not matter."""
    addresses = [r for r in reply.answer if r.rdtype in (dns.rdatatype.A, dns.rdatatype.AAAA) and len(r) > 1]
    if not addresses:
        return [reply]
    turned = []
    for turn in range(min(max(len(rrset) for rrset in addresses), MAX_ROTATIONS)):
        other = copy.copy(reply)
        other.sections = list(reply.sections)
        other.answer = [_turned(rrset, turn) for rrset in reply.answer]
        turned.append(other)
    return turned


def _turned(rrset: dns.rrset.RRset, turn: int) -> dns.rrset.RRset:
    if rrset.rdtype not in (dns.rdatatype.A, dns.rdatatype.AAAA):
        return rrset
    items = list(rrset)
    at = turn % len(items)
    return dns.rrset.from_rdata_list(rrset.name, rrset.ttl, items[at:] + items[:at])
