"""Which UDP flows are forgotten."""

from __future__ import annotations

from pathlib import Path

import pytest

from sampan.proxy import conntrack
from sampan.proxy.conntrack import Flow, frontends, stale
from sampan.proxy.model import Endpoint, ServicePort

OLD, NEW = ("10.244.0.11", 53), ("10.244.0.12", 53)


def port(*endpoints: tuple[str, int], protocol: str = "udp", node_port: int = 0) -> ServicePort:
    return ServicePort("d/dns", "dns", protocol, 53, ("10.96.0.10",), node_port=node_port,
                       cluster=tuple(Endpoint(*endpoint) for endpoint in endpoints))


def flow(server: tuple[str, int], destination: tuple[str, int] = ("10.96.0.10", 53)) -> Flow:
    return Flow("10.244.0.99", 4242, *destination, *server)


def test_flows_to_a_lost_endpoint_go_and_others_stay() -> None:
    changed = frontends([port(OLD, NEW)], [port(NEW)])
    assert stale([flow(OLD), flow(NEW), flow(OLD, OLD)], changed) == [flow(OLD)]


def test_flows_of_a_service_that_is_gone_go() -> None:
    assert stale([flow(OLD)], frontends([port(OLD)], [])) == [flow(OLD)]


def test_a_flow_that_met_no_endpoint_goes_once_there_is_one() -> None:
    lost = flow(("10.96.0.10", 53))
    assert stale([lost], frontends([port()], [port(NEW)])) == [lost]
    assert stale([lost], frontends([port(OLD)], [port()])) == []


def test_a_node_port_is_known_by_its_number_alone() -> None:
    changed = frontends([port(OLD, node_port=30053)], [port(NEW, node_port=30053)])
    through = flow(OLD, ("172.30.0.11", 30053))
    direct = flow(("192.0.2.1", 30053), ("192.0.2.1", 30053))
    assert stale([through, direct], changed) == [through]


def test_tcp_and_what_did_not_change_is_left_alone() -> None:
    assert not frontends([port(OLD, protocol="tcp")], [port(NEW, protocol="tcp")])
    assert not frontends([port(OLD)], [port(OLD)])


def test_flows_are_read_as_the_kernel_prints_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "nf_conntrack"
    file.write_text(
        "ipv4     2 udp      17 28 src=10.244.0.99 dst=10.96.0.10 sport=4242 dport=53 [UNREPLIED] "
        "src=10.244.0.11 dst=10.244.0.99 sport=53 dport=4242 mark=0 zone=0 use=2\n"
        "ipv4     2 tcp      6 431999 ESTABLISHED src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 "
        "src=10.0.0.2 dst=10.0.0.1 sport=2 dport=1 [ASSURED] mark=0 zone=0 use=2\n"
        "ipv6     10 udp      17 9 src=fd00:0000:0000:0000:0000:0000:0000:0001 "
        "dst=fd00:0000:0000:0000:0000:0000:0000:0002 sport=5 dport=53 "
        "src=fd00:0000:0000:0000:0000:0000:0000:0003 dst=fd00:0000:0000:0000:0000:0000:0000:0001 "
        "sport=53 dport=5 [ASSURED] mark=0 zone=0 use=2\n")
    monkeypatch.setattr(conntrack, "FLOWS", file)
    assert list(conntrack.current()) == [flow(OLD), Flow("fd00::1", 5, "fd00::2", 53, "fd00::3", 53)]


def test_a_kernel_without_the_file_has_no_flows_to_forget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conntrack, "FLOWS", tmp_path / "missing")
    assert conntrack.forget(frontends([port(OLD)], [])) == 0
