"""The objects that scenarios are made of: small, complete, with what matters as parameters."""

from __future__ import annotations

from typing import Any, Final

from sampan.apimachinery.object import Object
from sampan.sim.stages import EXIT_CODE, FAIL_PERCENT, RUN_SECONDS

NAMESPACE: Final = "default"
SHORT_TOLERATIONS: Final = [
    {"key": f"node.kubernetes.io/{what}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 20}
    for what in ("not-ready", "unreachable")
]
"""Pods leave a silent node after twenty seconds instead of five minutes."""


def document(kind: str, version: str, name: str, namespace: str = NAMESPACE, **fields: Any) -> Object:
    metadata: Object = {"name": name} | ({"namespace": namespace} if namespace else {})
    metadata |= fields.pop("metadata", {})
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **fields}


def pod_template(app: str, image: str = "app:1", cpu: str = "100m", **spec: Any) -> Object:
    annotations = spec.pop("annotations", {})
    container = {"name": "main", "image": image, "resources": {"requests": {"cpu": cpu, "memory": "64Mi"}}}
    return {
        "metadata": {"labels": {"app": app}, "annotations": annotations},
        "spec": {"containers": [container], "tolerations": SHORT_TOLERATIONS, **spec},
    }


def deployment(name: str, replicas: int, strategy: Object | None = None, **template: Any) -> Object:
    spec: Object = {
        "replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": pod_template(name, **template),
    }
    if strategy is not None:
        spec["strategy"] = strategy
    return document("Deployment", "apps/v1", name, spec=spec)


def rolling(surge: int | str, unavailable: int | str) -> Object:
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}


def stateful_set(name: str, replicas: int, *, claims: bool = False, management: str = "OrderedReady") -> Object:
    spec: Object = {
        "replicas": replicas, "serviceName": name, "podManagementPolicy": management,
        "selector": {"matchLabels": {"app": name}}, "template": pod_template(name),
    }
    if claims:
        claim = {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "",
        }
        spec["volumeClaimTemplates"] = [{"metadata": {"name": "data"}, "spec": claim}]
    return document("StatefulSet", "apps/v1", name, spec=spec)


def daemon_set(name: str, **update: Any) -> Object:
    spec: Object = {"selector": {"matchLabels": {"app": name}}, "template": pod_template(name, cpu="10m")}
    if update:
        spec["updateStrategy"] = {"type": "RollingUpdate", "rollingUpdate": update}
    return document("DaemonSet", "apps/v1", name, spec=spec)


def job(name: str, completions: int, parallelism: int, *, seconds: int = 8, exit_code: int = 0, **spec: Any) -> Object:
    """Pods run for as long and end with that code, or fail as often as `fail_percent` says."""
    annotations = {
        RUN_SECONDS: str(seconds), EXIT_CODE: str(exit_code), FAIL_PERCENT: str(spec.pop("fail_percent", 0)),
    }
    template = pod_template(name, restartPolicy="Never", annotations=annotations)
    return document("Job", "batch/v1", name, spec={
        "completions": completions, "parallelism": parallelism, "backoffLimit": 1000, "template": template, **spec,
    })


def service(name: str, app: str) -> Object:
    return document("Service", "v1", name, spec={"selector": {"app": app}, "ports": [{"port": 80}]})


def budget(name: str, app: str, **limit: Any) -> Object:
    return document(
        "PodDisruptionBudget", "policy/v1", name, spec={"selector": {"matchLabels": {"app": app}}, **limit}
    )


def volume(name: str) -> Object:
    return document("PersistentVolume", "v1", name, "", spec={
        "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": f"/{name}"},
    })


def namespace(name: str) -> Object:
    return document("Namespace", "v1", name, "")
