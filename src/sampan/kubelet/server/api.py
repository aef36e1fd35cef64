"""The node's own API on port 10250: who asks, may they, and which endpoint answers.

    /healthz  /pods  /runningpods  /configz
    /containerLogs/NAMESPACE/POD/CONTAINER
    /exec/NAMESPACE/POD[/UID]/CONTAINER  /attach/…  /portForward/NAMESPACE/POD[/UID]
    /stats/summary  /metrics  /metrics/resource  /metrics/cadvisor  /statusz  /flagz

Guarantee: nobody without a certificate of the cluster's CA or a valid token gets anything; without TLS files configured
the port is not opened at all.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import Protocol

import orjson

import sampan
from sampan import effects
from sampan.apimachinery import errors, zpages
from sampan.apimachinery.errors import APIError, BadRequest, NotFound
from sampan.apimachinery.http import Response
from sampan.apimachinery.object import Object, uid_of
from sampan.client.client import Client
from sampan.cri.runtime import CRIError, Runtime, Streams
from sampan.kubelet import spec
from sampan.kubelet.config import KubeletConfig, ServerTLS
from sampan.kubelet.pleg import PLEG
from sampan.kubelet.pod_set import PodSet
from sampan.kubelet.server import container_logs, stats
from sampan.kubelet.server.auth import NodeAuth, subresources, verb_of
from sampan.kubelet.server.http import MAX_HEAD_BYTES, NodeRequest, serve_connection
from sampan.kubelet.server.streaming import pass_on
from sampan.kubelet.status_manager import StatusManager

log = logging.getLogger(__name__)

RELOAD_S = 30.0
COMPONENT = "kubelet"
_PATHS = (
    "/attach", "/configz", "/containerLogs", "/exec", "/flagz", "/healthz", "/metrics", "/metrics/cadvisor",
    "/metrics/resource", "/pods", "/portForward", "/runningpods", "/stats", "/statusz",
)


class Served(Protocol):
    """What the API shows of a kubelet."""

    client: Client
    config: KubeletConfig
    runtime: Runtime
    pods: PodSet
    pleg: PLEG
    statuses: StatusManager


def server_context(tls: ServerTLS) -> ssl.SSLContext:
    """TLS that asks for a client certificate and verifies it if one is shown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(tls.cert_file, tls.key_file)
    context.load_verify_locations(tls.client_ca_file)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


