"""Which endpoints a node uses for which traffic."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.proxy.model import Place, ServicePort, is_proxied, service_ports

HERE = Place("here", "z1")


def endpoint(number: int, node: str = "there", **fields: Any) -> dict[str, Any]:
    return {"addresses": [f"10.0.0.{number}"], "nodeName": node, **fields}


def port(*endpoints: dict[str, Any], place: Place = HERE, **spec: Any) -> ServicePort:
    service = {"metadata": {"name": "s", "namespace": "n"},
               "spec": {"clusterIP": "10.96.0.9", "ports": [{"port": 80, "nodePort": 30000}], **spec}}
    piece = {"addressType": "IPv4", "ports": [{"port": 8080}], "endpoints": list(endpoints)}
    return service_ports(service, [piece], place)[0]


def numbers(endpoints: tuple[Any, ...]) -> list[int]:
    return [int(e.ip.rsplit(".", 1)[1]) for e in endpoints]


def test_ready_endpoints_serve_and_unready_do_not() -> None:
    found = port(endpoint(1, conditions={"ready": True}), endpoint(2, conditions={"ready": False}), endpoint(3))
    assert numbers(found.cluster) == [1, 3]


def test_where_none_is_ready_those_that_terminate_but_serve_do() -> None:
    ending = {"ready": False, "serving": True, "terminating": True}
    dead = {"ready": False, "serving": False, "terminating": True}
    assert numbers(port(endpoint(1, conditions=ending), endpoint(2, conditions=dead)).cluster) == [1]
    assert numbers(port(endpoint(1, conditions=ending), endpoint(2)).cluster) == [2]


def test_policy_local_uses_this_nodes_endpoints_and_knows_of_the_others() -> None:
    found = port(endpoint(1), endpoint(2, "here"), externalTrafficPolicy="Local")
    assert numbers(found.external_endpoints) == [2] and numbers(found.internal_endpoints) == [1, 2]
    elsewhere = port(endpoint(1), internalTrafficPolicy="Local")
    assert elsewhere.internal_endpoints == () and elsewhere.any_endpoints


def hint(zone: str) -> dict[str, Any]:
    return {"hints": {"forZones": [{"name": zone}]}}


def test_zone_hints_are_followed_only_when_all_endpoints_have_one_and_one_is_for_here() -> None:
    assert numbers(port(endpoint(1, **hint("z1")), endpoint(2, **hint("z2"))).cluster) == [1]
    assert numbers(port(endpoint(1, **hint("z1")), endpoint(2)).cluster) == [1, 2]
    assert numbers(port(endpoint(1, **hint("z3")), endpoint(2, **hint("z2"))).cluster) == [1, 2]
    assert numbers(port(endpoint(1, **hint("z1")), endpoint(2, **hint("z2")), place=Place("here")).cluster) == [1, 2]


def test_node_hints_come_before_zone_hints() -> None:
    def both(node: str) -> dict[str, Any]:
        return {"hints": {"forNodes": [{"name": node}], "forZones": [{"name": "z1"}]}}

    assert numbers(port(endpoint(1, **both("here")), endpoint(2, **both("there"))).cluster) == [1]
    assert numbers(port(endpoint(1, **both("far")), endpoint(2, **both("there"))).cluster) == [1, 2]


def test_an_endpoint_in_two_slices_counts_once() -> None:
    assert numbers(port(endpoint(1), endpoint(1)).cluster) == [1]


def test_a_named_target_port_may_be_another_number_in_each_slice() -> None:
    service = {"metadata": {"name": "s", "namespace": "n"}, "spec": {"clusterIP": "10.96.0.9", "ports": [
        {"name": "a", "port": 80}, {"name": "a-udp", "port": 80, "protocol": "UDP"}]}}
    pieces = [{"addressType": "IPv4", "ports": [{"name": "a", "port": number}], "endpoints": [endpoint(number)]}
              for number in (1, 2)]
    tcp, udp = service_ports(service, pieces, HERE)
    assert [(e.ip, e.port) for e in tcp.cluster] == [("10.0.0.1", 1), ("10.0.0.2", 2)]
    assert udp.cluster == () and not udp.any_endpoints


def test_a_dual_stack_service_has_ports_in_both_families() -> None:
    service = {"metadata": {"name": "s", "namespace": "n"},
               "spec": {"clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9", "fd00:96::9"], "ports": [{"port": 80}]}}
    pieces = [{"addressType": "IPv6", "ports": [{"port": 80}], "endpoints": [{"addresses": ["fd00::5"]}]}]
    assert service_ports(service, pieces, HERE, "ip")[0].cluster == ()
    assert [e.ip for e in service_ports(service, pieces, HERE, "ip6")[0].cluster] == ["fd00::5"]


@pytest.mark.parametrize("spec", [{"clusterIP": "None"}, {"clusterIP": ""}, {"type": "ExternalName"}])
def test_services_without_an_address_are_not_proxied(spec: dict[str, Any]) -> None:
    service = {"metadata": {"name": "s", "namespace": "n"}, "spec": {"ports": [{"port": 80}], **spec}}
    assert not is_proxied(service) and service_ports(service, [], HERE) == []


def test_affinity_lasts_three_hours_unless_said_otherwise() -> None:
    assert port(sessionAffinity="ClientIP").affinity_s == 10800
    limited = {"clientIP": {"timeoutSeconds": 5}}
    assert port(sessionAffinity="ClientIP", sessionAffinityConfig=limited).affinity_s == 5
    assert port(sessionAffinity="None").affinity_s == 0


@pytest.mark.parametrize("label", ["service.kubernetes.io/service-proxy-name", "service.kubernetes.io/headless"])
def test_services_that_are_labelled_as_somebody_elses_are_not_proxied(label: str) -> None:
    service = {"metadata": {"name": "s", "namespace": "n", "labels": {label: ""}},
               "spec": {"clusterIP": "10.96.0.9", "ports": [{"port": 80}]}}
    assert not is_proxied(service) and service_ports(service, [], HERE) == []
