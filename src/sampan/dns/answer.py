"""From a query to an answer, by the zone: no sockets, no clock.

Answers follow RFC 1034/1035 (authority, NXDOMAIN and NODATA with the SOA), 2308 (how long a "no" may be kept), 2782
(SRV with the targets' addresses as additional records) and 6891 (EDNS). What is neither in the cluster's domain nor a
reverse name that it knows is for a forwarder; without one it does not exist, because there is no world outside a
local cluster.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from sampan.dns.zone import Zone

MAX_UDP_BYTES = 1232
"""What fits into any packet without fragments (DNS flag day 2020)."""
MAX_CHAIN = 8
REVERSE_ZONES = ("in-addr.arpa.", "ip6.arpa.")


class Verdict(enum.Enum):
    """What became of a query."""

    ANSWERED = "answered"
    FORWARD = "forward"


@dataclass(frozen=True, slots=True)
class Policy:
    """How answers look: `ttl_s` of every record, and whether names of the outside are for a forwarder."""

    ttl_s: int = 5
    forward: bool = False


def parse(wire: bytes) -> dns.message.Message | None:
    """The query, or None for what is not even the beginning of one and gets no answer. Raises FormError."""
    if len(wire) < 12 or wire[2] & 0x80:  # too short for a header; an answer, not a query
        return None
    try:
        return dns.message.from_wire(wire, ignore_trailing=True)
    except dns.exception.DNSException as error:
        raise FormError(wire) from error


class FormError(Exception):
    """The query cannot be read; `wire` is the answer that says so."""

    def __init__(self, query: bytes) -> None:
        super().__init__("malformed query")
        opcode_and_rd = query[2] & 0x79
        self.wire = query[:2] + bytes((0x80 | opcode_and_rd, dns.rcode.FORMERR)) + bytes(8)


def answer(query: dns.message.Message, zone: Zone, policy: Policy) -> tuple[Verdict, dns.message.Message]:
    """The answer to a query. With FORWARD, the message holds what is known so far (a CNAME chain that leads
    outside)."""
    reply = dns.message.make_response(query, recursion_available=True, our_payload=MAX_UDP_BYTES)
    refusal = _refusal(query)
    if refusal is not None:
        reply.set_rcode(refusal)
        return Verdict.ANSWERED, reply
    question = query.question[0]
    return _Resolution(zone, policy, reply).run(question.name, question.rdtype)


def _refusal(query: dns.message.Message) -> dns.rcode.Rcode | None:
    if query.edns > 0:
        return dns.rcode.BADVERS
    if query.opcode() != dns.opcode.QUERY:
        return dns.rcode.NOTIMP
    if len(query.question) != 1:
        return dns.rcode.FORMERR
    if query.question[0].rdclass != dns.rdataclass.IN:
        return dns.rcode.REFUSED
    return None


class _Resolution:
    """Fills one reply."""

    def __init__(self, zone: Zone, policy: Policy, reply: dns.message.Message) -> None:
        self._zone = zone
        self._policy = policy
        self._reply = reply

    def run(self, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> tuple[Verdict, dns.message.Message]:
        for _ in range(MAX_CHAIN):
            text = name.to_text().lower()
            if self._is_outside(text):
                return self._outside(text)
            self._reply.flags |= dns.flags.AA
            alias = self._zone.lookup(text, "CNAME")
            if not alias or kind in (dns.rdatatype.CNAME, dns.rdatatype.ANY):
                self._data(name, text, kind)
                return Verdict.ANSWERED, self._reply
            self._add(self._reply.answer, name, "CNAME", alias)
            name = dns.name.from_text(alias[0])
        self._reply.answer.clear()  # aliases that lead in a circle
        self._reply.set_rcode(dns.rcode.SERVFAIL)
        return Verdict.ANSWERED, self._reply

    def _is_outside(self, text: str) -> bool:
        if self._zone.contains(text):
            return False
        reverse = any(text.endswith(suffix) for suffix in REVERSE_ZONES)
        return not (reverse and (self._zone.exists(text) or not self._policy.forward))

    def _outside(self, text: str) -> tuple[Verdict, dns.message.Message]:
        if self._policy.forward:
            return Verdict.FORWARD, self._reply
        if not self._reply.answer:  # an alias is an answer, though what it stands for cannot be resolved here
            self._reply.set_rcode(dns.rcode.NXDOMAIN)
            self._add_soa(".")
        return Verdict.ANSWERED, self._reply

    def _data(self, name: dns.name.Name, text: str, kind: dns.rdatatype.RdataType) -> None:
        """The records asked for; else the SOA says why there are none: no such data (NOERROR) or no such name."""
        found = False
        if text == self._zone.origin and kind in (dns.rdatatype.SOA, dns.rdatatype.ANY):
            self._add_soa(text, authority=False)
            found = True
        for each in self._zone.types(text) if kind == dns.rdatatype.ANY else [dns.rdatatype.to_text(kind)]:
            values = self._zone.lookup(text, each)
            if values:
                self._add(self._reply.answer, name, each, values)
                found = True
            if values and each == "SRV":
                self._add_targets(values)
        if not found:
            if not self._zone.exists(text):
                self._reply.set_rcode(dns.rcode.NXDOMAIN)
            self._add_soa(self._apex(text))

    def _add_targets(self, values: tuple[str, ...]) -> None:
        for target in dict.fromkeys(value.rsplit(" ", 1)[1] for value in values):
            for kind in ("A", "AAAA"):
                addresses = self._zone.lookup(target, kind)
                if addresses:
                    self._add(self._reply.additional, dns.name.from_text(target), kind, addresses)

    def _apex(self, text: str) -> str:
        if self._zone.contains(text):
            return self._zone.origin
        return next(suffix for suffix in REVERSE_ZONES if text.endswith(suffix))

    def _add_soa(self, apex: str, *, authority: bool = True) -> None:
        section = self._reply.authority if authority else self._reply.answer
        ttl = self._policy.ttl_s
        # The serial need only grow; nobody transfers this zone.
        value = (f"ns.dns.{self._zone.origin} hostmaster.{self._zone.origin} "
                 f"{self._zone.generation % 2**32} 7200 1800 86400 {ttl}")
        self._add(section, dns.name.from_text(apex), "SOA", (value,))

    def _add(self, section: list[dns.rrset.RRset], name: dns.name.Name, kind: str, values: tuple[str, ...]) -> None:
        section.append(dns.rrset.from_text_list(name, self._policy.ttl_s, "IN", kind, values))
