"""Admission webhooks on a real cluster: a program in the node's network, called through its Service's cluster IP."""

from __future__ import annotations

import base64
import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.kubectl import Kubectl, eventually

from sampan.pki.authority import CertificateAuthority
from sampan.pki.certificate import CertificateSpec, Usage

NODE = "172.30.0.11"
PROGRAM = """
import base64, json, ssl, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))["request"]
        response = {"uid": asked["uid"], "allowed": True}
        metadata = asked["object"]["metadata"]
        if self.path.startswith("/mutate"):
            labels = {**(metadata.get("labels") or {}), "hooked": "yes"}
            patch = [{"op": "add", "path": "/metadata/labels", "value": labels}]
            response |= {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(patch).encode()).decode()}
        elif metadata["name"].startswith("bad"):
            response |= {"allowed": False, "status": {"message": "no bad names", "code": 403}}
        review = {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response}
        body = json.dumps(review).encode()
        self.send_response(200)
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


@pytest.fixture
def hook(cluster: str, tmp_path: Path) -> Iterator[tuple[int, str]]:
    """The port of a webhook on the first node's address, and the authority of its certificate."""
    authority = CertificateAuthority.create("hook")
    names = ("hook.default.svc",)
    credential = authority.issue(CertificateSpec("hook", usages=(Usage.SERVER,), dns_names=names))
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    certificate.write_bytes(credential.certificate_pem)
    key.write_bytes(credential.key_pem)
    namespace = f"/run/netns/sampan-{cluster}-{cluster}-1"
    process = subprocess.Popen(
        ["nsenter", f"--net={namespace}", sys.executable, "-c", PROGRAM, NODE, str(certificate), str(key)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )
    assert process.stdout is not None
    yield int(process.stdout.readline()), base64.b64encode(authority.certificate_pem).decode()
    process.kill()
    process.wait()


def manifest(port: int, authority: str, namespace: str) -> str:
    def configuration(kind: str, path: str) -> str:
        return f"""
apiVersion: admissionregistration.k8s.io/v1
kind: {kind}
metadata: {{name: e2e-hook}}
webhooks:
- name: {path}.hook.example
  admissionReviewVersions: [v1]
  sideEffects: None
  clientConfig: {{caBundle: {authority}, service: {{name: hook, namespace: default, path: /{path}}}}}
  rules: [{{operations: [CREATE], apiGroups: [""], apiVersions: [v1], resources: [configmaps]}}]
  namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {namespace}}}}}
  objectSelector: {{matchExpressions: [{{key: skip, operator: DoesNotExist}}]}}
"""

    service = f"""
apiVersion: v1
kind: Service
metadata: {{name: hook, namespace: default}}
spec: {{ports: [{{name: https, port: 443}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: hook-1, namespace: default, labels: {{kubernetes.io/service-name: hook}}}}
addressType: IPv4
ports: [{{name: https, port: {port}, protocol: TCP}}]
endpoints: [{{addresses: ["{NODE}"], conditions: {{ready: true}}}}]
"""
    return "---".join((service, configuration("MutatingWebhookConfiguration", "mutate"),
                       configuration("ValidatingWebhookConfiguration", "deny")))


def test_a_webhook_behind_a_service_changes_and_refuses(kubectl: Kubectl, hook: tuple[int, str]) -> None:
    port, authority = hook
    admin = dataclasses.replace(kubectl, namespace="default")
    admin.apply(manifest(port, authority, kubectl.namespace))
    try:
        # Both the proxy and the API server have to hear of it.
        tried = ("create", "configmap", "good", "--dry-run=server")
        eventually(lambda: "hooked" in kubectl.json(*tried)["metadata"]["labels"], what="the mutating hook is called")
        tried = ("create", "configmap", "bad", "--dry-run=server")
        eventually(lambda: "hook.example" in kubectl.fails(*tried), what="the validating hook is called")
        kubectl("create", "configmap", "good")
        assert kubectl.json("get", "configmap", "good")["metadata"]["labels"] == {"hooked": "yes"}
        refusal = kubectl.fails("create", "configmap", "bad")
        assert 'admission webhook "deny.hook.example" denied the request: no bad names' in refusal
        admin("create", "configmap", "bad")
    finally:
        for kind in ("mutatingwebhookconfiguration", "validatingwebhookconfiguration"):
            admin("delete", kind, "e2e-hook", "--ignore-not-found")
        admin("delete", "service/hook", "endpointslice/hook-1", "configmap/bad", "--ignore-not-found")
    assert "created" in eventually(lambda: kubectl("create", "configmap", "bad"))


POLICY = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: e2e.example.com}
spec:
  matchConstraints:
    resourceRules: [{operations: [CREATE, UPDATE], apiGroups: [apps], apiVersions: [v1], resources: [deployments]}]
  validations:
  - {expression: "object.spec.replicas <= 5", messageExpression: "'at most 5, not ' + string(object.spec.replicas)"}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: e2e.example.com}
spec:
  policyName: e2e.example.com
  validationActions: [Deny]
  matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NAMESPACE}}}
"""


def test_a_policy_refuses_in_its_own_words(each_kubectl: Kubectl) -> None:
    kubectl = each_kubectl
    kubectl("apply", "-f", "-", stdin=POLICY.replace("NAMESPACE", kubectl.namespace))
    try:
        words = ("ValidatingAdmissionPolicy 'e2e.example.com' with binding 'e2e.example.com' denied request: "
                 "at most 5, not 6")
        tried = ("create", "deployment", "web", "--image=busybox", "--replicas=6", "--dry-run=server")
        eventually(lambda: words in kubectl.fails(*tried), what=words)
        kubectl("create", "deployment", "web", "--image=busybox", "--replicas=0")
        typo = POLICY.partition("---")[0].replace("object.spec", "objekt.spec")
        assert "undeclared reference to 'objekt'" in kubectl.fails("apply", "-f", "-", stdin=typo)
    finally:
        for kind in ("validatingadmissionpolicy", "validatingadmissionpolicybinding"):
            kubectl("delete", kind, "e2e.example.com", "--ignore-not-found")
