"""A second node joins a cluster: pods of one reach pods of the other, and kubectl reaches the containers of both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.kubectl import MANIFESTS, Kubectl, eventually, sampan, up

NAME = "two"

DAEMON_SET = """
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: web, image: "nginx:1.7.9", ports: [{containerPort: 80}]}]
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: client}
spec:
  selector: {matchLabels: {app: client}}
  template:
    metadata: {labels: {app: client}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: client, image: "curl:1", command: [sh, -c, "echo here; exec sleep 1000000"]}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80}]
"""


@pytest.fixture(scope="module")
def two(binary: str) -> Iterator[Kubectl]:
    sampan("down", "--name", NAME)
    up(NAME)
    for recipe in ("nginx-1.7.9", "curl"):
        sampan("image", "build", "--name", NAME, str(MANIFESTS / f"{recipe}.yaml"))
    up(NAME, "--nodes", "2")
    yield Kubectl(binary, Path(sampan("kubeconfig", "path", "--name", NAME).strip()))
    sampan("down", "--name", NAME)


def _by_node(kubectl: Kubectl, app: str) -> dict[str, dict[str, str]]:
    pods = kubectl.json("get", "pods", "-l", f"app={app}")["items"]
    return {
        pod["spec"]["nodeName"]: {"name": pod["metadata"]["name"], "ip": pod["status"]["podIP"]} for pod in pods
    }


def test_pods_services_and_names_cross_the_nodes(two: Kubectl) -> None:
    nodes = [node["metadata"]["name"] for node in two.json("get", "nodes")["items"]]
    assert nodes == ["two-1", "two-2"]
    two.apply(DAEMON_SET)
    for name in ("web", "client"):
        two("rollout", "status", f"daemonset/{name}", "--timeout=140s")
    servers, clients = _by_node(two, "web"), _by_node(two, "client")
    assert set(servers) == set(clients) == set(nodes)
    assert len({server["ip"].rsplit(".", 1)[0] for server in servers.values()}) == 2, "each node has a range of its own"

    def fetched(node: str, host: str) -> str:
        return two("exec", clients[node]["name"], "--", "curl", "-sS", "--max-time", "5", f"http://{host}/")

    for node in nodes:
        for server in servers.values():
            assert "Welcome to nginx!" in eventually(lambda n=node, h=server["ip"]: fetched(n, h))
        assert "Welcome to nginx!" in eventually(lambda n=node: fetched(n, "web.default.svc.cluster.local"))
        eventually(lambda n=node: two("logs", clients[n]["name"]).strip() == "here", what="its log")
