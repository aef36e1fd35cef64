"""Simulated resource metrics: metrics.k8s.io as a metrics server would answer it, from a load that the scenario sets.

The load of an app (its label `app`) is spread evenly over its ready pods. It stands in front of the API server, where
an aggregated API would be.
"""

from __future__ import annotations

from typing import Final

import orjson

from sampan import effects
from sampan.api.resources import PODS
from sampan.apimachinery.http import Request, Response
from sampan.apimachinery.object import Object, labels_of, name_of, namespace_of
from sampan.apimachinery.selectors import parse
from sampan.apiserver.server import APIServer
from sampan.sim.network import Handle
from sampan.sim.world import is_active, is_ready

PREFIX: Final = "/apis/metrics.k8s.io/v1beta1/namespaces/"


class SimMetrics:
    """`load_milli[app]` is the CPU that an app's pods use together, in thousandths."""

    def __init__(self) -> None:
        self.load_milli: dict[str, int] = {}

    def before(self, server: APIServer) -> Handle:
        """What answers requests for metrics itself and hands the others on."""

        async def handle(request: Request) -> Response:
            if not request.path.startswith(PREFIX):
                return await server.handle(request)
            namespace = request.path.removeprefix(PREFIX).partition("/")[0]
            pods = [pod for pod in server.reader.list(PODS, namespace) if is_active(pod) and is_ready(pod)]
            selector = parse(request.param("labelSelector"))
            items = [self._usage(pod, pods) for pod in pods if selector.matches(labels_of(pod))]
            head = {"kind": "PodMetricsList", "apiVersion": "metrics.k8s.io/v1beta1", "metadata": {}}
            return Response(200, {"content-type": "application/json"}, orjson.dumps({**head, "items": items}))

        return handle

    def _usage(self, pod: Object, pods: list[Object]) -> Object:
        app = labels_of(pod).get("app", "")
        share = self.load_milli.get(app, 0) // max(1, sum(1 for one in pods if labels_of(one).get("app") == app))
        containers = [{"name": "main", "usage": {"cpu": f"{share}m", "memory": "32Mi"}}]
        metadata = {"name": name_of(pod), "namespace": namespace_of(pod), "labels": labels_of(pod)}
        return {"metadata": metadata, "timestamp": effects.timestamp(), "window": "15s", "containers": containers}
