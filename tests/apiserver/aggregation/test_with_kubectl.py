"""kubectl through the aggregator: both servers over HTTPS, the user known to the one behind by its headers only."""

from __future__ import annotations

import asyncio
import base64
import shutil
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.apiserver.https_server import answer, running

from sampan.api.resources import API_SERVICES, SERVICES
from sampan.apimachinery.http import Request, Response
from sampan.apiserver.config import APIServerConfig
from sampan.apiserver.listener import TLSFiles, serve
from sampan.apiserver.server import ITSELF, APIServer
from sampan.client.client import Client
from sampan.pki.cluster import ClusterPKI
from sampan.storage.memory import MemoryStore

KUBECTLS = [
    path for path in ("/usr/bin/kubectl", str(Path(sys.executable).with_name("kubectl"))) if shutil.which(path)
]
WIDGETS = {"name": "widgets", "singularName": "widget", "namespaced": False, "kind": "Widget", "verbs": ["get", "list"]}


async def behind(request: Request) -> Response:
    """A server with one kind of its own; its list says who asked."""
    if request.path == "/apis/shop.example.com/v1":
        return answer({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "shop.example.com/v1",
                       "resources": [WIDGETS]})
    if request.path == "/apis/shop.example.com/v1/widgets":
        widget = {"kind": "Widget", "apiVersion": "shop.example.com/v1", "metadata": {"name": "bolt"},
                  "seenBy": request.headers.get("x-remote-user")}
        return answer({"kind": "WidgetList", "apiVersion": "shop.example.com/v1", "metadata": {}, "items": [widget]})
    return Response(404)


async def kubectl(program: str, kubeconfig: Path, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        program, "--kubeconfig", str(kubeconfig), "--cache-dir", str(kubeconfig.parent / "cache"), *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    return output.decode()


async def _register(client: Client, port: int, authority: str) -> None:
    await client.create(SERVICES, {
        "kind": "Service", "apiVersion": "v1", "metadata": {"name": "shop", "namespace": "default"},
        "spec": {"type": "ExternalName", "externalName": "127.0.0.1"},
    })
    spec: dict[str, Any] = {
        "group": "shop.example.com", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 100,
        "caBundle": base64.b64encode(authority.encode()).decode(),
        "service": {"namespace": "default", "name": "shop", "port": port},
    }
    await client.create(API_SERVICES, {
        "kind": "APIService", "apiVersion": "apiregistration.k8s.io/v1", "metadata": {"name": "v1.shop.example.com"},
        "spec": spec,
    })
    async with asyncio.timeout(60):
        while True:
            found = await client.get(API_SERVICES, "v1.shop.example.com")
            if any(one["status"] == "True" for one in found.get("status", {}).get("conditions", ())):
                return
            await asyncio.sleep(0.02)


@pytest.mark.skipif(not KUBECTLS, reason="no kubectl here")
@pytest.mark.parametrize("program", KUBECTLS)
async def test_kubectl_lists_what_another_server_has(tmp_path: Path, program: str) -> None:
    pki = ClusterPKI.ensure(tmp_path / "pki")
    store = MemoryStore()
    proxy = pki.pair("front-proxy-client")
    server = APIServer(store, APIServerConfig(
        client_ca_file=str(pki.ca_path), requestheader_client_ca_file=str(pki.front_proxy_ca_path),
        proxy_client_cert_file=str(proxy.certificate), proxy_client_key_file=str(proxy.key),
    ))
    listener = socket.create_server(("127.0.0.1", 0))
    own = pki.pair("apiserver")
    kubeconfig = tmp_path / "kubeconfig"
    url = f"https://127.0.0.1:{listener.getsockname()[1]}"
    kubeconfig.write_text(yaml.safe_dump(pki.kubeconfig("admin", url, "t-aggregation")))
    await server.start()
    listeners = await serve(server, [listener], TLSFiles(str(own.certificate), str(own.key), str(pki.ca_path)))
    try:
        async with running(tmp_path, behind, ("shop.default.svc",), str(pki.front_proxy_ca_path)) as at:
            await _register(Client(server.transport(ITSELF)), at.port, at.authority)
            listed = await kubectl(program, kubeconfig, "get", "apiservices")
            rows = {line.split()[0]: line.split()[1:3] for line in listed.splitlines()[1:]}
            assert rows["v1.apps"] == ["Local", "True"]
            assert rows["v1.shop.example.com"] == ["default/shop", "True"]
            assert "shop.example.com/v1" in await kubectl(program, kubeconfig, "api-resources")
            widgets = await kubectl(program, kubeconfig, "get", "widgets", "-o", "jsonpath={.items[*].seenBy}")
            assert widgets == "kubernetes-admin"
            schemas = await kubectl(program, kubeconfig, "get", "flowschemas")
            assert schemas.splitlines()[1].split()[:4] == ["exempt", "exempt", "1", "<none>"]
        # The server behind is gone: everything else still answers.
        assert "default" in await kubectl(program, kubeconfig, "get", "namespaces")
    finally:
        await listeners.close()
        await server.stop()
        await store.close()
