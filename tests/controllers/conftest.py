"""Objects for the tests of control loops, and a server with the whole controller manager on virtual time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from sampan.apimachinery.object import Object

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Make:
    """Builders of documents as the server would return them."""

    now = NOW
    now_text = "2026-01-02T03:04:05Z"

    def __init__(self) -> None:
        self._count = 0

    def meta(self, name: str, owner: Object | None = None, **fields: Any) -> Object:
        self._count += 1
        found: Object = {
            "name": name, "namespace": "default", "uid": f"uid-{name}", "resourceVersion": str(self._count),
            "creationTimestamp": "2026-01-02T03:00:00Z", "generation": 1, **fields,
        }
        if owner is not None:
            found["ownerReferences"] = [{
                "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
                "uid": owner["metadata"]["uid"], "controller": True, "blockOwnerDeletion": True,
            }]
        return found

    def template(self, image: str = "web:1", **labels: str) -> Object:
        spec = {"containers": [{"name": "c", "image": image}]}
        return {"metadata": {"labels": labels or {"app": "web"}}, "spec": spec}

    def deployment(self, name: str = "web", **spec: Any) -> Object:
        defaults = {
            "replicas": 10, "selector": {"matchLabels": {"app": "web"}}, "template": self.template(),
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "progressDeadlineSeconds": 600, "revisionHistoryLimit": 10,
        }
        return {
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": self.meta(name), "spec": {**defaults, **spec},
            "status": {},
        }

    def replica_set(self, name: str = "web-1", owner: Object | None = None, **spec: Any) -> Object:
        defaults = {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": self.template()}
        return {
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": self.meta(name, owner, labels={"app": "web"}),
            "spec": {**defaults, **spec}, "status": {"replicas": 0},
        }

    def pod(
        self, name: str, owner: Object | None = None, *, ready: bool = False, node: str = "n1", ip: str = "",
        phase: str = "Running", since: str = "2026-01-02T03:00:00Z", **metadata: Any,
    ) -> Object:
        status: Object = {"phase": phase}
        if ip:
            status |= {"podIP": ip, "podIPs": [{"ip": ip}]}
        status["conditions"] = [
            {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": since}
        ]
        labels = metadata.pop("labels", {"app": "web"})
        spec: Object = {"containers": [{"name": "c", "image": "web:1"}]}
        if node:
            spec["nodeName"] = node
        return {
            "apiVersion": "v1", "kind": "Pod", "metadata": self.meta(name, owner, labels=labels, **metadata),
            "spec": spec, "status": status,
        }

    def node(self, name: str = "n1", ready: str = "True", taints: list[Object] | None = None, **spec: Any) -> Object:
        if taints:
            spec["taints"] = taints
        rest = "Unknown" if ready == "Unknown" else "False"
        conditions = [
            {"type": type, "status": status, "lastHeartbeatTime": "2026-01-02T03:00:00Z"}
            for type, status in (
                ("Ready", ready), *((f"{what}Pressure", rest) for what in ("Memory", "Disk", "PID")),
            )
        ]
        metadata = self.meta(name)
        del metadata["namespace"]
        return {
            "apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": spec, "status": {"conditions": conditions}
        }

    def service(self, name: str = "web", **spec: Any) -> Object:
        defaults = {
            "selector": {"app": "web"}, "clusterIP": "10.96.0.20", "ipFamilies": ["IPv4"],
            "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}],
        }
        return {"apiVersion": "v1", "kind": "Service", "metadata": self.meta(name), "spec": {**defaults, **spec}}


@pytest.fixture
def make() -> Make:
    return Make()


@pytest.fixture
def flat() -> Callable[[Any], list[Any]]:
    """The writes of a plan's steps, those of parallel ones in order."""

    def flatten(plan: Any) -> list[Any]:
        found: list[Any] = []
        for step in plan.steps:
            found += getattr(step, "writes", [step])
        return found

    return flatten
