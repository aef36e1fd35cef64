"""kubectl, of two releases, against a server over HTTPS with authorisation on and the sqlite store.

The server runs in a thread of this process; kubectl is what users have. Seen with 1.32 and 1.37: apply (client and
server side), get -o wide, describe, label, annotate, the three patches, scale, rollout status, explain, api-resources,
delete with each cascade, wait, events, auth can-i, and the words for bad input.
"""

import asyncio
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import threading

import pytest
import yaml

from sampan.apiserver.config import APIServerConfig
from sampan.apiserver.listener import TLSFiles, serve
from sampan.apiserver.server import APIServer
from sampan.pki.cluster import ClusterPKI
from sampan.storage.sqlite import SqliteStore

MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: nginx-deployment}
spec:
  selector: {matchLabels: {app: nginx}}
  replicas: 2
  template:
    metadata: {labels: {app: nginx}}
    spec: {containers: [{name: nginx, image: "nginx:1.7.9", ports: [{containerPort: 80}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: nginx}, ports: [{port: 80}]}
"""
KUBECTLS = [
    path for path in ("/usr/bin/kubectl", str(pathlib.Path(sys.executable).with_name("kubectl")))
    if shutil.which(path)
]


class Running(threading.Thread):
    """A server in a thread; `kubeconfig` is written once it answers."""

    def __init__(self, directory: pathlib.Path) -> None:
        super().__init__(daemon=True)
        self.kubeconfig = directory / "kubeconfig"
        self._directory = directory
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._ending = asyncio.Event()

    def run(self) -> None:
        self._loop.run_until_complete(self._serve())

    def begin(self) -> None:
        self.start()
        assert self._ready.wait(60)

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._ending.set)
        self.join(60)

    async def _serve(self) -> None:
        pki = ClusterPKI.ensure(self._directory / "pki")
        store = await SqliteStore.open(self._directory / "store.db")
        server = APIServer(store, APIServerConfig(
            client_ca_file=str(pki.ca_path), disable_admission=("ServiceAccount",),
            service_account_signing_key_file=str(pki.directory / "sa.key"),
            service_account_key_files=(str(pki.directory / "sa.pub"),),
        ))
        await server.start()
        listener = socket.create_server(("127.0.0.1", 0))
        files = (pki.directory / "apiserver.crt", pki.directory / "apiserver.key", pki.ca_path)
        listeners = await serve(server, [listener], TLSFiles(*map(str, files)))
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        self.kubeconfig.write_text(yaml.safe_dump(pki.kubeconfig("admin", url, "t-kubectl")))
        self._ready.set()
        await self._ending.wait()
        await listeners.close()
        await server.stop()
        await store.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    found = Running(tmp_path_factory.mktemp("kubectl"))
    found.begin()
    yield found
    found.end()


@pytest.fixture(params=KUBECTLS, ids=lambda path: "1.32" if path.startswith("/usr") else "1.37")
def kubectl(request, running, tmp_path):
    """Calls kubectl in a namespace of the test's own; standard output and error together."""
    home = {**os.environ, "KUBECONFIG": str(running.kubeconfig), "HOME": str(tmp_path)}
    namespace = "n" + os.urandom(4).hex()

    def call(*arguments, given=None, code=0):
        done = subprocess.run(
            [request.param, "-n", namespace, "--cache-dir", str(tmp_path / "cache"), *arguments], input=given,
            env=home, text=True, capture_output=True, timeout=60, check=False,
        )
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        return done.stdout + done.stderr

    call("create", "namespace", namespace)
    return call


def test_objects_are_applied_shown_and_changed(kubectl):
    assert "deployment.apps/nginx-deployment created" in kubectl("apply", "-f", "-", given=MANIFEST)
    assert "deployment.apps/nginx-deployment unchanged" in kubectl("apply", "-f", "-", given=MANIFEST)
    header, row = kubectl("get", "deployments", "-o", "wide").splitlines()
    assert header.split() == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE", "CONTAINERS", "IMAGES", "SELECTOR"]
    assert row.split()[1:4] == ["0/2", "0", "0"] and row.split()[5:] == ["nginx", "nginx:1.7.9", "app=nginx"]
    assert "labeled" in kubectl("label", "deployment/nginx-deployment", "tier=front")
    assert "annotated" in kubectl("annotate", "deployment/nginx-deployment", "note=x")
    strategic = '{"spec":{"template":{"spec":{"containers":[{"name":"nginx","image":"nginx:2"}]}}}}'
    assert "patched" in kubectl("patch", "deployment", "nginx-deployment", "-p", strategic)
    operations = '[{"op":"replace","path":"/spec/replicas","value":3}]'
    assert "patched" in kubectl("patch", "deployment", "nginx-deployment", "--type=json", "-p", operations)
    pause = '{"spec":{"paused":true}}'
    assert "patched" in kubectl("patch", "deployment", "nginx-deployment", "--type=merge", "-p", pause)
    assert "scaled" in kubectl("scale", "deployment/nginx-deployment", "--replicas=5")
    counts = "jsonpath={.spec.replicas} {.metadata.generation}"
    assert kubectl("get", "deployment", "nginx-deployment", "-o", counts) == "5 5"
    described = kubectl("describe", "deployment", "nginx-deployment")
    assert "5 desired" in described and "RollingUpdateStrategy:  25% max unavailable, 25% max surge" in described
    assert "IP Families:" in kubectl("describe", "service", "web")


def test_server_side_apply_and_its_conflicts(kubectl):
    kubectl("apply", "--server-side", "-f", "-", given=MANIFEST)
    other = MANIFEST.replace("replicas: 2", "replicas: 4")
    refused = kubectl("apply", "--server-side", "--field-manager=other", "-f", "-", given=other, code=1)
    assert 'conflict with "kubectl": .spec.replicas' in refused
    kubectl("apply", "--server-side", "--field-manager=other", "--force-conflicts", "-f", "-", given=other)


def test_rollout_status_follows_the_status(kubectl):
    kubectl("apply", "-f", "-", given=MANIFEST)
    status = (
        '{"status":{"observedGeneration":1,"replicas":2,"updatedReplicas":2,"readyReplicas":2,"availableReplicas":2,'
        '"conditions":[{"type":"Available","status":"True"}]}}'
    )
    kubectl("patch", "deployment", "nginx-deployment", "--subresource=status", "--type=merge", "-p", status)
    done = kubectl("rollout", "status", "deployment/nginx-deployment", "--timeout=60s")
    assert 'deployment "nginx-deployment" successfully rolled out' in done
    kubectl("wait", "--for=condition=Available", "deployment/nginx-deployment", "--timeout=60s")


def test_each_cascade(kubectl):
    for policy, finalizer in (("orphan", "orphan"), ("foreground", "foregroundDeletion"), ("background", "")):
        kubectl("create", "configmap", policy, "--from-literal=a=b")
        assert "deleted" in kubectl("delete", "configmap", policy, f"--cascade={policy}", "--wait=false")
        if finalizer:
            shown = kubectl("get", "configmap", policy, "-o", "jsonpath={.metadata.finalizers}")
            assert shown == f'["{finalizer}"]'
        else:
            assert "NotFound" in kubectl("get", "configmap", policy, code=1)


def test_deletion_is_waited_for(kubectl):
    kubectl("create", "configmap", "c")
    assert "deleted" in kubectl("delete", "configmap", "c", "--timeout=60s")


def test_what_there_is_and_what_it_means(kubectl):
    resources = kubectl("api-resources")
    assert "deployments" in resources and "apps/v1" in resources
    explained = kubectl("explain", "deployment.spec.replicas")
    assert "FIELD: replicas <integer>" in explained and "Number of desired pods" in explained
    assert "No events found" in kubectl("events")


def test_who_may_do_what(kubectl):
    assert "yes" in kubectl("auth", "can-i", "create", "pods")
    assert "no" in kubectl("auth", "can-i", "list", "secrets", "--as", "bob", code=1)
    refused = kubectl("get", "pods", "--as", "bob", code=1)
    assert 'User "bob" cannot list resource "pods" in API group ""' in refused


def test_bad_input_names_the_field(kubectl):
    unknown = MANIFEST.replace("replicas: 2", "replicaz: 2")
    assert 'unknown field "spec.replicaz"' in kubectl("apply", "-f", "-", given=unknown, code=1)
    wrong = MANIFEST.replace("replicas: 2", 'replicas: "two"')
    assert "replicas" in kubectl("apply", "-f", "-", given=wrong, code=1)
    name = MANIFEST.replace("name: web", "name: Web_1")
    assert 'metadata.name: Invalid value: "Web_1"' in kubectl("apply", "-f", "-", given=name, code=1)
    kubectl("apply", "-f", "-", given=MANIFEST)
    selector = MANIFEST.replace("app: nginx", "app: other")
    assert "field is immutable" in kubectl("apply", "-f", "-", given=selector, code=1)
