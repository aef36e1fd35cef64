"""NetworkPolicies: what rules they become, that changes touch what they must, and that the kernel takes it all."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sampan.machines import namespace
from sampan.netfilter.nft import NFT
from sampan.netfilter.ruleset import Contribution, Existing, Ruleset
from sampan.network.policy.rules import frame, policy_types
from sampan.network.policy.view import Policies

Object = dict[str, Any]


def pod(name: str, ip: str, node: str = "here", namespace: str = "ns", **labels: str) -> Object:
    ports = [{"name": "web", "containerPort": 8080}, {"name": "dns", "containerPort": 53, "protocol": "UDP"}]
    return {
        "kind": "Pod", "metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}", "labels": labels},
        "spec": {"nodeName": node, "containers": [{"name": "c", "ports": ports}]},
        "status": {"phase": "Running", "podIP": ip},
    }


def policy(name: str, selector: Object | None = None, **spec: Any) -> Object:
    return {"metadata": {"name": name, "namespace": "ns"}, "spec": {"podSelector": selector or {}, **spec}}


def space(name: str, **labels: str) -> Object:
    return {"metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name, **labels}}}


def match(**labels: str) -> Object:
    return {"matchLabels": labels}


def world(*policies: Object) -> Policies:
    found = Policies("here")
    for one in (space("ns"), space("other", team="x"), space("kube-system")):
        found.set_namespace(one)
    found.set_node({"metadata": {"name": "here"}, "status": {"addresses": [
        {"type": "InternalIP", "address": "172.30.0.11"}]}})
    for one in (pod("a", "10.0.0.1", app="a"), pod("b", "10.0.0.2", "there", app="b"),
                pod("x", "10.0.0.3", "there", "other", app="x")):
        found.set_pod(one)
    for one in policies:
        found.set_policy(one)
    return found


def rules_of(found: Policies, key: str) -> tuple[tuple[str, ...], dict[tuple[str, str], str]]:
    """A policy's rules, and what pods put into its sets."""
    changes = found.changes()
    contribution = changes[key]
    assert contribution is not None
    (rules,) = contribution.chains.values()
    present = [one for one in changes.values() if one is not None]
    elements = [element for one in present for element in one.elements if element[0] in contribution.sets]
    return rules, dict.fromkeys(elements, "")


def test_policy_types_by_default() -> None:
    assert policy_types(policy("p")) == {"ingress"}
    assert policy_types(policy("p", egress=[{}])) == {"ingress", "egress"}
    assert policy_types(policy("p", policyTypes=["Egress"])) == {"egress"}


def test_peers_ports_and_blocks_become_rules() -> None:
    rules, elements = rules_of(world(policy("p", ingress=[{
        "from": [
            {"podSelector": match(app="b")}, {"namespaceSelector": match(team="x"), "podSelector": {}},
            {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "10.1.2.0/24"]}},
            {"ipBlock": {"cidr": "fd00::/8"}},
        ],
        "ports": [{"port": 80}, {"port": 81, "endPort": 90}, {"port": 443}, {"port": "web"}, {"protocol": "UDP"}],
    }])), "policy/ns/p")
    tcp, udp = "tcp dport { 80-90, 443 }", "meta l4proto udp"
    (name,) = {container for container, key in elements if key == "10.0.0.2"}
    named = f"ip daddr . meta l4proto . th dport @{name}-ports"
    block = "ip saddr 10.0.0.0/8 ip saddr != { 10.1.0.0/16 }"
    assert rules == (
        *(f"{block} {port} accept" for port in (tcp, udp, named)),
        *(f"ip saddr @{name} {port} accept" for port in (tcp, udp, named)),
    )
    assert elements == {(name, "10.0.0.2"): "", (name, "10.0.0.3"): "", (f"{name}-ports", "10.0.0.1 . tcp . 8080"): ""}


def test_a_rule_without_peers_and_ports_allows_everything_and_no_rule_nothing() -> None:
    assert rules_of(world(policy("p", ingress=[{}])), "policy/ns/p")[0] == ("accept",)
    assert rules_of(world(policy("p", ingress=[])), "policy/ns/p")[0] == ()


def test_cluster_dns_is_where_kube_dns_is_allowed() -> None:
    peer = {"namespaceSelector": match(**{"kubernetes.io/metadata.name": "kube-system"}),
            "podSelector": match(**{"k8s-app": "kube-dns"})}
    rules, _ = rules_of(world(policy("p", policyTypes=["Egress"], egress=[
        {"to": [peer], "ports": [{"port": 53, "protocol": "UDP"}]}])), "policy/ns/p")
    assert rules[-1] == "ip daddr @nodes udp dport 53 accept" and "tcp dport 53" not in " ".join(rules)


def test_a_selected_pod_goes_by_its_policies_and_is_dropped_by_default() -> None:
    found = world(policy("p", match(app="a")), policy("q", policyTypes=["Egress"]))
    changes = found.changes()
    contribution = changes["pod/uid-a"]
    assert contribution is not None and changes["pod/uid-b"] is None
    assert {len(rules) for rules in contribution.chains.values()} == {2}
    assert all(rules[0].startswith("jump ") and rules[1] == "drop" for rules in contribution.chains.values())
    assert {container for container, _ in contribution.elements} == {"own", "ingress-pods", "egress-pods"}


