"""sig-network: pods, nodes and Services reach each other as they should, on two nodes."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.e2e.conformance.board import case
from tests.e2e.conformance.space import Object, Space, container, is_ready, once, pod, program

from sampan.api.resources import ENDPOINT_SLICES, ENDPOINTS, PODS, SERVICES
from sampan.apimachinery import errors

WEB = program("netexec", ports=[{"name": "http", "containerPort": 8080}, {"name": "udp", "containerPort": 8081,
                                                                         "protocol": "UDP"}],
              readinessProbe={"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1,
                              "timeoutSeconds": 5})


def web(name: str, node: str = "", **spec: Any) -> Object:
    return pod(name, WEB, labels={"app": "web", "name": name}, **({"nodeName": node} if node else {}), **spec)


def service(name: str, *ports: Object, **spec: Any) -> Object:
    listed = list(ports) or [{"name": "http", "port": 80, "targetPort": 8080},
                             {"name": "udp", "port": 90, "targetPort": 8081, "protocol": "UDP"}]
    return {"metadata": {"name": name, **spec.pop("metadata", {})},
            "spec": {"selector": {"app": "web"}, "ports": listed, **spec}}


async def dial(space: Space, source: str, host: str, port: int, protocol: str = "http", tries: int = 1,
               request: str = "hostname", within_s: float = 2) -> list[str]:
    """What a pod gets when it asks, by its own /dial; failures are answers too."""
    query = f"host={host}&port={port}&protocol={protocol}&request={request}&tries={tries}&within={within_s}"
    said = json.loads(await space.says(source, "curl", "-s", f"http://127.0.0.1:8080/dial?{query}"))
    return [*said["responses"], *(f"error: {error}" for error in said["errors"])]


async def reached(space: Space, source: str, host: str, port: int, wanted: set[str], protocol: str = "http") -> None:
    """Until the answers come from exactly these pods."""
    async def look() -> bool:
        found = set(await dial(space, source, host, port, protocol, tries=6 * len(wanted)))
        assert found == wanted, found
        return True

    await space.eventually(look, f"{wanted} from {source} at {host}:{port}/{protocol}")


async def refused(space: Space, source: str, host: str, port: int, protocol: str = "http") -> None:
    async def look() -> bool:
        return (await dial(space, source, host, port, protocol))[0].startswith("error")

    await space.eventually(look, f"no answer at {host}:{port}/{protocol}")


async def two_webs(space: Space) -> list[Object]:
    return await space.start(*(web(f"web-{n}", node) for n, node in enumerate(space.nodes)))


@case
async def test_granular_checks(space: Space) -> None:
    """Networking: pod to pod, node to pod, pod and node to Service and node port; HTTP and UDP; both nodes."""
    webs = await two_webs(space)
    listens = {"httpGet": {"path": "/healthz", "port": 18080}, "periodSeconds": 1, "timeoutSeconds": 5}
    (host,) = await space.start(pod("host", program("netexec", "18080", "18081", readinessProbe=listens),
                                    hostNetwork=True, nodeName=space.nodes[0]))
    made = await space.create(SERVICES, service("both", type="NodePort"))
    ip, nodes = made["spec"]["clusterIP"], await space.addresses()
    both = {"web-0", "web-1"}
    for protocol, port, target, number in (("http", 80, 8080, 0), ("udp", 90, 8081, 1)):
        node_port = made["spec"]["ports"][number]["nodePort"]
        for source in both:
            for one in webs:
                said = await dial(space, source, one["status"]["podIP"], target, protocol, within_s=30)
                assert said == [one["metadata"]["name"]]
            await reached(space, source, ip, port, both, protocol)
            await reached(space, source, f"both.{space.name}.svc", port, both, protocol)
        for node in nodes:
            await reached(space, "web-0", node, node_port, both, protocol)
    for one in webs:
        url = f"http://{one['status']['podIP']}:8080/hostname"
        assert await space.says("host", "curl", "-s", url) == one["metadata"]["name"]
        query = f"host={one['status']['podIP']}&port=8081&protocol=udp&request=hostname&within=30"
        answers = json.loads(await space.says("host", "curl", "-s", f"http://127.0.0.1:18080/dial?{query}"))
        assert answers["responses"] == [one["metadata"]["name"]]
    for target in (f"{ip}:80", f"{nodes[0]}:{made['spec']['ports'][0]['nodePort']}"):
        assert await space.says("host", "curl", "-s", f"http://{target}/hostname") in both
    assert host["status"]["podIP"] == nodes[0]
    seen = await dial(space, "web-0", webs[1]["status"]["podIP"], 8080, request="clientip", within_s=30)
    assert seen[0].startswith(webs[0]["status"]["podIP"]), "pods see each other's own address"


@case
async def test_endpoints_follow_pods(space: Space) -> None:
    """Services: basic and multi-port endpoints, in Endpoints and in EndpointSlices."""
    await space.create(SERVICES, service("web"))

    async def addresses() -> set[str]:
        slices = await space.items(ENDPOINT_SLICES, label_selector="kubernetes.io/service-name=web")
        return {a for piece in slices for e in piece["endpoints"] or [] if e["conditions"]["ready"]
                for a in e["addresses"]}

    async def mirrored() -> set[str]:
        subsets = (await space.get(ENDPOINTS, "web")).get("subsets") or []
        return {a["ip"] for subset in subsets for a in subset.get("addresses") or []}

    for count in (1, 2):
        await space.start(web(f"web-{count}"))
    wanted = {(await space.get(PODS, f"web-{n}"))["status"]["podIP"] for n in (1, 2)}

    async def both_follow() -> bool:
        return await addresses() == wanted == await mirrored()

    await space.eventually(both_follow, "both endpoints")
    (piece,) = await space.items(ENDPOINT_SLICES, label_selector="kubernetes.io/service-name=web")
    ports = {(p["name"], p["port"], p["protocol"]) for p in piece["ports"]}
    assert ports == {("http", 8080, "TCP"), ("udp", 8081, "UDP")}
    assert {e["nodeName"] for e in piece["endpoints"]} <= set(space.nodes)
    for name in ("web-1", "web-2"):
        await space.delete(PODS, name)

    async def none_left() -> bool:
        return not await addresses() and not await mirrored()

    await space.eventually(none_left, "no endpoints")


@case
async def test_session_affinity(space: Space) -> None:
    """Services: affinity on the cluster IP and the node port, switched off and on, and its timeout."""
    await space.start(*(web(f"web-{n}") for n in range(3)), pod("client", WEB))
    made = await space.create(SERVICES, service("sticky", type="NodePort", sessionAffinity="ClientIP"))
    ip, node = made["spec"]["clusterIP"], (await space.addresses())[0]
    node_port = made["spec"]["ports"][0]["nodePort"]

    async def sticks(sticky: bool) -> None:
        async def look() -> bool:
            answers = [set(await dial(space, "client", ip, 80, tries=15)),
                       set(await dial(space, "client", node, node_port, tries=15))]
            assert not any("error" in one for found in answers for one in found), answers
            return all((len(found) == 1) == sticky for found in answers)

        await space.eventually(look, f"affinity {sticky}")

    await sticks(True)
    await space.patch(SERVICES, "sticky", {"spec": {"sessionAffinity": "None"}})
    await sticks(False)
    await space.patch(SERVICES, "sticky", {"spec": {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {
        "clientIP": {"timeoutSeconds": 2}}}})
    await sticks(True)
    seen: set[str] = set()

    async def forgets() -> bool:
        seen.update(await dial(space, "client", ip, 80))
        await asyncio.sleep(2.5)
        return len(seen) > 1

    await space.eventually(forgets, "the end of the affinity")


@case
async def test_types_change(space: Space) -> None:
    """Services: ExternalName to ClusterIP and NodePort and back."""
    await space.start(web("web-0"), pod("client", WEB))
    await space.create(SERVICES, {"metadata": {"name": "s"}, "spec": {
        "type": "ExternalName", "externalName": "kubernetes.default.svc.cluster.local"}})
    name = f"s.{space.name}.svc.cluster.local"

    async def is_alias(expected: bool) -> None:
        async def look() -> bool:
            said = await space.says("client", "python3", "-S", "/agnhost.py", "dig", "CNAME", name)
            return ("kubernetes.default.svc.cluster.local" in said) == expected

        await space.eventually(look, f"alias {expected}")

    await is_alias(True)
    made = await space.patch(SERVICES, "s", {"spec": {
        "type": "ClusterIP", "externalName": None, "selector": {"app": "web"},
        "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}})
    await is_alias(False)
    await reached(space, "client", made["spec"]["clusterIP"], 80, {"web-0"})
    await reached(space, "client", name, 80, {"web-0"})
    made = await space.patch(SERVICES, "s", {"spec": {"type": "NodePort"}})
    node_port = made["spec"]["ports"][0]["nodePort"]
    for node in await space.addresses():
        await reached(space, "client", node, node_port, {"web-0"})
    made = await space.patch(SERVICES, "s", {"spec": {
        "type": "ExternalName", "externalName": "kubernetes.default.svc.cluster.local", "clusterIP": None,
        "clusterIPs": None}})
    assert not made["spec"].get("clusterIP") and not made["spec"]["ports"][0].get("nodePort")
    await is_alias(True)
    await refused(space, "client", (await space.addresses())[0], node_port)


@case
async def test_same_port_and_two_protocols(space: Space) -> None:
    await space.start(web("web-0"), pod("client", WEB))
    tcp, udp = ({"name": name, "port": 80, "targetPort": target, "protocol": protocol}
                for name, target, protocol in (("t", 8080, "TCP"), ("u", 8081, "UDP")))
    ip = (await space.create(SERVICES, service("s", tcp, udp)))["spec"]["clusterIP"]
    await reached(space, "client", ip, 80, {"web-0"})
    await reached(space, "client", ip, 80, {"web-0"}, "udp")
    await space.patch(SERVICES, "s", [{"op": "replace", "path": "/spec/ports", "value": [tcp]}], type="json")
    await refused(space, "client", ip, 80, "udp")
    await reached(space, "client", ip, 80, {"web-0"})
    await space.patch(SERVICES, "s", [{"op": "replace", "path": "/spec/ports", "value": [udp]}], type="json")
    await refused(space, "client", ip, 80)
    await reached(space, "client", ip, 80, {"web-0"}, "udp")


@case
async def test_labels_that_take_a_service_from_the_proxy(space: Space) -> None:
    await space.start(web("web-0"), pod("client", WEB))
    for label in ("service.kubernetes.io/headless", "service.kubernetes.io/service-proxy-name"):
        name = label.rpartition("/")[2]
        made = await space.create(SERVICES, service(name, metadata={"labels": {label: "x"}}))
        ip = made["spec"]["clusterIP"]
        await refused(space, "client", ip, 80)
        await space.patch(SERVICES, name, {"metadata": {"labels": {label: None}}})
        await reached(space, "client", ip, 80, {"web-0"})
        await space.patch(SERVICES, name, {"metadata": {"labels": {label: "x"}}})
        await refused(space, "client", ip, 80)


@case
async def test_traffic_policies(space: Space) -> None:
    """internal and external policies Local, source addresses, health check ports."""
    await space.start(web("web-0", space.nodes[0]),
                      *(pod(f"client-{n}", WEB, nodeName=node) for n, node in enumerate(space.nodes)))
    here, there = await space.addresses()
    inside = await space.create(SERVICES, service("inside", internalTrafficPolicy="Local"))
    await reached(space, "client-0", inside["spec"]["clusterIP"], 80, {"web-0"})
    await refused(space, "client-1", inside["spec"]["clusterIP"], 80)
    made = await space.create(SERVICES, service("outside", type="LoadBalancer", externalTrafficPolicy="Local"))
    port, check = made["spec"]["ports"][0]["nodePort"], made["spec"]["healthCheckNodePort"]
    await space.start(pod("host", program("netexec", "28080", "28081"), hostNetwork=True, nodeName=space.nodes[1]))

    async def source() -> str:
        return (await space.says("host", f"curl -s -m 2 http://{here}:{port}/clientip || true")).rpartition(":")[0]

    async def own_address() -> bool:
        return await source() == there

    await space.eventually(own_address, "the client's own address")

    async def checks() -> bool:
        answers = [await space.says("host", f"curl -s -o /dev/null -w '%{{http_code}}' http://{one}:{check}/healthz")
                   for one in (here, there)]
        return answers == ["200", "503"]

    await space.eventually(checks, "the health check ports")
    await space.patch(SERVICES, "outside", {"spec": {"externalTrafficPolicy": "Cluster"}})

    async def another() -> bool:
        found = await source()
        return bool(found) and found != there

    await space.eventually(another, "a masqueraded address")
    assert not (await space.get(SERVICES, "outside"))["spec"].get("healthCheckNodePort")


@case
async def test_hand_made_endpoints_and_unready_ones(space: Space) -> None:
    """EndpointSlices without selector, several slices and ports; publishNotReadyAddresses; terminating endpoints."""
    webs = await two_webs(space)
    await space.start(pod("client", WEB))
    made = await space.create(SERVICES, {"metadata": {"name": "hand"}, "spec": {"ports": [
        {"name": "a", "port": 80, "targetPort": 3000}, {"name": "b", "port": 81, "targetPort": 3001}]}})
    for number, (one, port) in enumerate(zip(webs, ("a", "b"), strict=True)):
        await space.create(ENDPOINT_SLICES, {
            "metadata": {"name": f"hand-{number}", "labels": {"kubernetes.io/service-name": "hand"}},
            "addressType": "IPv4", "ports": [{"name": port, "port": 8080, "protocol": "TCP"}],
            "endpoints": [{"addresses": [one["status"]["podIP"]]}]})
    await reached(space, "client", made["spec"]["clusterIP"], 80, {"web-0"})
    await reached(space, "client", made["spec"]["clusterIP"], 81, {"web-1"})
    never = {"exec": {"command": ["cat", "/nothing"]}}
    unready = pod("unready", {**WEB, "readinessProbe": never}, labels={"app": "unready"})
    await space.create(PODS, unready)
    wants = service("eager", selector={"app": "unready"}, publishNotReadyAddresses=True)
    eager = await space.create(SERVICES, wants)
    lazy = await space.create(SERVICES, service("lazy", selector={"app": "unready"}))
    await reached(space, "client", eager["spec"]["clusterIP"], 80, {"unready"})
    await refused(space, "client", lazy["spec"]["clusterIP"], 80)
    slow = pod("slow", {**WEB, "lifecycle": {"preStop": {"sleep": {"seconds": 60}}}}, labels={"app": "slow"},
               terminationGracePeriodSeconds=90)
    await space.start(slow)
    last = await space.create(SERVICES, service("last", selector={"app": "slow"}))
    await reached(space, "client", last["spec"]["clusterIP"], 80, {"slow"})
    await space.delete(PODS, "slow", grace_period_s=90)

    async def terminating() -> bool:
        pieces = await space.items(ENDPOINT_SLICES, label_selector="kubernetes.io/service-name=last")
        return any(e["conditions"] == {"ready": False, "serving": True, "terminating": True}
                   for piece in pieces for e in piece["endpoints"] or [])

    await space.eventually(terminating, "a terminating endpoint")
    await reached(space, "client", last["spec"]["clusterIP"], 80, {"slow"})


@case
async def test_host_ports(space: Space) -> None:
    """HostPort: no conflict where address or protocol differ."""
    node = space.nodes[0]
    here = (await space.addresses())[0]

    def using(name: str, ip: str, protocol: str) -> Object:
        target = 8080 if protocol == "TCP" else 8081
        port = {"containerPort": target, "hostPort": 54323, "protocol": protocol, "hostIP": ip}
        return pod(name, {**WEB, "ports": [port]}, nodeName=node)

    await space.start(using("pod1", "127.0.0.1", "TCP"), using("pod2", here, "TCP"), using("pod3", here, "UDP"),
                      pod("host", program("netexec", "38080", "38081"), hostNetwork=True, nodeName=node))

    async def answers() -> bool:
        own = await space.says("host", "curl -s -m 2 http://127.0.0.1:54323/hostname")
        node_s = await space.says("host", f"curl -s -m 2 http://{here}:54323/hostname")
        query = f"host={here}&port=54323&protocol=udp&request=hostname"
        udp = json.loads(await space.says("host", f"curl -s 'http://127.0.0.1:38080/dial?{query}'"))["responses"]
        assert (own, node_s, udp) == ("pod1", "pod2", ["pod3"]), (own, node_s, udp)
        return True

    await space.eventually(answers, "the three pods")


@case
async def test_proxies(space: Space) -> None:
    """Proxy version v1: pods and services by every method, with and without a path, ports by name and number."""
    await space.start(web("web-0"))
    await space.create(SERVICES, service("s"))
    for base in ("pods/web-0:8080", "pods/http:web-0:8080", "services/s:http", "services/http:s:80", "services/s:80"):
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            async def said(base: str = base, method: str = method) -> Any:
                return json.loads(await space.proxy(f"{base}/proxy/some/path", method))

            answer = await space.eventually(said, f"{method} {base}")
            assert (answer["path"], answer["method"]) == ("/some/path", method)
    assert await space.proxy("pods/web-0:8080/proxy/hostname") == "web-0"
    try:
        await space.proxy("services/s:http/proxy/echo?code=418&msg=teapot")
    except errors.APIError as error:
        assert error.message == "HTTP 418: teapot"
    else:
        raise AssertionError("the backend's status was lost")


@case
async def test_hairpin_and_nobody(space: Space) -> None:
    await space.start(web("web-0"))
    made = await space.create(SERVICES, service("s"))
    await reached(space, "web-0", made["spec"]["clusterIP"], 80, {"web-0"})
    empty = await space.create(SERVICES, service("empty", selector={"app": "nobody"}))

    async def at_once() -> bool:  # as soon as the proxy knows it
        return "refused" in (await dial(space, "web-0", empty["spec"]["clusterIP"], 80))[0]

    await space.eventually(at_once, "a refusal")


@case
async def test_endpoint_latency(space: Space) -> None:
    """Services: a Service has its endpoints quickly."""
    await space.start(web("web-0"))
    loop = asyncio.get_running_loop()
    took = []
    for number in range(20):
        began = loop.time()
        await space.create(SERVICES, service(f"s{number}"))
        await space.until(ENDPOINTS, f"s{number}", lambda e: any(s.get("addresses") for s in e.get("subsets") or []))
        took.append(loop.time() - began)
    assert sorted(took)[10] < 20, took


@case
async def test_loadbalancer_status_and_lifecycle(space: Space) -> None:
    """Services: status by patch and update, collections."""
    await space.create(SERVICES, service("lb", type="LoadBalancer", metadata={"labels": {"set": "a"}}))
    ingress = {"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}}}
    shown = await space.patch(SERVICES, "lb", ingress, subresource="status")
    assert shown["status"]["loadBalancer"]["ingress"][0]["ip"] == "203.0.113.1"
    shown["status"]["conditions"] = [{"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set",
                                      "lastTransitionTime": "2026-01-01T00:00:00Z"}]
    shown = await space.client.update(SERVICES, shown, subresource="status")
    assert shown["status"]["conditions"][0]["reason"] == "E2E"
    await space.create(SERVICES, service("keep"))
    await space.client.delete_collection(SERVICES, space.name, label_selector="set=a")
    await space.until(SERVICES, "lb", lambda s: not s, "deletion")
    assert [one["metadata"]["name"] for one in await space.items(SERVICES)] == ["keep"]
    master = await space.client.get(SERVICES, "kubernetes", "default")
    assert master["spec"]["ports"][0]["port"] == 443


@case
async def test_names(space: Space) -> None:
    """DNS: the cluster, Services, headless ones, pods by hostname and subdomain, SRV, PTR, /etc/hosts, TCP and UDP."""
    await space.create(SERVICES, service("plain"))
    await space.create(SERVICES, service("headless", clusterIP="None"))
    await space.start(web("web-0", hostname="alpha", subdomain="headless"), pod("client"))
    ip = (await space.get(PODS, "web-0"))["status"]["podIP"]
    plain = (await space.get(SERVICES, "plain"))["spec"]["clusterIP"]
    zone = f"{space.name}.svc.cluster.local"
    wanted = [
        ("A", "kubernetes.default.svc.cluster.local", "10.96.0.1"), ("A", f"plain.{zone}", plain),
        ("A", f"headless.{zone}", ip), ("A", f"alpha.headless.{zone}", ip),
        ("A", f"{ip.replace('.', '-')}.{space.name}.pod.cluster.local", ip),
        ("SRV", f"_http._tcp.plain.{zone}", f"80 plain.{zone}"),
        ("SRV", f"_http._tcp.headless.{zone}", f"8080 alpha.headless.{zone}"),
        ("PTR", ".".join(reversed(plain.split("."))) + ".in-addr.arpa", f"plain.{zone}"),
        ("PTR", ".".join(reversed(ip.split("."))) + ".in-addr.arpa", f"alpha.headless.{zone}"),
    ]
    for kind, name, answer in wanted:
        for transport in ("udp", "tcp"):
            async def told(question: tuple[str, str, str] = (kind, name, transport), answer: str = answer) -> bool:
                said = await space.says("client", "python3", "-S", "/agnhost.py", "dig", *question)
                assert said.split("\n")[0] == answer, (question, said)
                return True

            await space.eventually(told, f"{kind} {name}")
    look = "import socket,sys; print(socket.gethostbyname(sys.argv[1]))"
    for short in ("plain", f"plain.{space.name}", f"plain.{space.name}.svc", "kubernetes.default"):
        found = await space.says("client", "python3", "-c", look, short)
        assert found.strip() == ("10.96.0.1" if short == "kubernetes.default" else plain), short
    assert (await space.says("web-0", "python3", "-c", look, "alpha")).strip() == ip


@case
async def test_scheduling_needs_a_free_host_port(space: Space) -> None:
    """A host port of all addresses conflicts with one of any address."""
    node = space.nodes[0]

    def using(name: str, ip: str) -> Object:
        port = {"containerPort": 8080, "hostPort": 54322, "hostIP": ip}
        return pod(name, container(ports=[port]), nodeSelector={"kubernetes.io/hostname": node})

    await space.start(using("all", "0.0.0.0"))
    await space.create(PODS, using("one", "127.0.0.1"))
    message = await space.event("one", "FailedScheduling")
    assert "didn't have free ports for the requested pod ports" in message
    assert not is_ready(await space.get(PODS, "one"))
    await space.output(once("done", "true"))
