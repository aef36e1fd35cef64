"""Routes follow Node objects; only our own routes are ever removed."""

from __future__ import annotations

import os
import subprocess
from typing import Any

import pytest

from sampan.machines.namespace import call_in, create, delete, exec_in
from sampan.network import routes


def node(name: str, cidr: str = "", *addresses: str, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {"podCIDR": cidr, **spec} if cidr else spec,
        "status": {"addresses": [{"type": "Hostname", "address": name}]
                   + [{"type": "InternalIP", "address": address} for address in addresses]},
    }


def test_every_other_nodes_cidr_goes_by_its_address() -> None:
    nodes = [node("a", "10.244.0.0/24", "172.30.0.11"), node("b", "10.244.1.0/24", "172.30.0.12")]
    assert routes.desired(nodes, "a") == {"10.244.1.0/24": "172.30.0.12"}
    assert routes.desired(nodes, "c") == {"10.244.0.0/24": "172.30.0.11", "10.244.1.0/24": "172.30.0.12"}


def test_a_node_without_cidr_or_address_gets_no_route_yet() -> None:
    assert routes.desired([node("b", "10.244.1.0/24"), node("c", "", "172.30.0.13"), {"metadata": {"name": "d"}}],
    "a") == {}


def test_each_family_goes_by_an_address_of_its_own() -> None:
    both = node("b", "10.244.1.0/24", "fd00::2", "172.30.0.12", podCIDRs=["10.244.1.0/24", "fd00:1::/64"])
    assert routes.desired([both], "a") == {"10.244.1.0/24": "172.30.0.12", "fd00:1::/64": "fd00::2"}


def test_the_difference_sets_what_is_new_or_moved_and_removes_what_is_gone() -> None:
    current = {"10.244.1.0/24": "172.30.0.12", "10.244.2.0/24": "172.30.0.13", "10.244.3.0/24": "172.30.0.14"}
    wanted = {"10.244.1.0/24": "172.30.0.12", "10.244.2.0/24": "172.30.0.99", "10.244.4.0/24": "172.30.0.15"}
    put, remove = routes.difference(current, wanted)
    assert put == {"10.244.2.0/24": "172.30.0.99", "10.244.4.0/24": "172.30.0.15"}
    assert remove == {"10.244.3.0/24": "172.30.0.14"}


@pytest.mark.skipif(os.geteuid() != 0, reason="making network namespaces needs root")
def test_the_kernels_table_becomes_what_is_wanted_and_foreign_routes_stay() -> None:
    name = f"t-routes-{os.getpid()}"
    create(name)

    def ip(*arguments: str) -> str:
        return subprocess.run(exec_in(name, ["ip", *arguments]), check=True, capture_output=True, text=True).stdout

    try:
        ip("link", "add", "eth0", "type", "bridge")
        ip("addr", "add", "172.30.0.11/24", "dev", "eth0")
        ip("link", "set", "eth0", "up")
        ip("route", "add", "10.99.0.0/24", "via", "172.30.0.1")
        call_in(name, lambda: routes.apply({"10.244.1.0/24": "172.30.0.12", "10.244.2.0/24": "172.30.0.13"}))
        call_in(name, lambda: routes.apply({"10.244.2.0/24": "172.30.0.14"}))
        table = ip("route")
        assert "10.244.2.0/24 via 172.30.0.14" in table and "10.99.0.0/24 via 172.30.0.1" in table
        assert "10.244.1.0/24" not in table
        assert call_in(name, lambda: routes.apply({"10.244.2.0/24": "172.30.0.14"})) == ({}, {})
        call_in(name, lambda: routes.apply({}))
        assert "10.244" not in ip("route")
    finally:
        delete(name)
