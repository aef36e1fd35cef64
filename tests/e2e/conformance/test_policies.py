"""sig-network: NetworkPolicies, as upstream's Netpol tests ask of them, on two nodes."""

from __future__ import annotations

import asyncio

from tests.e2e.conformance.board import case
from tests.e2e.conformance.space import Object, Space, is_ready, once, pod, program
from tests.e2e.conformance.test_network import WEB, dial, service

from sampan.api.resources import NAMESPACES, NETWORK_POLICIES, PODS, SERVICES

SERVER = {**WEB, "ports": [{"name": "serve-80", "containerPort": 8080},
                           {"name": "serve-udp", "containerPort": 8081, "protocol": "UDP"}]}


def policy(name: str, selector: Object | None = None, **spec: object) -> Object:
    return {"metadata": {"name": name}, "spec": {"podSelector": {"matchLabels": selector or {}}, **spec}}


def labelled(**labels: str) -> Object:
    return {"podSelector": {"matchLabels": labels}}


class Grid:
    """Pods a, b and c, who is to reach whom, and by what."""

    def __init__(self, space: Space, ips: dict[str, str]) -> None:
        self.space = space
        self.ips = ips

    @classmethod
    async def of(cls, space: Space) -> Grid:
        """a and c on the first node, b on the second."""
        places = {"a": space.nodes[0], "b": space.nodes[1], "c": space.nodes[0]}
        pods = await space.start(*(
            pod(name, SERVER, labels={"pod": name}, nodeName=node) for name, node in places.items()))
        return cls(space, {one["metadata"]["name"]: one["status"]["podIP"] for one in pods})

    async def reach(self, source: str, target: str, protocol: str = "http") -> bool:
        port = 8080 if protocol == "http" else 8081
        return await dial(self.space, source, self.ips[target], port, protocol) == [target]

    async def expect(self, *pairs: str, protocol: str = "http") -> None:
        """Exactly these get through, of all pairs of different pods; each is written `a>b`."""
        async def look() -> bool:
            every = [(one, other) for one in self.ips for other in self.ips if one != other]
            reached = await asyncio.gather(*(self.reach(one, other, protocol) for one, other in every))
            found = {f"{one}>{other}" for (one, other), got in zip(every, reached, strict=True) if got}
            assert found == set(pairs), found
            return True

        await self.space.eventually(look, f"{protocol} {pairs}")


ALL = ("a>b", "a>c", "b>a", "b>c", "c>a", "c>b")


@case
async def test_ingress(space: Space) -> None:
    """Denied by default once selected; allowed by pods, by namespaces, by ports of either kind; nodes always may."""
    grid = await Grid.of(space)
    await space.create(NETWORK_POLICIES, policy("deny", policyTypes=["Ingress"]))
    await grid.expect()
    await grid.expect(protocol="udp")
    assert await space.proxy("pods/a:8080/proxy/hostname") == "a", "the first node's own pod"
    await space.create(NETWORK_POLICIES, policy("a-from-b", {"pod": "a"}, ingress=[{"from": [labelled(pod="b")]}]))
    await grid.expect("b>a")
    await space.create(NETWORK_POLICIES, policy("b-80", {"pod": "b"}, ingress=[
        {"ports": [{"port": 8080}], "from": [{"namespaceSelector": {"matchLabels": {
            "kubernetes.io/metadata.name": space.name}}}]}]))
    await grid.expect("b>a", "a>b", "c>b")
    await grid.expect("b>a", protocol="udp")
    await space.create(NETWORK_POLICIES, policy("c-named", {"pod": "c"}, ingress=[
        {"ports": [{"port": "serve-80"}, {"port": 8081, "endPort": 8085, "protocol": "UDP"}],
         "from": [labelled(pod="a")]}]))
    await grid.expect("b>a", "a>b", "c>b", "a>c")
    await grid.expect("b>a", "a>c", protocol="udp")
    await space.patch(PODS, "b", {"metadata": {"labels": {"pod": "other"}}})  # neither a source nor a target any more
    await grid.expect("a>c")
    await space.client.delete_collection(NETWORK_POLICIES, space.name)
    await grid.expect(*ALL)
    assert is_ready(await space.get(PODS, "a")), "a node may always probe its own pods"


