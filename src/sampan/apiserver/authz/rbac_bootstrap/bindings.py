"""Who gets the bootstrap roles."""

from __future__ import annotations

from sampan.apimachinery.object import Object
from sampan.apiserver.authz.rbac_bootstrap.documents import cluster_role_binding, role_binding

_EVERYBODY = "group:system:authenticated group:system:unauthenticated"
_MANAGER, _SCHEDULER = "user:system:kube-controller-manager", "user:system:kube-scheduler"

CLUSTER_BINDINGS: list[Object] = [
    cluster_role_binding("cluster-admin", "group:system:masters"),
    cluster_role_binding("system:monitoring", "group:system:monitoring"),
    cluster_role_binding("system:discovery", "group:system:authenticated"),
    cluster_role_binding("system:basic-user", "group:system:authenticated"),
    cluster_role_binding("system:public-info-viewer", _EVERYBODY),
    cluster_role_binding("system:node-proxier", "user:system:kube-proxy"),
    cluster_role_binding("system:kube-controller-manager", _MANAGER),
    cluster_role_binding("system:kube-dns", "sa:kube-system:kube-dns"),
    cluster_role_binding("system:kube-scheduler", _SCHEDULER),
    cluster_role_binding("system:volume-scheduler", _SCHEDULER),
    # Nodes get their rights from the Node authoriser; the binding stays, without subjects, as upstream keeps it.
    cluster_role_binding("system:node", ""),
    cluster_role_binding("system:service-account-issuer-discovery", "group:system:serviceaccounts"),
    cluster_role_binding("system:cluster-trust-bundle-discovery", "group:system:serviceaccounts"),
]

BINDINGS: list[Object] = [
    role_binding(
        "kube-system", "system::extension-apiserver-authentication-reader", f"{_MANAGER} {_SCHEDULER}",
        role_name="extension-apiserver-authentication-reader",
    ),
    role_binding(
        "kube-system", "system::leader-locking-kube-controller-manager",
        f"{_MANAGER} sa:kube-system:kube-controller-manager",
    ),
    role_binding(
        "kube-system", "system::leader-locking-kube-scheduler", f"{_SCHEDULER} sa:kube-system:kube-scheduler",
    ),
    role_binding("kube-system", "system:controller:bootstrap-signer", "sa:kube-system:bootstrap-signer"),
    role_binding("kube-system", "system:controller:cloud-provider", "sa:kube-system:cloud-provider"),
    role_binding("kube-system", "system:controller:token-cleaner", "sa:kube-system:token-cleaner"),
    role_binding("kube-public", "system:controller:bootstrap-signer", "sa:kube-system:bootstrap-signer"),
]
