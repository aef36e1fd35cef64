"""A HorizontalPodAutoscaler follows metrics that a foreign API server serves, reached through the aggregation layer."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.kubectl import Kubectl, eventually
from tests.e2e.pods import FOREVER, apply, condition, events, pod

from sampan.pki.authority import CertificateAuthority
from sampan.pki.certificate import CertificateSpec, Usage

NODE = "172.30.0.11"
GROUPS = ("external.metrics.k8s.io", "custom.metrics.k8s.io")
PROGRAM = """
import json, pathlib, ssl, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

AT = "2026-01-01T00:00:00Z"
values = pathlib.Path(sys.argv[4])

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = self.path.partition("?")[0].strip("/").split("/")
        if path[0] != "apis":
            return self.answer(404, {})
        version = "/".join(path[1:3])
        if len(path) == 3:
            return self.answer(200, {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version,
                                     "resources": []})
        metric = json.loads(values.read_text()).get(path[-1])
        if metric is None:
            return self.answer(404, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound",
                                     "code": 404, "message": "no metric " + path[-1]})
        kind, item = "ExternalMetricValueList", {"metricName": path[-1], "metricLabels": {}}
        if version.startswith("custom"):
            kind = "MetricValueList"
            item = {"describedObject": {"kind": "Service", "name": path[-2], "namespace": path[4]},
                    "metric": {"name": path[-1]}}
        self.answer(200, {"kind": kind, "apiVersion": version, "metadata": {},
                          "items": [{**item, "timestamp": AT, "value": metric}]})

    def answer(self, code, document):
        body = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

server = ThreadingHTTPServer((sys.argv[1], 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3])
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


@dataclass(frozen=True)
class Metrics:
    """A server of external and custom metrics, and where its values are."""

    port: int
    authority: str
    values: Path

    def show(self, **values: str) -> None:
        """All at once: the server may be reading."""
        written = self.values.with_suffix(".new")
        written.write_text(json.dumps(values))
        written.rename(self.values)


@pytest.fixture
def metrics(kubectl: Kubectl, cluster: str, tmp_path: Path) -> Iterator[Metrics]:
    authority = CertificateAuthority.create("metrics")
    credential = authority.issue(CertificateSpec(
        "metrics", usages=(Usage.SERVER,), dns_names=(f"metrics.{kubectl.namespace}.svc",)
    ))
    certificate, key, values = tmp_path / "tls.crt", tmp_path / "tls.key", tmp_path / "values.json"
    certificate.write_bytes(credential.certificate_pem)
    key.write_bytes(credential.key_pem)
    values.write_text("{}")
    process = subprocess.Popen(
        ["nsenter", f"--net=/run/netns/sampan-{cluster}-{cluster}-1", sys.executable, "-c", PROGRAM, NODE,
         str(certificate), str(key), str(values)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )
    assert process.stdout is not None
    found = Metrics(
        int(process.stdout.readline()), base64.b64encode(authority.certificate_pem).decode(), values
    )
    try:
        apply(kubectl, *_registration(kubectl.namespace or "", found))
        kubectl("wait", "--for=condition=Available", *(f"apiservice/v1beta1.{group}" for group in GROUPS),
                "--timeout=140s")
        yield found
    finally:
        kubectl("delete", "apiservice", *(f"v1beta1.{group}" for group in GROUPS), "--ignore-not-found")
        process.kill()
        process.wait()


def _registration(namespace: str, server: Metrics) -> list[dict[str, Any]]:
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "metrics"},
         "spec": {"ports": [{"name": "https", "port": 443}]}},
        {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
         "metadata": {"name": "metrics-1", "labels": {"kubernetes.io/service-name": "metrics"}},
         "ports": [{"name": "https", "port": server.port, "protocol": "TCP"}],
         "endpoints": [{"addresses": [NODE], "conditions": {"ready": True}}]},
        *({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": f"v1beta1.{group}"},
           "spec": {"group": group, "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100,
                    "caBundle": server.authority, "service": {"name": "metrics", "namespace": namespace}}}
          for group in GROUPS),
    ]


def autoscaler(*metrics: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "worker"},
        "spec": {
            "minReplicas": 1, "maxReplicas": 4, "metrics": list(metrics),
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "worker"},
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
        },
    }


def test_replicas_follow_external_and_object_metrics(kubectl: Kubectl, metrics: Metrics) -> None:
    metrics.show(queue="5")
    template = {"metadata": {"labels": {"app": "worker"}}, "spec": pod("worker", FOREVER)["spec"]}
    deployment = {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "worker"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "worker"}}, "template": template},
    }
    external = {"type": "External", "external": {
        "metric": {"name": "queue"}, "target": {"type": "AverageValue", "averageValue": "10"}}}
    of_object = {"type": "Object", "object": {
        "metric": {"name": "requests"}, "describedObject": {"apiVersion": "v1", "kind": "Service", "name": "metrics"},
        "target": {"type": "Value", "value": "100"}}}
    apply(kubectl, deployment, autoscaler(external, of_object))

    def shown() -> dict[str, Any]:
        found: dict[str, Any] = kubectl.json("get", "hpa", "worker")
        return found

    def ready(count: int) -> bool:
        return bool(kubectl.json("get", "deployment", "worker")["status"].get("readyReplicas") == count)

    told = eventually(lambda: events(kubectl, "worker").get("FailedGetObjectMetric"))
    assert "requests" in told
    metrics.show(queue="25", requests="100")
    eventually(lambda: ready(3), what="three replicas for a queue of 25")
    for kind in ("AbleToScale", "ScalingActive"):
        eventually(lambda kind=kind: condition(shown(), kind)["status"] == "True", what=kind)
    told = eventually(lambda: events(kubectl, "worker")["SuccessfulRescale"])
    assert told.startswith("New size: 3; reason: external metric queue")
    metrics.show(queue="5", requests="900")
    eventually(lambda: ready(4), what="no more than maxReplicas, whatever the object's metric says")
    eventually(lambda: condition(shown(), "ScalingLimited").get("reason") == "TooManyReplicas")
    metrics.show(queue="5", requests="10")
    eventually(lambda: ready(1), what="one replica when there is nothing to do")
    assert "worker" in kubectl("get", "hpa")
    eventually(lambda: "external" in json.dumps(shown()["status"]["currentMetrics"]))
