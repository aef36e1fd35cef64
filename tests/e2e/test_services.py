"""Services and names, seen by those who call them: from a pod, and from the node."""

from __future__ import annotations

import re
import socket
import urllib.error
import urllib.request
from typing import Any

import pytest
from tests.e2e.kubectl import Kubectl, eventually
from tests.e2e.pods import CURL, apply, container, get, pod, ready

from sampan.machines import namespace


def web(name: str, port: int = 8080, labels: dict[str, str] | None = None, **fields: Any) -> dict[str, Any]:
    """A pod that answers with its name; `spec` goes to the pod, all else to the container."""
    script = f"mkdir /tmp/w; hostname > /tmp/w/index.html; exec busybox httpd -f -p {port} -h /tmp/w"
    spec, host_port = fields.pop("spec", {}), fields.pop("hostPort", None)
    ports = [{"name": "web", "containerPort": port} | ({"hostPort": host_port} if host_port else {})]
    main = container(script, image=CURL, ports=ports, **fields)
    return pod(name, main, metadata={"labels": labels or {"app": "web"}}, **spec)


def service(name: str, selector: dict[str, str] | None = None, port: int = 80, **spec: Any) -> dict[str, Any]:
    ports = [{"name": "http", "port": port, "targetPort": "web"}]
    chosen = {"selector": selector} if selector else {}
    return {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": ports} | chosen | spec,
    }


class Caller:
    """A pod that calls others."""

    def __init__(self, kubectl: Kubectl, name: str = "client") -> None:
        self._kubectl, self._name = kubectl, name

    def sh(self, script: str) -> str:
        return self._kubectl("exec", self._name, "--", "sh", "-c", f"{{ {script}; }} 2>&1 || true")

    def who(self, host: str, times: int = 1) -> list[str]:
        """Which pods answered."""
        return self.sh(f"for i in $(busybox seq {times}); do curl -sS -m 3 http://{host}/; done").split()

    def lookup(self, name: str, kind: str = "a", server: str = "") -> str:
        return self.sh(f"nslookup {f'-type={kind}' if kind else ''} {name} {server}")


@pytest.fixture
def caller(kubectl: Kubectl) -> Caller:
    apply(kubectl, pod("client", container(image=CURL)))
    return Caller(kubectl)


def _slice(kubectl: Kubectl, name: str) -> Any:
    found = kubectl.json("get", "endpointslices", "-l", f"kubernetes.io/service-name={name}")["items"]
    return found[0] if found else None


def _from_node(cluster: str, address: str) -> str:
    def ask() -> str:
        with urllib.request.urlopen(f"http://{address}/", timeout=3) as answer:
            return str(answer.read().decode().strip())

    return namespace.call_in(f"sampan-{cluster}-{cluster}-1", ask)


