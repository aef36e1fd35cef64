"""The user-facing roles: cluster-admin, admin, edit, view, and what everybody may do.

admin, edit and view collect their rules by label (ClusterRole aggregation); their rules are filled in here, so that
they hold from the first moment on.
"""

from __future__ import annotations

from sampan.apimachinery.object import Object
from sampan.apiserver.authz.rbac_bootstrap.documents import READ, READ_WRITE, WRITE, cluster_role, rule, urls

_WORKLOADS = (
    "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale "
    "statefulsets statefulsets/scale"
)

_VIEW = [
    rule(READ, "core", (
        "pods replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status endpoints "
        "persistentvolumeclaims persistentvolumeclaims/status configmaps"
    )),
    rule(READ, "core", (
        "limitranges resourcequotas bindings events pods/status resourcequotas/status namespaces/status "
        "replicationcontrollers/status pods/log"
    )),
    rule(READ, "core", "namespaces"),
    rule(READ, "discovery.k8s.io", "endpointslices"),
    rule(READ, "apps", (
        "controllerrevisions statefulsets statefulsets/status statefulsets/scale daemonsets daemonsets/status "
        "deployments deployments/status deployments/scale replicasets replicasets/status replicasets/scale"
    )),
    rule(READ, "autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status"),
    rule(READ, "batch", "jobs cronjobs cronjobs/status jobs/status"),
    rule(READ, "extensions", (
        "daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses ingresses/status "
        "replicasets replicasets/scale replicasets/status replicationcontrollers/scale networkpolicies"
    )),
    rule(READ, "policy", "poddisruptionbudgets poddisruptionbudgets/status"),
    rule(READ, "networking.k8s.io", "networkpolicies ingresses ingresses/status"),
    rule(READ, "resource.k8s.io", "resourceclaims resourceclaims/status resourceclaimtemplates"),
]

_EDIT = [
    rule(READ, "core", "pods/attach pods/proxy pods/exec pods/portforward secrets services/proxy"),
    rule("impersonate", "core", "serviceaccounts"),
    rule(WRITE, "core", "pods pods/attach pods/proxy pods/exec pods/portforward"),
    rule("create", "core", "pods/eviction"),
    rule(WRITE, "core", (
        "replicationcontrollers replicationcontrollers/scale serviceaccounts services services/proxy "
        "persistentvolumeclaims configmaps secrets events"
    )),
    rule("create", "core", "serviceaccounts/token"),
    rule(WRITE, "apps", _WORKLOADS),
    rule(WRITE, "autoscaling", "horizontalpodautoscalers"),
    rule(WRITE, "batch", "jobs cronjobs"),
    rule(WRITE, "extensions", (
        "daemonsets deployments deployments/scale deployments/rollback ingresses replicasets replicasets/scale "
        "replicationcontrollers/scale networkpolicies"
    )),
    rule(WRITE, "policy", "poddisruptionbudgets"),
    rule(WRITE, "networking.k8s.io", "networkpolicies ingresses"),
    rule(READ_WRITE, "coordination.k8s.io", "leases"),
    rule(WRITE, "resource.k8s.io", "resourceclaims resourceclaimtemplates"),
]

_ADMIN = [
    rule("create", "authorization.k8s.io", "localsubjectaccessreviews"),
    rule(READ_WRITE, "rbac.authorization.k8s.io", "roles rolebindings"),
]

ROLES: list[Object] = [
    cluster_role("cluster-admin", [rule("*", "*", "*"), urls("*", "*")]),
    cluster_role("system:discovery", [urls(
        "get", "/livez /readyz /healthz /version /version/ /openapi /openapi/* /api /api/* /apis /apis/*"
    )]),
    cluster_role("system:monitoring", [urls(
        "get", "/metrics /metrics/slis /livez /readyz /healthz /livez/* /readyz/* /healthz/*"
    )]),
    cluster_role("system:basic-user", [
        rule("create", "authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews"),
        rule("create", "authentication.k8s.io", "selfsubjectreviews"),
    ]),
    cluster_role("system:public-info-viewer", [urls("get", "/livez /readyz /healthz /version /version/")]),
    cluster_role("admin", [*_ADMIN, *_EDIT, *_VIEW], aggregate="admin"),
    cluster_role("edit", [*_EDIT, *_VIEW], labels="admin", aggregate="edit"),
    cluster_role("view", _VIEW, labels="edit", aggregate="view"),
    cluster_role("system:aggregate-to-admin", _ADMIN, labels="admin"),
    cluster_role("system:aggregate-to-edit", _EDIT, labels="edit"),
    cluster_role("system:aggregate-to-view", _VIEW, labels="view"),
]