def test_a_change_touches_only_what_it_concerns() -> None:
    found = world(policy("p", match(app="a"), ingress=[{"from": [{"podSelector": match(app="b")}]}]),
                  policy("q", match(app="zzz")))
    found.changes()
    found.set_pod(pod("c", "10.0.0.9", "there", app="c"))
    assert found.changes() == {"pod/uid-c": None, "member/ns/p/uid-c": None}
    found.set_pod(pod("c", "10.0.0.9", "there", app="b"))
    changes = found.changes()
    contribution = changes.pop("member/ns/p/uid-c")
    assert contribution is not None and [key for _, key in contribution.elements] == ["10.0.0.9"]
    assert changes == {"pod/uid-c": None}
    found.set_pod(pod("c", "10.0.0.9", "there", app="b"))
    assert found.changes() == {}
    found.set_namespace(space("other", team="z"))
    assert set(found.changes()) == {"member/ns/p/uid-x", "member/ns/q/uid-x"}


def test_pods_that_have_ended_or_use_their_nodes_network_are_nobody() -> None:
    found = world(policy("p"))
    found.changes()
    host, ended = pod("h", "172.30.0.11"), pod("a", "10.0.0.1", app="a")
    host["spec"]["hostNetwork"] = True
    ended["status"]["phase"] = "Succeeded"
    found.set_pod(host)
    found.set_pod(ended)
    assert {key: one for key, one in found.changes().items() if key in ("policy/ns/p", "pod/uid-a", "pod/uid-h")} == {
        "policy/ns/p": None, "pod/uid-a": None}


@pytest.mark.parametrize("seed", range(20))
def test_changes_lead_where_a_fresh_look_leads(seed: int) -> None:
    """Random changes, taken one by one, end in the contributions that their last state gives at once."""
    rng = random.Random(seed)
    found, known = Policies("here"), {}
    pods: dict[str, Object] = {}
    spaces: dict[str, Object] = {}
    policies: dict[str, Object] = {}

    def some_policy() -> Object:
        peers = rng.choice([[], [{"podSelector": match(app=rng.choice("ab"))}],
                            [{"namespaceSelector": match(team=rng.choice("xy"))}],
                            [{"ipBlock": {"cidr": "10.0.0.0/8"}}]])
        ports = rng.choice([[], [{"port": 80}], [{"port": "web"}]])
        rule = {rng.choice(["from", "to"]): peers, "ports": ports}
        return policy(rng.choice("pq"), match(app=rng.choice("ab")), **{rng.choice(["ingress", "egress"]): [rule]})

    for _ in range(60):
        action = rng.randrange(5)
        if action == 0:
            one = pod(rng.choice("abcd"), f"10.0.0.{rng.randrange(9)}", rng.choice(["here", "there"]),
                      rng.choice(["ns", "other"]), app=rng.choice("ab"))
            pods[one["metadata"]["name"]] = one
            found.set_pod(one)
        elif action == 1 and pods:
            found.drop_pod(pods.pop(rng.choice(sorted(pods))))
        elif action == 2:
            one = space(rng.choice(["ns", "other"]), team=rng.choice("xy"))
            spaces[one["metadata"]["name"]] = one
            found.set_namespace(one)
        elif action == 3:
            one = some_policy()
            policies[one["metadata"]["name"]] = one
            found.set_policy(one)
        elif policies:
            found.drop_policy(policies.pop(rng.choice(sorted(policies))))
        known.update(found.changes())
    fresh = Policies("here")
    for one in spaces.values():
        fresh.set_namespace(one)
    for one in pods.values():
        fresh.set_pod(one)
    for one in policies.values():
        fresh.set_policy(one)
    fresh.changes()
    fresh.all_keys()

    def present(all_of: dict[str, Contribution | None]) -> dict[str, Contribution]:
        return {key: one for key, one in all_of.items() if one is not None}

    assert present(known) == present(fresh.changes())


@pytest.fixture
def nft() -> Iterator[Callable[[Callable[[NFT], Any]], Any]]:
    if os.geteuid() != 0:
        pytest.skip("making network namespaces needs root")
    name = f"t-policy-{os.getpid()}"
    namespace.create(name)
    try:
        yield lambda function: namespace.call_in(name, lambda: function(NFT()))
    finally:
        namespace.delete(name)


def test_the_kernel_takes_it_all_and_lets_go_of_it(nft: Callable[[Callable[[NFT], Any]], Any]) -> None:
    found = world(
        policy("p", match(app="a"), ingress=[{
            "from": [{"podSelector": match(app="b")}, {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.1.0.0/16"]}},
                     {"ipBlock": {"cidr": "0.0.0.0/0"}}],
            "ports": [{"port": 80}, {"port": "web"}, {"protocol": "SCTP"}]}]),
        policy("q", policyTypes=["Egress"], egress=[{"to": [{"podSelector": {}}]}, {}]),
    )

    def story(kernel: NFT) -> None:
        ruleset = Ruleset(frame())
        ruleset.update(found.changes())
        kernel.run(ruleset.full(Existing()).main)
        found.set_pod(pod("b", "10.0.0.22", "there", app="b"))
        transaction = ruleset.update(found.changes())
        assert not any("chain" in line for line in transaction.main), "another address is another element, no more"
        kernel.run(transaction.main)
        kernel.run(ruleset.full(kernel.existing("ip", "sampan-policy") or Existing()).main)
        for name in ("p", "q"):
            found.drop_policy(policy(name))
        transaction = ruleset.update(found.changes())
        kernel.run(transaction.main)
        kernel.run(transaction.cleanup)
        left = kernel.existing("ip", "sampan-policy")
        assert left is not None and set(left.chains) == frame().chains and set(left.sets) == frame().sets

    nft(story)