@case
async def test_namespaces_and_blocks(space: Space) -> None:
    grid = await Grid.of(space)
    other = (await space.client.create(NAMESPACES, {"metadata": {
        "generateName": "conformance-other-", "labels": {"team": space.name}}}))["metadata"]["name"]
    try:
        stranger = space.beside(other)
        await stranger.inhabitable()
        await stranger.start(pod("x", SERVER, nodeName=space.nodes[1]))

        async def reaches(target: str) -> bool:
            return await dial(stranger, "x", grid.ips[target], 8080) == [target]

        await space.eventually(lambda: reaches("a"), "a, without policies")
        await space.create(NETWORK_POLICIES, policy("team", ingress=[{"from": [
            {"namespaceSelector": {"matchLabels": {"team": space.name}}, "podSelector": {"matchLabels": {"app": "x"}}},
        ]}]))

        async def only_the_stranger() -> bool:
            return await reaches("a") and await reaches("b") and not await grid.reach("a", "b")

        await space.eventually(only_the_stranger, "the other namespace's pod alone")
        await space.client.patch(NAMESPACES, other, {"metadata": {"labels": {"team": "x"}}})

        async def nobody() -> bool:
            return not await reaches("a")

        await space.eventually(nobody, "a namespace that is relabelled")
    finally:
        await space.client.delete(NAMESPACES, other)
    await space.client.delete_collection(NETWORK_POLICIES, space.name)
    await space.create(NETWORK_POLICIES, policy("block", {"pod": "a"}, ingress=[{"from": [
        {"ipBlock": {"cidr": "10.244.0.0/16", "except": [f"{grid.ips['b']}/32"]}}]}]))
    await grid.expect("a>b", "a>c", "b>c", "c>a", "c>b")


@case
async def test_egress(space: Space) -> None:
    """Denied by default once selected; by pods, by blocks, by ports; names stay with kube-dns allowed."""
    grid = await Grid.of(space)
    made = await space.create(SERVICES, service("b", selector={"pod": "b"}))
    await space.create(NETWORK_POLICIES, policy("deny", {"pod": "a"}, policyTypes=["Egress"]))
    await grid.expect("b>a", "b>c", "c>a", "c>b")
    await space.create(NETWORK_POLICIES, policy("to-b", {"pod": "a"}, policyTypes=["Egress"], egress=[
        {"to": [labelled(pod="b")], "ports": [{"port": "serve-80"}]}]))
    await grid.expect("a>b", "b>a", "b>c", "c>a", "c>b")
    await grid.expect("b>a", "b>c", "c>a", "c>b", protocol="udp")

    async def by_service() -> bool:
        return await dial(space, "a", made["spec"]["clusterIP"], 80) == ["b"]

    await space.eventually(by_service, "the Service")

    async def named() -> bool:
        return await dial(space, "a", f"b.{space.name}.svc", 80) == ["b"]

    assert not await named(), "nothing allows it to ask for names"
    await space.create(NETWORK_POLICIES, policy("names", {"pod": "a"}, policyTypes=["Egress"], egress=[{
        "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
                "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}],
        "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}]))
    await space.eventually(named, "names")
    await space.create(NETWORK_POLICIES, policy("block", {"pod": "a"}, policyTypes=["Egress"], egress=[{
        "to": [{"ipBlock": {"cidr": f"{grid.ips['c']}/32"}}]}]))
    await grid.expect("a>b", "a>c", "b>a", "b>c", "c>a", "c>b")
    await space.create(NETWORK_POLICIES, policy("not-in", {"pod": "b"}, policyTypes=["Ingress", "Egress"]))
    await grid.expect("a>c", "c>a")


@case
async def test_isolated_before_it_runs(space: Space) -> None:
    """A pod that a policy selects is behind it from its first instruction on."""
    await space.start(pod("server", SERVER))
    ip = (await space.get(PODS, "server"))["status"]["podIP"]
    await space.create(NETWORK_POLICIES, policy("deny", {"app": "early"}, policyTypes=["Egress"]))

    async def enforced() -> bool:
        return await dial(space, "watch", ip, 8080) != ["server"]

    node = space.nodes[0]  # the one of which it is known that it has the policy
    await space.start(pod("watch", SERVER, labels={"app": "early"}, nodeName=node))
    await space.eventually(enforced, "the policy")
    made = once("early", program("dial", ip), nodeName=node)
    made["spec"]["containers"][0] |= {"command": ["curl", "-s", "-m", "1", f"http://{ip}:8080/hostname"], "args": []}
    await space.create(PODS, made)
    shown = await space.ended("early")
    assert shown["status"]["phase"] == "Failed" and await space.logs("early") == ""
    own = once("own", program("dial"))
    own["spec"]["containers"][0] |= {"command": ["curl", "-s", "-m", "30", f"http://{ip}:8080/hostname"], "args": []}
    assert (await space.output(own)).strip() == "server", "pods that nothing selects are free"


@case
async def test_hairpin_through_a_service(space: Space) -> None:
    """A pod reaches itself through its Service whatever policies say."""
    await space.start(pod("web", SERVER), pod("other", SERVER))
    ip = (await space.get(PODS, "web"))["status"]["podIP"]
    made = await space.create(SERVICES, service("web", selector={"app": "web"}))
    await space.create(NETWORK_POLICIES, policy("deny", policyTypes=["Ingress", "Egress"]))

    async def isolated() -> bool:
        return await dial(space, "other", ip, 8080) != ["web"]

    async def itself() -> bool:
        return await dial(space, "web", made["spec"]["clusterIP"], 80) == ["web"]

    await space.eventually(isolated, "the policy")
    await space.eventually(itself, "itself")
