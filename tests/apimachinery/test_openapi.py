"""OpenAPI: the documents' shape, and that kubectl explain understands them."""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sampan.apimachinery.openapi import ServedResource, ServedSubresource, v2, v2_protobuf, v3

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
DEPLOYMENTS = ServedResource(
    "apps", "v1", "deployments", "Deployment", "io.k8s.api.apps.v1.Deployment", verbs=VERBS,
    subresources=(
        ServedSubresource("status", ("get", "patch", "update")),
        ServedSubresource("scale", ("get", "patch", "update"), "io.k8s.api.autoscaling.v1.Scale", "Scale",
                          "autoscaling", "v1"),
    ),
)
PODS = ServedResource(
    "", "v1", "pods", "Pod", "io.k8s.api.core.v1.Pod", verbs=VERBS,
    subresources=(ServedSubresource("log", ("get",), kind="Pod"), ServedSubresource("exec", ("create",), kind="X")),
)
NODES = ServedResource("", "v1", "nodes", "Node", "io.k8s.api.core.v1.Node", namespaced=False, verbs=VERBS)
CRONTABS = ServedResource(
    "stable.example.com", "v1", "crontabs", "CronTab", "com.example.stable.v1.CronTab", verbs=VERBS,
    schema={"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "replicas": {"type": "integer", "description": "How many."},
        "any": {"x-kubernetes-preserve-unknown-fields": True}, "port": {"x-kubernetes-int-or-string": True},
    }}}},
)
ALL = [DEPLOYMENTS, PODS, NODES, CRONTABS]


def references(node: Any) -> set[str]:
    if isinstance(node, list):
        return {name for item in node for name in references(item)}
    if not isinstance(node, dict):
        return set()
    own = {node["$ref"].rpartition("/")[2]} if isinstance(node.get("$ref"), str) else set()
    return own | {name for value in node.values() for name in references(value)}


def test_every_reference_leads_somewhere() -> None:
    second = v2.document(ALL)
    assert references(second) <= set(second["definitions"])
    for resource in ALL:
        third = v3.document([resource])
        assert references(third) <= set(third["components"]["schemas"])


def test_the_index_names_a_document_for_each_group_and_version() -> None:
    paths = v3.index(ALL)["paths"]
    assert list(paths) == ["api/v1", "apis/apps/v1", "apis/stable.example.com/v1"]
    assert paths["apis/apps/v1"]["serverRelativeURL"].startswith("/openapi/v3/apis/apps/v1?hash=")


def test_the_hash_follows_what_is_served() -> None:
    assert v3.index(ALL) == v3.index(list(ALL))
    other = ServedResource("apps", "v1", "deployments", "Deployment", "io.k8s.api.apps.v1.Deployment")
    assert v3.document_hash([DEPLOYMENTS]) != v3.document_hash([other])