def test_a_cluster_address_spreads_calls_and_keeps_sessions(kubectl: Kubectl, caller: Caller, cluster: str) -> None:
    apply(
        kubectl, web("one"), web("two"), web("three", port=9090),
        service("web", {"app": "web"}),
        service("sticky", {"app": "web"}, sessionAffinity="ClientIP"),
        service("outside", {"app": "web"}, type="NodePort"),
    )
    ready(kubectl, "client", "one", "two", "three")
    eventually(lambda: [point["conditions"]["ready"] for point in _all_points(kubectl, "web")] == [True] * 3)
    found = _slice(kubectl, "web")
    assert found["addressType"] == "IPv4"
    assert found["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] == "endpointslice-controller.k8s.io"
    assert found["metadata"]["ownerReferences"][0]["name"] == "web"
    (one,) = [point for point in _all_points(kubectl, "web") if point["targetRef"]["name"] == "one"]
    assert one["conditions"] == {"ready": True, "serving": True, "terminating": False}
    assert one["nodeName"] == f"{cluster}-1"
    assert one["addresses"] == [get(kubectl, "one")["status"]["podIP"]]
    pods = {"one", "two", "three"}
    eventually(lambda: set(caller.who("web", 20)) == pods, what="calls reach all three pods")
    eventually(lambda: len(found := set(caller.who("sticky", 12))) == 1 and found <= pods, what="one keeps the session")
    eventually(lambda: set(caller.who(f"web.{kubectl.namespace}.svc.cluster.local", 2)) <= pods, what="the long name")
    node_port = kubectl.json("get", "service", "outside")["spec"]["ports"][0]["nodePort"]
    assert 30000 <= node_port <= 32767
    node = get(kubectl, "one")["status"]["hostIP"]
    eventually(lambda: _from_node(cluster, f"{node}:{node_port}") in pods, what="the node port, from the node")
    eventually(lambda: caller.who(f"{node}:{node_port}")[0] in pods, what="the node port, from a pod")
    kubectl("delete", "pod", "one", "two", "--now")
    eventually(lambda: set(caller.who("web", 6)) == {"three"})
    eventually(lambda: set(caller.who("sticky", 4)) == {"three"}, what="a session whose pod is gone goes on elsewhere")


def _all_points(kubectl: Kubectl, name: str) -> list[Any]:
    found = kubectl.json("get", "endpointslices", "-l", f"kubernetes.io/service-name={name}")["items"]
    return [point for item in found for point in item.get("endpoints") or []]


def test_a_pod_reaches_itself_through_its_service(kubectl: Kubectl) -> None:
    apply(kubectl, web("lonely", labels={"app": "lonely"}), service("itself", {"app": "lonely"}))
    ready(kubectl, "lonely")
    eventually(lambda: Caller(kubectl, "lonely").who("itself") == ["lonely"])


def test_without_endpoints_calls_are_refused_at_once(kubectl: Kubectl, caller: Caller, cluster: str) -> None:
    apply(kubectl, service("empty", {"app": "nobody"}, type="NodePort"))
    ready(kubectl, "client")
    shown = kubectl.json("get", "service", "empty")["spec"]
    eventually(lambda: "refused" in caller.sh("curl -sv -m 2 http://empty/"))
    began = caller.sh("curl -sv -m 5 http://empty/; curl -sv -m 5 http://empty/")
    assert began.count("failed: Connection refused") == 2
    node = kubectl.json("get", "pod", "client")["status"]["hostIP"]
    with pytest.raises(urllib.error.URLError, match="refused"):
        _from_node(cluster, f"{node}:{shown['ports'][0]['nodePort']}")


def test_readiness_gates_traffic(kubectl: Kubectl, caller: Caller) -> None:
    probe = {"periodSeconds": 1, "timeoutSeconds": 10, "failureThreshold": 1, "exec": {"command": ["cat", "/tmp/ok"]}}
    apply(
        kubectl, web("steady"), web("moody", readinessProbe=probe),
        service("web", {"app": "web"}), service("bare", {"app": "web"}, clusterIP="None"),
        service("eager", {"app": "web"}, clusterIP="None", publishNotReadyAddresses=True),
    )
    ready(kubectl, "client", "steady")
    address = eventually(lambda: get(kubectl, "moody")["status"].get("podIP"))

    def state() -> Any:
        return next(point["conditions"] for point in _all_points(kubectl, "web") if point["addresses"] == [address])

    eventually(lambda: address in str(_all_points(kubectl, "web")))
    assert state() == {"ready": False, "serving": False, "terminating": False}
    eventually(lambda: set(caller.who("web", 8)) == {"steady"})
    assert address not in caller.lookup(f"bare.{kubectl.namespace}.svc.cluster.local")
    eventually(lambda: address in caller.lookup(f"eager.{kubectl.namespace}.svc.cluster.local"))
    assert all(point["conditions"]["ready"] for point in _all_points(kubectl, "eager"))
    kubectl("exec", "moody", "--", "sh", "-c", "echo > /tmp/ok")
    eventually(lambda: set(caller.who("web", 12)) == {"steady", "moody"})
    kubectl("exec", "moody", "--", "busybox", "rm", "/tmp/ok")
    eventually(lambda: state()["ready"] is False)
    eventually(lambda: set(caller.who("web", 8)) == {"steady"})

    def unready() -> list[str]:
        return [one["ip"] for one in kubectl.json("get", "endpoints", "web")["subsets"][0]["notReadyAddresses"]]

    eventually(lambda: unready() == [address], what="the unready one in Endpoints")


def test_names(kubectl: Kubectl, caller: Caller) -> None:
    space = f"{kubectl.namespace}.svc.cluster.local"
    apply(
        kubectl, web("zero", spec={"hostname": "zero", "subdomain": "bare"}), web("plain"),
        service("bare", {"app": "web"}, clusterIP="None"), service("web", {"app": "web"}),
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "away"},
         "spec": {"type": "ExternalName", "externalName": f"web.{space}"}},
    )
    ready(kubectl, "client", "zero", "plain")
    zero, plain = (get(kubectl, name)["status"]["podIP"] for name in ("zero", "plain"))
    virtual = kubectl.json("get", "service", "web")["spec"]["clusterIP"]
    eventually(lambda: all(ip in caller.lookup(f"bare.{space}") for ip in (zero, plain)))

    def tells(name: str, pattern: str, kind: str = "a") -> None:
        eventually(lambda: re.search(pattern, caller.lookup(name, kind)), what=f"{name}: {pattern}")

    dots = re.escape(space)
    tells(f"zero.bare.{space}", rf"Address:? ?{re.escape(zero)}\b")
    tells(f"web.{space}", rf"Address: {re.escape(virtual)}\b")
    tells(f"_http._tcp.web.{space}", rf"service = 0 100 80 web\.{dots}", "srv")
    tells(f"_http._tcp.bare.{space}", rf"service = 0 50 8080 zero\.bare\.{dots}", "srv")
    tells(f"away.{space}", rf"canonical name = web\.{dots}")
    tells(virtual, rf"name = web\.{dots}", "")
    tells(zero, rf"name = zero\.bare\.{dots}", "")
    tells(f"absent.{space}", "NXDOMAIN")
    tells(f"{plain.replace('.', '-')}.{kubectl.namespace}.pod.cluster.local", rf"Address:? ?{re.escape(plain)}\b")
    eventually(lambda: caller.who("away")[0] in ("zero", "plain"))
    tells("kubernetes.default.svc.cluster.local", r"10\.96\.0\.1\b")
    found = caller.sh("curl -sk -m 30 https://kubernetes.default/version")
    assert "gitVersion" in found, "found by the search path"


