"""A role for each controller, named `system:controller:NAME` and bound to the ServiceAccount NAME in kube-system."""

from __future__ import annotations

from sampan.apimachinery.object import Object
from sampan.apiserver.authz.rbac_bootstrap.documents import EVENTS, READ, cluster_role, cluster_role_binding, rule

_PREFIX = "system:controller:"
_ANY_APPS = "apps extensions"
_CERTIFICATES = "certificates.k8s.io"
_SIGNERS = (
    "kubernetes.io/kube-apiserver-client kubernetes.io/kube-apiserver-client-kubelet kubernetes.io/kubelet-serving "
    "kubernetes.io/legacy-unknown"
)

RULES: dict[str, list[Object]] = {
    "attachdetach-controller": [
        rule("list watch", "core", "persistentvolumes persistentvolumeclaims pods"),
        rule(READ, "core", "nodes"),
        rule("patch update", "core", "nodes/status"),
        EVENTS,
        rule("get create delete list watch", "storage.k8s.io", "volumeattachments"),
        rule(READ, "storage.k8s.io", "csidrivers csinodes"),
    ],
    "clusterrole-aggregation-controller": [
        rule("escalate get list watch update patch", "rbac.authorization.k8s.io", "clusterroles"),
    ],
    "cronjob-controller": [
        rule("get list watch update", "batch", "cronjobs"),
        rule("get list watch create update delete patch", "batch", "jobs"),
        rule("update", "batch", "cronjobs/status cronjobs/finalizers"),
        rule("list watch delete", "core", "pods"),
        EVENTS,
    ],
    "daemon-set-controller": [
        rule(READ, _ANY_APPS, "daemonsets"),
        rule("update", _ANY_APPS, "daemonsets/status daemonsets/finalizers"),
        rule("list watch", "core", "nodes"),
        rule("list watch create delete patch", "core", "pods"),
        rule("create", "core", "pods/binding"),
        rule("get list watch create delete update patch", "apps", "controllerrevisions"),
        EVENTS,
    ],
    "deployment-controller": [
        rule("get list watch update", _ANY_APPS, "deployments"),
        rule("update", _ANY_APPS, "deployments/status deployments/finalizers"),
        rule("get list watch create update patch delete", _ANY_APPS, "replicasets"),
        rule("get list watch update", "core", "pods"),
        EVENTS,
    ],
    "device-taint-eviction-controller": [
        rule("get list watch delete", "core", "pods"),
        rule("patch update", "core", "pods/status"),
        rule(READ, "resource.k8s.io", "resourceclaims resourceslices deviceclasses devicetaintrules"),
        rule("patch update", "resource.k8s.io", "devicetaintrules/status"),
        EVENTS,
    ],
    "disruption-controller": [
        rule(READ, _ANY_APPS, "deployments replicasets"),
        rule(READ, "core", "replicationcontrollers"),
        rule(READ, "policy", "poddisruptionbudgets"),
        rule(READ, "apps", "statefulsets"),
        rule("update", "policy", "poddisruptionbudgets/status"),
        rule("patch update", "core", "pods/status"),
        rule("get", "*", "*/scale"),
        EVENTS,
    ],
    "endpoint-controller": [
        rule(READ, "core", "services pods"),
        rule("get list watch create update delete", "core", "endpoints"),
        rule("create", "core", "endpoints/restricted"),
        EVENTS,
    ],
    "endpointslice-controller": [
        rule(READ, "core", "services pods nodes"),
        rule("update", "core", "services/finalizers"),
        rule("get list watch create update delete", "discovery.k8s.io", "endpointslices"),
        EVENTS,
    ],
    "endpointslicemirroring-controller": [
        rule(READ, "core", "services endpoints"),
        rule("update", "core", "services/finalizers endpoints/finalizers"),
        rule("get list watch create update delete", "discovery.k8s.io", "endpointslices"),
        EVENTS,
    ],
    "expand-controller": [
        rule(f"{READ} update patch", "core", "persistentvolumes"),
        rule("update patch", "core", "persistentvolumeclaims/status"),
        rule(READ, "core", "persistentvolumeclaims"),
        EVENTS,
    ],
    "ephemeral-volume-controller": [
        rule(READ, "core", "pods"),
        rule("update", "core", "pods/finalizers"),
        rule("get list watch create", "core", "persistentvolumeclaims"),
        EVENTS,
    ],
    "resource-claim-controller": [
        rule(READ, "core", "pods"),
        rule("update", "core", "pods/finalizers"),
        rule("get list watch create delete", "resource.k8s.io", "resourceclaims"),
        rule("update patch", "resource.k8s.io", "resourceclaims resourceclaims/status resourceclaims/binding"),
        rule("update patch", "core", "pods/status"),
        EVENTS,
    ],
    "generic-garbage-collector": [rule("get list watch patch update delete", "*", "*"), EVENTS],
    "horizontal-pod-autoscaler": [
        rule(READ, "autoscaling", "horizontalpodautoscalers"),
        rule("update", "autoscaling", "horizontalpodautoscalers/status"),
        rule("get update", "*", "*/scale"),
        rule("list watch", "core", "pods"),
        rule("list watch", "metrics.k8s.io", "pods"),
        rule(READ, "custom.metrics.k8s.io external.metrics.k8s.io", "*"),
        EVENTS,
    ],
    "job-controller": [
        rule(f"{READ} update patch", "batch", "jobs"),
        rule("update", "batch", "jobs/status jobs/finalizers"),
        rule("list watch create delete patch", "core", "pods"),
        EVENTS,
    ],
    "namespace-controller": [
        rule("get list watch delete", "core", "namespaces"),
        rule("update", "core", "namespaces/finalize namespaces/status"),
        rule("get list watch delete deletecollection", "*", "*"),
    ],
    "node-controller": [
        rule("get list watch update delete patch", "core", "nodes"),
        rule("patch update", "core", "nodes/status pods/status"),
        rule("list watch get delete", "core", "pods"),
        rule(READ, "coordination.k8s.io", "leases"),
        EVENTS,
    ],
    "persistent-volume-binder": [
        rule("get list watch update create delete", "core", "persistentvolumes"),
        rule("update", "core", "persistentvolumes/status persistentvolumeclaims/status"),
        rule("get list watch update", "core", "persistentvolumeclaims"),
        rule("list watch get create delete", "core", "pods"),
        rule(READ, "storage.k8s.io", "storageclasses"),
        rule("list watch", "core", "nodes"),
        EVENTS,
        rule("watch", "core", "events"),
    ],
    "pod-garbage-collector": [
        rule("list watch delete", "core", "pods"),
        rule(READ, "core", "nodes"),
        rule("patch", "core", "pods/status"),
    ],
    "replicaset-controller": [
        rule("get list watch update", _ANY_APPS, "replicasets"),
        rule("update", _ANY_APPS, "replicasets/status replicasets/finalizers"),
        rule("list watch patch create delete", "core", "pods"),
        EVENTS,
    ],
    "replication-controller": [
        rule("get list watch update", "core", "replicationcontrollers"),
        rule("update", "core", "replicationcontrollers/status replicationcontrollers/finalizers"),
        rule("list watch patch create delete", "core", "pods"),
        EVENTS,
    ],
    "resourcequota-controller": [
        rule("list watch", "*", "*"), rule("update", "core", "resourcequotas/status"), EVENTS,
    ],
    "route-controller": [rule("list watch", "core", "nodes"), rule("patch", "core", "nodes/status"), EVENTS],
    "service-account-controller": [rule("create", "core", "serviceaccounts"), EVENTS],
    "service-controller": [
        rule(READ, "core", "services"),
        rule("patch update", "core", "services/status"),
        rule("list watch", "core", "nodes"),
        EVENTS,
    ],
    "service-cidrs-controller": [
        rule(f"{READ} patch update", "networking.k8s.io", "servicecidrs"),
        rule("patch update", "networking.k8s.io", "servicecidrs/finalizers servicecidrs/status"),
        rule(READ, "networking.k8s.io", "ipaddresses"),
        EVENTS,
    ],
    "statefulset-controller": [
        rule("list watch", "core", "pods"),
        rule(READ, "apps", "statefulsets"),
        rule("update", "apps", "statefulsets/status statefulsets/finalizers"),
        rule("get create delete update patch", "core", "pods"),
        rule("get create delete update patch list watch", "apps", "controllerrevisions"),
        rule("get create list watch update delete", "core", "persistentvolumeclaims"),
        rule("update", "core", "pods/finalizers"),
        EVENTS,
    ],
    "ttl-controller": [rule("update patch list watch", "core", "nodes"), EVENTS],
    "certificate-controller": [
        rule("get list watch delete", _CERTIFICATES, "certificatesigningrequests"),
        rule("update", _CERTIFICATES, "certificatesigningrequests/status certificatesigningrequests/approval"),
        rule("approve", _CERTIFICATES, "signers", names="kubernetes.io/kube-apiserver-client-kubelet"),
        rule("sign", _CERTIFICATES, "signers", names=_SIGNERS),
        rule("create", "authorization.k8s.io", "subjectaccessreviews"),
        EVENTS,
    ],
    "pvc-protection-controller": [
        rule("get list watch update", "core", "persistentvolumeclaims"), rule(READ, "core", "pods"), EVENTS,
    ],
    "pv-protection-controller": [rule("get list watch update", "core", "persistentvolumes"), EVENTS],
    "volumeattributesclass-protection-controller": [
        rule(READ, "core", "persistentvolumeclaims persistentvolumes"),
        rule("get list watch update", "storage.k8s.io", "volumeattributesclasses"),
        EVENTS,
    ],
    "ttl-after-finished-controller": [rule("get list watch delete", "batch", "jobs"), EVENTS],
    "root-ca-cert-publisher": [rule("create update", "core", "configmaps"), EVENTS],
    "validatingadmissionpolicy-status-controller": [
        rule(READ, "admissionregistration.k8s.io", "validatingadmissionpolicies"),
        rule("get patch update", "admissionregistration.k8s.io", "validatingadmissionpolicies/status"),
        EVENTS,
    ],
    "storage-version-migrator-controller": [
        rule("list patch", "*", "*"),
        rule("update", "storagemigration.k8s.io", "storageversionmigrations/status"),
        rule("get", "apiextensions.k8s.io", "customresourcedefinitions"),
        rule("patch", "apiextensions.k8s.io", "customresourcedefinitions/status"),
    ],
    "podcertificaterequestcleaner": [rule("get list watch delete", _CERTIFICATES, "podcertificaterequests")],
    "kube-apiserver-serving-clustertrustbundle-publisher": [
        rule("attest", _CERTIFICATES, "signers", names="kubernetes.io/kube-apiserver-serving"),
        rule("create update delete list watch", _CERTIFICATES, "clustertrustbundles"),
        EVENTS,
    ],
    "legacy-service-account-token-cleaner": [
        rule("get", "core", "configmaps", names="kube-apiserver-legacy-service-account-token-tracking"),
        rule("patch delete", "core", "secrets"),
    ],
    "selinux-warning-controller": [
        EVENTS,
        rule(READ, "core", "persistentvolumes persistentvolumeclaims pods"),
        rule(READ, "storage.k8s.io", "csidrivers"),
    ],
}

ROLES: list[Object] = [cluster_role(_PREFIX + name, rules) for name, rules in RULES.items()]

BINDINGS: list[Object] = [cluster_role_binding(_PREFIX + name, f"sa:kube-system:{name}") for name in RULES]
