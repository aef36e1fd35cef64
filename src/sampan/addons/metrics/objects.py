"""What the add-on keeps in the cluster: its APIService, the Service behind it, and who may read what."""

from __future__ import annotations

import base64

from sampan.addons.metrics.documents import GROUP, VERSION
from sampan.apimachinery.object import Object

NAMESPACE, NAME = "kube-system", "metrics-server"
PORT = 4443
SERVER_NAME = f"{NAME}.{NAMESPACE}.svc"
_RBAC = "rbac.authorization.k8s.io"
_LABELS = {"k8s-app": NAME}

READER: Object = {
    "apiVersion": f"{_RBAC}/v1", "kind": "ClusterRole",
    "metadata": {"name": "system:aggregated-metrics-reader", "labels": {
        **_LABELS, **{f"{_RBAC}/aggregate-to-{role}": "true" for role in ("admin", "edit", "view")},
    }},
    "rules": [{"apiGroups": [GROUP], "resources": ["pods", "nodes"], "verbs": ["get", "list", "watch"]}],
}
ROLE: Object = {
    "apiVersion": f"{_RBAC}/v1", "kind": "ClusterRole",
    "metadata": {"name": f"system:{NAME}", "labels": _LABELS},
    "rules": [
        {"apiGroups": [""], "resources": ["nodes", "pods"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": [""], "resources": ["nodes/proxy", "nodes/metrics"], "verbs": ["get"]},
    ],
}
BINDING: Object = {
    "apiVersion": f"{_RBAC}/v1", "kind": "ClusterRoleBinding",
    "metadata": {"name": f"system:{NAME}", "labels": _LABELS},
    "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": f"system:{NAME}"},
    "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}],
}
SERVICE: Object = {
    "apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": _LABELS},
    "spec": {"ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": PORT}]},
}


def endpoint_slice(address: str) -> Object:
    """Where it is served: on the control plane's node, by no pod."""
    return {
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": f"{NAME}-control-plane", "namespace": NAMESPACE, "labels": {
            "kubernetes.io/service-name": NAME, "endpointslice.kubernetes.io/managed-by": "sampan",
        }},
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": [{"name": "https", "port": PORT, "protocol": "TCP"}],
    }


def api_service(ca: bytes) -> Object:
    """`ca` is the PEM of who signed the server's certificate."""
    return {
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": f"{VERSION}.{GROUP}", "labels": _LABELS},
        "spec": {
            "group": GROUP, "version": VERSION, "groupPriorityMinimum": 100, "versionPriority": 100,
            "caBundle": base64.b64encode(ca).decode(), "service": {"name": NAME, "namespace": NAMESPACE, "port": 443},
        },
    }