def test_operations_have_what_clients_look_for() -> None:
    paths = v3.document([DEPLOYMENTS])["paths"]
    patch = paths["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    assert patch["operationId"] == "patchAppsV1NamespacedDeployment"
    assert patch["x-kubernetes-action"] == "patch"
    assert patch["x-kubernetes-group-version-kind"] == {"group": "apps", "version": "v1", "kind": "Deployment"}
    assert {"fieldValidation", "fieldManager", "dryRun", "force"} == {p["name"] for p in patch["parameters"]}
    assert set(patch["requestBody"]["content"]) == {
        "application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json",
        "application/strategic-merge-patch+json",
    }
    everywhere = paths["/apis/apps/v1/deployments"]["get"]
    assert everywhere["operationId"] == "listAppsV1DeploymentForAllNamespaces"
    scale = paths["/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"]["get"]
    assert scale["x-kubernetes-group-version-kind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}


def test_cluster_scoped_resources_have_no_namespace() -> None:
    assert sorted(v3.document([NODES])["paths"]) == ["/api/v1/nodes", "/api/v1/nodes/{name}"]


def test_patch_keys_and_prose_are_published() -> None:
    containers = v2.document([PODS])["definitions"]["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert containers["x-kubernetes-patch-merge-key"] == "name"
    assert containers["x-kubernetes-patch-strategy"] == "merge"
    assert containers["description"].startswith("List of containers belonging to the pod.")
    assert containers["items"] == {"$ref": "#/definitions/io.k8s.api.core.v1.Container"}


def test_quantities_are_said_in_each_dialect() -> None:
    name = "io.k8s.apimachinery.pkg.api.resource.Quantity"
    assert v2.document([PODS])["definitions"][name]["type"] == "string"
    assert v3.document([PODS])["components"]["schemas"][name]["oneOf"] == [{"type": "string"}, {"type": "number"}]


def test_custom_resources_are_published_with_their_metadata() -> None:
    schemas = v3.document([CRONTABS])["components"]["schemas"]
    crontab = schemas["com.example.stable.v1.CronTab"]
    assert crontab["properties"]["metadata"]["allOf"][0]["$ref"].endswith("v1.ObjectMeta")
    assert crontab["x-kubernetes-group-version-kind"] == [
        {"group": "stable.example.com", "kind": "CronTab", "version": "v1"},
    ]
    old = v2.document([CRONTABS])["definitions"]["com.example.stable.v1.CronTab"]["properties"]["spec"]["properties"]
    assert old["any"] == {"x-kubernetes-preserve-unknown-fields": True}


DISCOVERY: dict[str, Any] = {
    "/version": {"major": "1", "minor": "37", "gitVersion": "v1.37.0"},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [{
        "name": group, "versions": [{"groupVersion": f"{group}/v1", "version": "v1"}],
        "preferredVersion": {"groupVersion": f"{group}/v1", "version": "v1"},
    } for group in ("apps", "stable.example.com")]},
}
for served in ALL:
    DISCOVERY.setdefault(served.root, {
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": served.root.split("/", 2)[2], "resources": [],
    })["resources"].append({
        "name": served.resource, "singularName": served.kind.lower(), "namespaced": served.namespaced,
        "kind": served.kind, "verbs": list(VERBS), "shortNames": {"deployments": ["deploy"]}.get(served.resource, []),
    })


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        body = DISCOVERY.get(path)
        if path == "/openapi/v3":
            body = v3.index(ALL)
        elif path.startswith("/openapi/v3/"):
            chosen = [resource for resource in ALL if v3.group_version_path(resource) == path[len("/openapi/v3/"):]]
            body = v3.document(chosen)
        payload, media = json.dumps(body).encode(), "application/json"
        if path == "/openapi/v2":
            body, media = v2.document(ALL), v2_protobuf.MEDIA_TYPE
            payload = v2_protobuf.encode(body)
        self.send_response(200 if body else 404)
        self.send_header("content-type", media)
        self.send_header("content-length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listener.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.server_address[1]}"
    listener.shutdown()
    listener.server_close()
    thread.join()


KUBECTLS = [Path("/usr/bin/kubectl"), Path(sys.executable).with_name("kubectl")]


@pytest.fixture(params=KUBECTLS, ids=["system", "pypi"])
def kubectl(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    if not path.exists():
        pytest.skip(f"no {path}")
    return path


def explain(kubectl: Path, server: str, cache: Path, *args: str) -> str:
    result = subprocess.run(
        [kubectl, "--server", server, "--cache-dir", cache, "explain", *args],
        capture_output=True, text=True, timeout=200, check=False, env={"HOME": str(cache), "KUBECONFIG": "/dev/null"},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_kubectl_explains_a_field(kubectl: Path, server: str, tmp_path: Path) -> None:
    shown = explain(kubectl, server, tmp_path, "deploy.spec.strategy")
    assert "FIELD: strategy <DeploymentStrategy>" in shown
    assert "rollingUpdate\t<RollingUpdateDeployment>" in shown


def test_kubectl_explains_everything_below(kubectl: Path, server: str, tmp_path: Path) -> None:
    shown = explain(kubectl, server, tmp_path, "pods", "--recursive")
    assert "containers\t<[]Container> -required-" in shown
    assert "limits\t<map[string]Quantity>" in shown


def test_kubectl_explains_a_custom_resource(kubectl: Path, server: str, tmp_path: Path) -> None:
    shown = explain(kubectl, server, tmp_path, "crontabs.spec")
    assert "replicas\t<integer>" in shown
    assert "How many." in shown


def test_kubectl_reads_the_protobuf_form(kubectl: Path, server: str, tmp_path: Path) -> None:
    shown = explain(kubectl, server, tmp_path, "deploy.spec.template.spec.containers", "--output=plaintext-openapiv2")
    assert "RESOURCE: containers <[]Object>" in shown
    assert "imagePullPolicy\t<string>" in shown
    custom = explain(kubectl, server, tmp_path, "crontabs.spec", "--output=plaintext-openapiv2")
    assert "replicas\t<integer>" in custom
