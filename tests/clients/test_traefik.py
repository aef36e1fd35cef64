"""Traefik's Kubernetes provider: Ingresses become routers, ready pods become servers, and it all follows."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client
from tests.clients.waiting import eventually
from tests.ports import free_port

TRAEFIK = Path(sys.executable).with_name("traefik")
STATUS_ADDRESS = "192.0.2.7"


class Traefik:
    """What a running Traefik says of its configuration."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/api/http/"

    def routers(self) -> dict[str, str]:
        """The service by host; Traefik's own routers have no host."""
        found = [router for router in self._get("routers") if router["provider"] == "kubernetes"]
        return {re.sub(r".*Host\(.(.*?).\).*", r"\1", router["rule"]): router["service"] for router in found}

    def servers(self, service: str) -> list[str]:
        found = [one for one in self._get("services") if one["name"].startswith(f"{service}@")]
        return sorted(server["url"] for one in found for server in one["loadBalancer"].get("servers", []))

    def _get(self, what: str) -> Any:
        with urllib.request.urlopen(self._url + what, timeout=30) as answer:
            return json.load(answer)


@pytest.fixture
def traefik(kubeconfig: Path, namespace: str, tmp_path: Path) -> Iterator[Traefik]:
    admin, web = free_port(), free_port()
    log = (tmp_path / "log").open("w+")
    process = subprocess.Popen(
        [
            str(TRAEFIK), f"--entrypoints.traefik.address=127.0.0.1:{admin}", "--api.insecure=true",
            f"--entrypoints.web.address=127.0.0.1:{web}", "--providers.kubernetesingress=true",
            f"--providers.kubernetesingress.namespaces={namespace}",
            f"--providers.kubernetesingress.ingressendpoint.ip={STATUS_ADDRESS}",
            "--providers.kubernetesingress.throttleduration=0", "--providers.providersthrottleduration=50ms",
            "--global.checknewversion=false", "--global.sendanonymoususage=false", "--log.level=DEBUG",
        ],
        env={**os.environ, "KUBECONFIG": str(kubeconfig), "HOME": str(tmp_path)}, stdout=log, stderr=log, cwd=tmp_path,
    )
    try:
        yield Traefik(admin)
    finally:
        process.terminate()
        process.wait(60)
        log.seek(0)
        text = log.read()
        log.close()
    assert "Failed to watch" not in text and "forbidden" not in text, text


def ingress(*hosts: str) -> dict[str, Any]:
    backend = {"service": {"name": "web", "port": {"name": "http"}}}
    paths = {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}
    return {"metadata": {"name": "web"}, "spec": {"rules": [{"host": host, "http": paths} for host in hosts]}}


def test_ingresses_are_followed(traefik, api, namespace):
    core, apps, networking = client.CoreV1Api(api), client.AppsV1Api(api), client.NetworkingV1Api(api)
    labels = {"app": "web"}
    port = {"name": "http", "containerPort": 8080}
    template = {
        "metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "web", "ports": [port]}]},
    }
    apps.create_namespaced_deployment(namespace, {
        "metadata": {"name": "web"},
        "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": template},
    })
    service = {"selector": labels, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}
    core.create_namespaced_service(namespace, {"metadata": {"name": "web"}, "spec": service})
    networking.create_namespaced_ingress(namespace, ingress("one.example"))

    eventually(lambda: list(traefik.routers()) == ["one.example"])
    eventually(lambda: len(pods(core, namespace)) == 2)
    eventually(lambda: traefik.servers(traefik.routers()["one.example"]) == pods(core, namespace))
    status = eventually(lambda: networking.read_namespaced_ingress("web", namespace).status.load_balancer.ingress)
    assert [entry.ip for entry in status] == [STATUS_ADDRESS]

    apps.patch_namespaced_deployment_scale("web", namespace, {"spec": {"replicas": 3}})
    eventually(lambda: len(pods(core, namespace)) == 3)
    eventually(lambda: traefik.servers(traefik.routers()["one.example"]) == pods(core, namespace))
    networking.patch_namespaced_ingress("web", namespace, ingress("two.example"))
    eventually(lambda: list(traefik.routers()) == ["two.example"])
    networking.delete_namespaced_ingress("web", namespace)
    eventually(lambda: not traefik.routers())


def pods(core: client.CoreV1Api, namespace: str) -> list[str]:
    """The servers that there should be: the addresses of ready pods."""
    found = core.list_namespaced_pod(namespace, label_selector="app=web").items
    return sorted(
        f"http://{pod.status.pod_ip}:8080" for pod in found
        if any(one.type == "Ready" and one.status == "True" for one in pod.status.conditions or [])
    )
