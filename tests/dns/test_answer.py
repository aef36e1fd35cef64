"""Manifest in, answers out: the golden files in tests/golden/dns are the specification by example."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import pytest
import yaml

from sampan.apimachinery.object import key_of, namespace_of
from sampan.dns.answer import FormError, Policy, Verdict, answer, parse
from sampan.dns.zone import Zone

GOLDEN = Path(__file__).parent.parent / "golden/dns"


def zone_of(objects: list[dict[str, Any]]) -> Zone:
    zone = Zone("cluster.local")
    for namespace in (o for o in objects if o["kind"] == "Namespace"):
        zone.add_namespace(namespace["metadata"]["name"])
    for service in (o for o in objects if o["kind"] == "Service"):
        zone.set_service(service, slices_of(service, objects))
    return zone


def slices_of(service: dict[str, Any], objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [o for o in objects if o["kind"] == "EndpointSlice" and key_of(service) ==
            f"{namespace_of(o)}/{o['metadata']['labels']['kubernetes.io/service-name']}"]


def shown(reply: dns.message.Message) -> str:
    lines = [f"  {dns.rcode.to_text(reply.rcode())} {dns.flags.to_text(reply.flags)}"]
    for title, section in (("answer", reply.answer), ("authority", reply.authority), ("additional", reply.additional)):
        for rrset in section:
            lines += [f"  {title:10} {line}" for line in rrset.to_text().splitlines()]
    return "\n".join(lines)


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.yaml")))
def test_answers_are_as_written_down(name: str, golden: Callable[[str, str], None]) -> None:
    case = yaml.safe_load((GOLDEN / f"{name}.yaml").read_text())
    zone = zone_of(case["objects"])
    zone.generation = 0  # the serial number
    text = ""
    for line in case["queries"]:
        qname, qtype = line.split()
        verdict, reply = answer(dns.message.make_query(qname, qtype), zone, Policy())
        assert verdict is Verdict.ANSWERED
        text += f"{line}\n{shown(reply)}\n\n"
    golden(f"dns/{name}.txt", text)


def refusal(**changes: Any) -> str:
    query = dns.message.make_query("cluster.local.", "SOA", rdclass=changes.get("rdclass", "IN"))
    if "opcode" in changes:
        query.set_opcode(changes["opcode"])
    if "edns" in changes:
        query.use_edns(changes["edns"])
    if changes.get("no_question"):
        query.question = []
    return dns.rcode.to_text(answer(query, Zone(), Policy())[1].rcode())


def test_what_cannot_be_answered_is_refused_with_the_right_code() -> None:
    assert refusal(rdclass="CH") == "REFUSED"
    assert refusal(opcode=2) == "NOTIMP"
    assert refusal(edns=1) == "BADVERS"
    assert refusal(no_question=True) == "FORMERR"


def test_with_a_forwarder_only_the_outside_is_forwarded() -> None:
    zone = zone_of(yaml.safe_load((GOLDEN / "services.yaml").read_text())["objects"])

    def verdict(name: str, kind: str = "A") -> Verdict:
        return answer(dns.message.make_query(name, kind), zone, Policy(forward=True))[0]

    assert verdict("example.com.") is Verdict.FORWARD
    assert verdict("outside.default.svc.cluster.local.") is Verdict.FORWARD
    assert verdict("1.0.0.127.in-addr.arpa.", "PTR") is Verdict.FORWARD
    assert verdict("1.1.96.10.in-addr.arpa.", "PTR") is Verdict.ANSWERED
    assert verdict("nobody.default.svc.cluster.local.") is Verdict.ANSWERED


def test_noise_gets_no_answer_and_a_broken_query_gets_formerr() -> None:
    assert parse(b"") is None
    assert parse(b"\x12\x34\x81\x80" + bytes(8)) is None, "an answer must not be answered: two servers would never stop"
    with pytest.raises(FormError) as caught:
        parse(b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x3fabc")
    assert caught.value.wire[:2] == b"\x12\x34"
    reply = dns.message.from_wire(caught.value.wire)
    assert reply.rcode() == dns.rcode.FORMERR and reply.flags & dns.flags.QR