def test_a_host_port_is_the_pods(kubectl: Kubectl, caller: Caller, cluster: str) -> None:
    apply(kubectl, web("held", labels={"app": "held"}, hostPort=18081))
    ready(kubectl, "client", "held")
    node = get(kubectl, "held")["status"]["hostIP"]
    eventually(lambda: _from_node(cluster, f"{node}:18081") == "held")
    eventually(lambda: caller.who(f"{node}:18081") == ["held"])


def test_datagrams_and_endpoints_written_by_hand(kubectl: Kubectl, caller: Caller) -> None:
    node = kubectl.json("get", "nodes")["items"][0]["status"]["addresses"][0]["address"]
    dns = [{"name": "dns", "port": 53, "protocol": "UDP"}]
    apply(
        kubectl,
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "by-hand"}, "spec": {"ports": dns}},
        {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4", "ports": dns,
         "metadata": {"name": "mine", "labels": {"kubernetes.io/service-name": "by-hand"}},
         "endpoints": [{"addresses": [node]}]},
    )
    ready(kubectl, "client")
    address = kubectl.json("get", "service", "by-hand")["spec"]["clusterIP"]
    eventually(lambda: "10.96.0.1" in caller.lookup("kubernetes.default.svc.cluster.local", server=address))


def test_addresses_are_taken_once_and_come_back(kubectl: Kubectl) -> None:
    apply(kubectl, service("first", {"app": "web"}))
    shown = kubectl.json("get", "service", "first")["spec"]
    assert socket.inet_aton(shown["clusterIP"]).startswith(socket.inet_aton("10.96.0.0")[:2])
    assert (shown["type"], shown["ipFamilies"], shown["internalTrafficPolicy"]) == ("ClusterIP", ["IPv4"], "Cluster")
    wanted = ("create", "service", "clusterip", "second", "--tcp=80", f"--clusterip={shown['clusterIP']}")
    assert "provided IP is already allocated" in kubectl.fails(*wanted)
    kubectl("delete", "service", "first")
    kubectl(*wanted)
    assert kubectl.json("get", "service", "second")["spec"]["clusterIP"] == shown["clusterIP"]
    eventually(lambda: not kubectl.json("get", "endpointslices", "-l", "kubernetes.io/service-name=first")["items"])
    assert "may not change once set" in kubectl.fails(
        "patch", "service", "second", "-p", '{"spec":{"clusterIP":"10.96.77.77","clusterIPs":["10.96.77.77"]}}'
    )
