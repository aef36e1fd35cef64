"""Manifest in, nftables transaction out."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from sampan.apimachinery.object import key_of, namespace_of
from sampan.netfilter.nft import NFT
from sampan.netfilter.ruleset import Contribution, Existing, Ruleset
from sampan.proxy.model import Endpoint, Place, ServicePort, service_ports
from sampan.proxy.render import Frame, contribution, table_frame

GOLDEN = Path(__file__).parent.parent / "golden/proxy"
HERE = Place("here", "z1")


def load(name: str) -> list[dict[str, Any]]:
    return yaml.safe_load((GOLDEN / f"{name}.yaml").read_text())


def ports_of(objects: list[dict[str, Any]]) -> list[ServicePort]:
    slices = [o for o in objects if o["kind"] == "EndpointSlice"]

    def own(service: dict[str, Any]) -> list[dict[str, Any]]:
        return [o for o in slices if key_of(service) ==
                f"{namespace_of(o)}/{o['metadata']['labels']['kubernetes.io/service-name']}"]

    return [port for o in objects if o["kind"] == "Service" for port in service_ports(o, own(o), HERE)]


def contributions(objects: list[dict[str, Any]]) -> dict[str, Contribution]:
    return {port.key: contribution(port, Frame()) for port in ports_of(objects)}


def test_rules_are_as_written_down(golden: Callable[[str, str], None]) -> None:
    ruleset = Ruleset(table_frame(Frame()))
    ruleset.update(contributions(load("services")))
    golden("proxy/services.nft", "\n".join(ruleset.full(Existing()).main) + "\n")


def test_a_change_of_endpoints_touches_only_what_it_must(golden: Callable[[str, str], None]) -> None:
    objects = load("services")
    ruleset = Ruleset(table_frame(Frame()))
    before = contributions(objects)
    ruleset.update(before)
    sticky = next(o for o in objects if o["metadata"]["name"] == "sticky-1")
    sticky["endpoints"] = [{"addresses": ["10.244.0.7"], "nodeName": "here"}, {"addresses": ["10.244.1.99"]}]
    nobody = {**sticky, "metadata": {**sticky["metadata"], "labels": {"kubernetes.io/service-name": "nobody"}},
              "ports": [{"port": 80}], "endpoints": [{"addresses": ["10.244.0.3"]}]}
    objects.append(nobody)
    after = contributions(objects)
    transaction = ruleset.update({key: new for key, new in after.items() if new != before[key]})
    golden("proxy/change.nft", "\n".join([*transaction.main, "# then", *transaction.cleanup]) + "\n")


def test_no_change_is_no_transaction() -> None:
    ruleset = Ruleset(table_frame(Frame()))
    ruleset.update(contributions(load("services")))
    assert not ruleset.update(contributions(load("services")))


def test_what_two_services_claim_belongs_to_the_first_and_is_inherited() -> None:
    def claim(name: str) -> Contribution:
        return Contribution(elements={("service-ips", "192.0.2.1 . tcp . 80"): f"goto {name}"})

    ruleset = Ruleset(table_frame(Frame()))
    assert ruleset.update({"b": claim("b")}).main[-1].endswith("{ 192.0.2.1 . tcp . 80 : goto b }")
    assert ruleset.update({"a": claim("a")}).main[-1].endswith("{ 192.0.2.1 . tcp . 80 : goto a }")
    assert ruleset.update({"a": None}).main[-1].endswith("{ 192.0.2.1 . tcp . 80 : goto b }")
    assert ruleset.update({"b": None}).main == (
        "delete element ip sampan-proxy service-ips { 192.0.2.1 . tcp . 80 }",)


@pytest.mark.skipif(os.geteuid() != 0, reason="the kernel takes rules only from root")
def test_the_kernel_takes_all_of_it_step_by_step_or_whole(network_namespace: str) -> None:
    from sampan.machines.namespace import call_in

    def check() -> None:
        nft = NFT()
        ruleset = Ruleset(table_frame(Frame()))
        current = contributions(load("services"))
        nft.run(ruleset.full(Existing()).main)
        for key, new in current.items():
            nft.run(ruleset.update({key: new}).main)
        whole = nft.existing("ip", "sampan-proxy")
        for _ in range(2):
            transaction = ruleset.full(nft.existing("ip", "sampan-proxy") or Existing())
            nft.run(transaction.main)
            assert not transaction.cleanup
        assert nft.existing("ip", "sampan-proxy") == whole
        transaction = ruleset.update(dict.fromkeys(current))
        nft.run(transaction.main)
        nft.run(transaction.cleanup)
        left = nft.existing("ip", "sampan-proxy")
        assert left is not None and not any("default/" in name for name in (*left.chains, *left.sets))
        nft.close()

    call_in(network_namespace, check)


def test_no_name_or_address_can_smuggle_a_rule_in() -> None:
    port = ServicePort("n/s", "x }; drop", "tcp", 80, ("10.96.0.9",), cluster=(Endpoint("10.0.0.1", 1),))
    assert not any(set(name) & set(" ;{}\n") for name in contribution(port, Frame()).chains)
    service = {"metadata": {"name": "s", "namespace": "n"}, "spec": {"clusterIP": "10.96.0.9", "ports": [{"port": 80}]}}
    piece = {"addressType": "IPv4", "ports": [{"port": 80}], "endpoints": [{"addresses": ["10.0.0.1; flush ruleset"]}]}
    with pytest.raises(ValueError, match="flush"):
        service_ports(service, [piece], HERE)


def test_long_names_fit_and_stay_apart() -> None:
    def port(name: str) -> ServicePort:
        return ServicePort(f"{'n' * 63}/{'s' * 63}", name, "tcp", 80, ("10.96.0.9",), affinity_s=5,
                           cluster=(Endpoint("10.0.0.1", 1), Endpoint("10.0.0.2", 1)))

    first, second = contribution(port("p" * 15), Frame()), contribution(port("q" * 15), Frame())
    assert max(map(len, (*first.chains, *first.sets))) <= 127
    assert len(first.chains) == 3 and len(first.sets) == 2
    assert not first.chains.keys() & second.chains.keys()


@pytest.mark.skipif(os.geteuid() != 0, reason="the kernel takes rules only from root")
def test_the_kernel_takes_the_same_for_ipv6(network_namespace: str) -> None:
    from sampan.machines.namespace import call_in

    frame = Frame(family="ip6", cluster_cidr="fd00:244::/56", service_cidr="fd00:96::/112")
    endpoints = (Endpoint("fd00::1", 1),)
    port = ServicePort("n/s", "x", "tcp", 80, ("fd00:96::9",), node_port=30000, affinity_s=5, external_local=True,
                       external_ips=("2001:db8::1",), cluster=endpoints, local=endpoints)
    ruleset = Ruleset(table_frame(frame))
    ruleset.update({port.key: contribution(port, frame)})
    call_in(network_namespace, lambda: NFT().run(ruleset.full(Existing()).main))
