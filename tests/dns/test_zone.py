"""The zone after any changes equals the zone built anew."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sampan.dns.zone import Zone

NAMES = ["a", "b", "c"]


def service(name: str, kind: str, **spec: Any) -> dict[str, Any]:
    shapes: dict[str, dict[str, Any]] = {
        "ip": {"clusterIP": "10.96.0.7", "ports": [{"name": "http", "port": 80}]},
        "headless": {"clusterIP": "None"},
        "alias": {"type": "ExternalName", "externalName": "a.n.svc.cluster.local"},
    }
    return {"metadata": {"name": name, "namespace": "n"}, "spec": {**shapes[kind], **spec}}


def piece(last: list[int]) -> dict[str, Any]:
    return {"addressType": "IPv4", "ports": [{"name": "p", "port": 1}],
            "endpoints": [{"addresses": [f"10.0.0.{n}"], "hostname": f"h{n}"} for n in last]}


def state(zone: Zone) -> tuple[Any, ...]:
    names = sorted({name for name, _ in zone._owners} | set(zone._below) | set(zone._types))
    kinds = ("A", "SRV", "PTR", "CNAME")
    return tuple((n, zone.exists(n), sorted(zone.types(n)), [sorted(zone.lookup(n, k)) for k in kinds]) for n in names)


kinds_of_change = st.sampled_from(["ip", "headless", "alias", "gone"])
changes = st.lists(st.tuples(st.sampled_from(NAMES), kinds_of_change, st.lists(st.integers(1, 4), max_size=3)))


@settings(max_examples=100, deadline=None)
@given(changes)
def test_a_zone_changed_step_by_step_equals_one_built_anew(steps: list[tuple[str, str, list[int]]]) -> None:
    zone, final = Zone(), {}
    for name, kind, last in steps:
        if kind == "gone":
            zone.remove_service(f"n/{name}")
            final.pop(name, None)
        else:
            zone.set_service(service(name, kind), [piece(last)])
            final[name] = (service(name, kind), [piece(last)])
    fresh = Zone()
    for parts in final.values():
        fresh.set_service(*parts)
    assert state(zone) == state(fresh)


def test_a_change_that_changes_no_record_keeps_cached_answers() -> None:
    zone = Zone()
    zone.set_service(service("a", "ip"), [])
    before = zone.generation
    zone.set_service(service("a", "ip", sessionAffinity="ClientIP"), [])
    assert zone.generation == before


def test_two_services_share_a_pods_reverse_name() -> None:
    zone = Zone()
    for name in ("a", "b"):
        zone.set_service(service(name, "headless"), [piece([5])])
    assert zone.lookup("5.0.0.10.in-addr.arpa.", "PTR") == ("h5.a.n.svc.cluster.local.", "h5.b.n.svc.cluster.local.")
    zone.remove_service("n/a")
    assert zone.lookup("5.0.0.10.in-addr.arpa.", "PTR") == ("h5.b.n.svc.cluster.local.",)