class NodeAPI:
    """`run` serves until cancelled; certificates are read again when their files change."""

    def __init__(self, kubelet: Served) -> None:
        self._kubelet = kubelet
        self._auth = NodeAuth(kubelet.client, kubelet.config.node_name)
        self._previous: dict[str, tuple[int, int]] = {}
        self._began = effects.now()

    async def run(self) -> None:
        config = self._kubelet.config
        if config.tls is None:
            await asyncio.Event().wait()
            return
        context = server_context(config.tls)
        host = config.server_address or config.node_ip
        server = await asyncio.start_server(
            lambda reader, writer: serve_connection(reader, writer, self.handle), host, config.server_port, ssl=context,
            limit=MAX_HEAD_BYTES,
        )
        try:
            await self._keep_certificates(context, config.tls)
        finally:
            server.close()

    async def _keep_certificates(self, context: ssl.SSLContext, tls: ServerTLS) -> None:
        known = _stamp(tls)
        while True:
            await asyncio.sleep(RELOAD_S)
            try:
                if (now := _stamp(tls)) != known:
                    context.load_cert_chain(tls.cert_file, tls.key_file)
                    context.load_verify_locations(tls.client_ca_file)
                    known = now
            except (OSError, ssl.SSLError) as error:
                log.warning("the node API keeps its old certificate: %s", error)

    async def handle(self, node_request: NodeRequest) -> Response:
        """One request, from authentication to its answer."""
        request = node_request.request
        user = await self._auth.authenticate(request)
        if user is None:
            return _text(401, "Unauthorized")
        if not await self._auth.authorize(user, request.method, request.path):
            return _text(403, f"Forbidden (user={user.name}, verb={verb_of(request.method, request.path)}, "
                              f"resource=nodes, subresource(s)=[{' '.join(subresources(request.path))}])")
        try:
            return await self._route(node_request)
        except APIError as error:
            return _text(error.status_code, error.message)
        except CRIError as error:
            return _text(500, error.message)

    async def _route(self, node_request: NodeRequest) -> Response:
        path = [part for part in node_request.request.path.split("/") if part]
        first = path[0] if path else ""
        if first == "healthz":
            return _text(200, "ok")
        if first in ("pods", "runningpods"):
            documents = self._kubelet.pods.documents()
            return _json({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": documents})
        if first == "configz":
            return _json({"kubeletconfig": self._configuration()})
        if first in ("statusz", "flagz"):
            return self._zpage(first, node_request.request.headers.get("accept", ""))
        if first == "containerLogs":
            pod = self._pod(path[1:3], "")
            state = self._kubelet.pleg.state(uid_of(pod))
            return await container_logs.respond(
                node_request.request, pod, state, _at(path, 3), self._kubelet.runtime
            )
        if first in ("exec", "attach"):
            return await self._stream(node_request, first, path[1:])
        if first == "portForward":
            return await self._port_forward(node_request, path[1:])
        if first == "stats" or first == "metrics":
            return await self._figures("/".join(path))
        return _text(404, "404 page not found")

    def _pod(self, names: list[str], uid: str) -> Object:
        if len(names) < 2:
            raise NotFound("404 page not found")
        pod = self._kubelet.pods.named(names[0], names[1])
        if pod is None or (uid and uid_of(pod) != uid):
            raise NotFound(f'pod "{names[1]}" does not exist')
        newest = self._kubelet.statuses.get(uid_of(pod))
        return {**pod, "status": newest} if newest else pod

    async def _stream(self, node_request: NodeRequest, verb: str, path: list[str]) -> Response:
        """exec and attach, to the run of the container that is up now."""
        request = node_request.request
        uid, name = (path[2], path[3]) if len(path) == 4 else ("", _at(path, 2))
        pod = self._pod(path[:2], uid)
        container = spec.container_named(pod, name)
        run = self._kubelet.pleg.state(uid_of(pod)).latest(name)
        if container is None or run is None or not run.is_running:
            raise NotFound(f"container not found (\"{name}\")")

        def on(*names: str) -> bool:
            return any(request.param(item).lower() in ("1", "true") for item in names)

        if verb == "exec":
            command = request.query.get("command") or []
            if not command:
                raise BadRequest("you must specify at least 1 command")
            tty = on("tty")
            streams = Streams(on("input", "stdin"), on("output", "stdout"), on("error", "stderr") and not tty, tty)
            url = await self._kubelet.runtime.exec(run.id, command, streams)
        else:
            tty = bool(container.get("tty"))
            streams = Streams(on("input", "stdin"), on("output", "stdout"), on("error", "stderr") and not tty, tty)
            url = await self._kubelet.runtime.attach(run.id, streams)
        return await pass_on(node_request, url)

    async def _port_forward(self, node_request: NodeRequest, path: list[str]) -> Response:
        pod = self._pod(path[:2], _at(path, 2) if len(path) > 2 else "")
        sandbox = self._kubelet.pleg.state(uid_of(pod)).ready_sandbox
        if sandbox is None:
            raise NotFound(f"sandbox of pod \"{path[1]}\" not found")
        ports = [int(port) for port in node_request.request.query.get("port") or [] if port.isdigit()]
        return await pass_on(node_request, await self._kubelet.runtime.port_forward(sandbox.sandbox.id, ports))

    async def _figures(self, path: str) -> Response:
        kubelet = self._kubelet
        if path == "metrics":
            states = kubelet.pleg.states()
            text = stats.kubelet_metrics(
                sum(state.is_live for state in states), sum(len(state.running) for state in states),
                kubelet.config.node_name,
            )
            return _metrics(text)
        found = await kubelet.runtime.list_stats()
        started_ns = {run.id: run.status.started_at_ns for state in kubelet.pleg.states() for run in state.running}
        usage = stats.Usage(
            kubelet.config.node_name, kubelet.pods.documents(), found, kubelet.config.root_dir, self._previous,
            started_ns,
        )
        if path == "metrics/resource":
            return _metrics(stats.resource_metrics(usage))
        if path == "metrics/cadvisor":
            return _metrics(stats.cadvisor_metrics(usage))
        if path in ("stats", "stats/summary"):
            document = stats.summary(usage)
            self._previous = {item.id: (item.timestamp_ns, item.cpu_usage_ns) for item in found}
            busy_ns = document["node"]["cpu"]["usageCoreNanoSeconds"]
            self._previous["node"] = (int(effects.monotonic() * 1e9), busy_ns)
            return _json(document)
        return _text(404, "404 page not found")

    def _zpage(self, name: str, accept: str) -> Response:
        if name == "flagz":
            return zpages.flagz(accept, COMPONENT, zpages.flags_of(self._kubelet.config))
        times = self._began, effects.now()
        return zpages.statusz(accept, COMPONENT, sampan.KUBERNETES_VERSION, times, _PATHS)

    def _configuration(self) -> Object:
        config = self._kubelet.config
        return {
            "kind": "KubeletConfiguration", "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "clusterDomain": config.cluster_domain, "clusterDNS": list(config.cluster_dns),
            "maxPods": config.max_pods, "port": config.server_port, "cgroupDriver": "cgroupfs",
            "containerLogMaxSize": str(config.log_max_size_bytes), "containerLogMaxFiles": config.log_max_files,
            "authentication": {"anonymous": {"enabled": False}}, "authorization": {"mode": "Webhook"},
        }


def _stamp(tls: ServerTLS) -> tuple[int, ...]:
    return tuple(path.stat().st_mtime_ns for path in (tls.cert_file, tls.key_file, tls.client_ca_file))


def _at(path: list[str], position: int) -> str:
    if position >= len(path):
        raise errors.NotFound("404 page not found")
    return path[position]


def _text(status: int, text: str) -> Response:
    return Response(status, {"content-type": "text/plain; charset=utf-8"}, text.encode())


def _metrics(text: str) -> Response:
    return Response(200, {"content-type": "text/plain; version=0.0.4"}, text.encode())


def _json(document: Object) -> Response:
    return Response(200, {"content-type": "application/json"}, orjson.dumps(document))
