"""Reads metrics for autoscalers: from metrics.k8s.io, custom.metrics.k8s.io and external.metrics.k8s.io.

These are ordinary API groups that some server of the cluster provides (aggregated); where none does, the request is
answered with 404 and the metric is an error that names it.
"""

from __future__ import annotations

from datetime import timedelta

import orjson

from sampan.apimachinery import errors
from sampan.apimachinery.duration import parse_go_duration
from sampan.apimachinery.object import Object, dig, name_of
from sampan.apimachinery.quantity import milli_value
from sampan.apimachinery.selectors import from_document
from sampan.client.client import Client, Query
from sampan.controllers import times
from sampan.controllers.autoscaling.hpa_replicas import MetricError, Sample

RESOURCE = "/apis/metrics.k8s.io/v1beta1"
CUSTOM = ("/apis/custom.metrics.k8s.io/v1beta2", "/apis/custom.metrics.k8s.io/v1beta1")
EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1"


class Metrics:
    """Numbers in thousandths. Every method raises MetricError."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def of_resource(self, namespace: str, selector: str, resource: str, container: str) -> dict[str, Sample]:
        """What each selected pod uses of a resource; all its containers or one."""
        path, query = f"{RESOURCE}/namespaces/{namespace}/pods", {"labelSelector": [selector]}
        what = "unable to fetch metrics from resource metrics API"
        items = (await self._get((path,), query, what)).get("items") or []
        found: dict[str, Sample] = {}
        for item in items:
            containers = [
                one for one in item.get("containers") or () if not container or one.get("name") == container
            ]
            if container and not containers:
                text = f"container {container} not present in metrics for pod {namespace}/{name_of(item)}"
                raise MetricError(f"failed to get container metrics: {text}")
            usages = [dig(one, "usage", resource) for one in containers]
            if usages and all(usage is not None for usage in usages):
                window = parse_go_duration(item.get("window") or "1m")
                found[name_of(item)] = Sample(sum(map(milli_value, usages)), times.parse(item["timestamp"]), window)
        if not found:
            raise MetricError("no metrics returned from resource metrics API")
        return found

    async def of_pods(self, namespace: str, selector: str, metric: Object) -> dict[str, Sample]:
        """A custom metric of each selected pod."""
        query = {"labelSelector": [selector], **_metric_selector(metric)}
        items = await self._custom(f"/namespaces/{namespace}/pods/*/{metric['name']}", query)
        return {
            str(dig(item, "describedObject", "name")): Sample(
                milli_value(item["value"]), times.parse(item["timestamp"]),
                timedelta(seconds=item.get("windowSeconds") or 60),
            )
            for item in items
        }

    async def of_object(self, namespace: str, where: str, metric: Object) -> int:
        """A custom metric of one object; `where` is `services/web` or `ingresses.networking.k8s.io/web`."""
        items = await self._custom(f"/namespaces/{namespace}/{where}/{metric['name']}", _metric_selector(metric))
        return milli_value(items[0]["value"])

    async def external(self, namespace: str, metric: Object) -> int:
        """The sum of an external metric's series."""
        selector = metric.get("selector")
        query = {"labelSelector": [str(from_document(selector))]} if selector else {}
        path = f"{EXTERNAL}/namespaces/{namespace}/{metric['name']}"
        items = (await self._get((path,), query, "unable to fetch metrics from external metrics API")).get("items")
        if not items:
            raise MetricError("no metrics returned from external metrics API")
        return sum(milli_value(item["value"]) for item in items)

    async def _custom(self, path: str, query: Query) -> list[Object]:
        what = "unable to fetch metrics from custom metrics API"
        items = (await self._get(tuple(root + path for root in CUSTOM), query, what)).get("items")
        if not items:
            raise MetricError("no metrics returned from custom metrics API")
        return list(items)

    async def _get(self, paths: tuple[str, ...], query: Query, what: str) -> Object:
        """The first of `paths` that exists."""
        for path in paths:
            try:
                return orjson.loads((await self._client.raw("GET", path, query)).body)  # type: ignore[no-any-return]
            except errors.NotFound as error:
                if path == paths[-1]:
                    raise MetricError(f"{what}: {_absent(path, error)}") from error
            except errors.APIError as error:
                raise MetricError(f"{what}: {error}") from error
        raise AssertionError("there is at least one path")


def _absent(path: str, error: errors.NotFound) -> str:
    """What upstream's clients say of a metric, or a whole API, that is not there."""
    if path.startswith(RESOURCE):
        return "the server could not find the requested resource (get pods.metrics.k8s.io)"
    return str(error)


def _metric_selector(metric: Object) -> Query:
    selector = metric.get("selector")
    return {"metricLabelSelector": [str(from_document(selector))]} if selector else {}
