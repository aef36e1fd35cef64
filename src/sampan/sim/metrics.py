"""Simulated resource metrics: metrics.k8s.io as a metrics server would answer it, from a load that the scenario sets.

The load of an app (its label `app`) is spread evenly over its ready pods. It stands in front of the API server, where
an aggregated API would be. It can have trouble of its own: answer late, know only what was a while ago, know nothing of
some pods, or not answer at all. Whoever listens is told what was answered to whom.
"""

from __future__ import annotations

import asyncio
import zlib
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, TypeAlias

import orjson

from sampan import effects
from sampan.api.resources import PODS
from sampan.apimachinery import errors
from sampan.apimachinery.http import Request, Response
from sampan.apimachinery.object import Object, labels_of, name_of, namespace_of
from sampan.apimachinery.selectors import parse
from sampan.apiserver.server import APIServer
from sampan.controllers import times
from sampan.sim.cause import CAUSE, Life
from sampan.sim.network import Handle
from sampan.sim.world import is_active, is_ready

PREFIX: Final = "/apis/metrics.k8s.io/v1beta1/namespaces/"
Curve: TypeAlias = Callable[[float], int]
"""A load in thousandths of a CPU at a time."""


@dataclass(frozen=True, slots=True)
class Told:
    """One answer: asked when and by whom, what each pod of an app was said to use, and how long ago that was; None if
    there was no answer."""

    asked_at_s: float
    life: Life
    usages_milli: Mapping[str, int] | None
    old_s: float = 0.0


@dataclass(slots=True)
class Trouble:
    """`missing_percent` of the pods are not known, always the same ones."""

    late_s: float = 0.0
    old_s: float = 0.0
    missing_percent: int = 0
    down: bool = False


class SimMetrics:
    """`curves[app]` is the CPU that an app's pods use together."""

    def __init__(self) -> None:
        self.curves: dict[str, Curve] = {}
        self.trouble = Trouble()
        self.listeners: list[Callable[[str, Told], None]] = []
        """Called with the app before it is answered."""
        self._steps: defaultdict[str, list[tuple[float, Curve]]] = defaultdict(list)

    def set(self, app: str, load: int | Curve) -> None:
        """From now on."""
        curve = load if callable(load) else _constant(load)
        self._steps[app].append((effects.monotonic(), curve))
        self.curves[app] = curve

    def load_milli(self, app: str, at_s: float) -> int:
        """What it was or is."""
        steps = self._steps[app]
        found = bisect_right(steps, at_s, key=lambda step: step[0])
        return steps[max(found - 1, 0)][1](at_s) if steps else 0

    def before(self, server: APIServer) -> Handle:
        """What answers requests for metrics itself and hands the others on."""

        async def handle(request: Request) -> Response:
            if not request.path.startswith(PREFIX):
                return await server.handle(request)
            asked_at_s, trouble = effects.monotonic(), self.trouble
            if trouble.late_s:
                await asyncio.sleep(trouble.late_s)
            app = request.param("labelSelector").removeprefix("app=")
            if trouble.down:
                self._told(app, Told(asked_at_s, CAUSE.get().life, None))
                raise errors.ServiceUnavailable("the metrics server is away")
            items = self._items(server, request, trouble)
            usages = {one["metadata"]["name"]: _milli(one) for one in items}
            self._told(app, Told(asked_at_s, CAUSE.get().life, usages, trouble.old_s))
            head = {"kind": "PodMetricsList", "apiVersion": "metrics.k8s.io/v1beta1", "metadata": {}}
            return Response(200, {"content-type": "application/json"}, orjson.dumps({**head, "items": items}))

        return handle

    def _told(self, app: str, told: Told) -> None:
        for listener in self.listeners:
            listener(app, told)

    def _items(self, server: APIServer, request: Request, trouble: Trouble) -> list[Object]:
        namespace = request.path.removeprefix(PREFIX).partition("/")[0]
        selector = parse(request.param("labelSelector"))
        ready = [pod for pod in server.reader.list(PODS, namespace) if is_active(pod) and is_ready(pod)]
        known = [pod for pod in ready if zlib.crc32(name_of(pod).encode()) % 100 >= trouble.missing_percent]
        return [self._usage(pod, ready, trouble.old_s) for pod in known if selector.matches(labels_of(pod))]

    def _usage(self, pod: Object, pods: list[Object], old_s: float) -> Object:
        app = labels_of(pod).get("app", "")
        load = self.load_milli(app, effects.monotonic() - old_s)
        share = load // max(1, sum(1 for one in pods if labels_of(one).get("app") == app))
        containers = [{"name": "main", "usage": {"cpu": f"{share}m", "memory": "32Mi"}}]
        metadata = {"name": name_of(pod), "namespace": namespace_of(pod), "labels": labels_of(pod)}
        at = times.text(effects.now() - timedelta(seconds=old_s))
        return {"metadata": metadata, "timestamp": at, "window": "15s", "containers": containers}


def _constant(load: int) -> Curve:
    return lambda at_s: load


def _milli(item: Object) -> int:
    return int(item["containers"][0]["usage"]["cpu"].removesuffix("m"))
