"""What the add-on keeps in the cluster: its StorageClass, and the right to provision."""

from __future__ import annotations

from sampan.apimachinery.object import Object

PROVISIONER = "sampan.dev/node-local"
ACCOUNT = "node-local-storage"
NAMESPACE = "kube-system"
CLASS = "standard"
_RBAC = "rbac.authorization.k8s.io"
_READ = ["get", "list", "watch"]

STORAGE_CLASS: Object = {
    "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
    "metadata": {"name": CLASS, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
    "provisioner": PROVISIONER, "reclaimPolicy": "Delete", "volumeBindingMode": "WaitForFirstConsumer",
}

ROLE: Object = {
    "apiVersion": f"{_RBAC}/v1", "kind": "ClusterRole", "metadata": {"name": f"sampan:{ACCOUNT}"},
    "rules": [
        {"apiGroups": [""], "resources": ["persistentvolumeclaims"], "verbs": _READ},
        {"apiGroups": [""], "resources": ["persistentvolumes"], "verbs": [*_READ, "create", "patch", "delete"]},
        {"apiGroups": ["storage.k8s.io"], "resources": ["storageclasses"], "verbs": _READ},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
    ],
}

BINDING: Object = {
    "apiVersion": f"{_RBAC}/v1", "kind": "ClusterRoleBinding", "metadata": {"name": f"sampan:{ACCOUNT}"},
    "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": f"sampan:{ACCOUNT}"},
    "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE}],
}
