"""The roles of the control plane's components, of nodes and of common add-ons."""

from __future__ import annotations

from sampan.apimachinery.object import Object
from sampan.apiserver.authz.rbac_bootstrap.documents import EVENTS, READ, cluster_role, role, rule, urls

_CERTIFICATES = "certificates.k8s.io"
_ACCESS_CHECKS = [
    rule("create", "authentication.k8s.io", "tokenreviews"),
    rule("create", "authorization.k8s.io", "subjectaccessreviews"),
]

NODE_RULES: list[Object] = [
    rule("create", "authentication.k8s.io", "tokenreviews"),
    rule("create", "authorization.k8s.io", "subjectaccessreviews localsubjectaccessreviews"),
    rule(READ, "core", "services"),
    rule("create get list watch", "core", "nodes"),
    rule("update patch", "core", "nodes/status"),
    rule("update patch", "core", "nodes"),
    rule("create update patch", "core", "events"),
    rule(READ, "core", "pods"),
    rule("create delete", "core", "pods"),
    rule("update patch", "core", "pods/status"),
    rule("create", "core", "pods/eviction"),
    rule(READ, "core", "secrets configmaps"),
    rule("get", "core", "persistentvolumeclaims persistentvolumes"),
    rule("get", "core", "endpoints"),
    rule("create get list watch", _CERTIFICATES, "certificatesigningrequests"),
    rule("get create update patch delete", "coordination.k8s.io", "leases"),
    rule("get", "storage.k8s.io", "volumeattachments"),
    rule("get update patch", "core", "persistentvolumeclaims/status"),
    rule("create", "core", "serviceaccounts/token"),
    rule("get", "core", "serviceaccounts"),
    rule(READ, "storage.k8s.io", "csidrivers"),
    rule("get create update patch delete", "storage.k8s.io", "csinodes"),
    rule(READ, "node.k8s.io", "runtimeclasses"),
    rule("get", "resource.k8s.io", "resourceclaims"),
    rule("deletecollection", "resource.k8s.io", "resourceslices"),
    rule(READ, _CERTIFICATES, "clustertrustbundles"),
]

_CONTROLLER_MANAGER = [
    EVENTS,
    rule("create", "coordination.k8s.io", "leases"),
    rule("get update", "coordination.k8s.io", "leases", names="kube-controller-manager"),
    rule("create", "core", "secrets serviceaccounts"),
    rule("delete", "core", "secrets"),
    rule("get", "core", "namespaces secrets serviceaccounts configmaps"),
    rule("update", "core", "secrets serviceaccounts"),
    *_ACCESS_CHECKS,
    rule("list watch", "*", "*"),
    rule("create", "core", "serviceaccounts/token"),
]

_SCHEDULER = [
    EVENTS,
    rule("create", "coordination.k8s.io", "leases"),
    rule("get update", "coordination.k8s.io", "leases", names="kube-scheduler"),
    rule(READ, "core", "nodes namespaces"),
    rule("get list watch delete", "core", "pods"),
    rule("create", "core", "pods/binding bindings"),
    rule("patch update", "core", "pods/status"),
    rule(READ, "core", "services replicationcontrollers"),
    rule(READ, "apps extensions", "replicasets"),
    rule(READ, "apps", "statefulsets"),
    rule(READ, "policy", "poddisruptionbudgets"),
    rule(READ, "core", "persistentvolumeclaims persistentvolumes"),
    *_ACCESS_CHECKS,
    rule(READ, "storage.k8s.io", "csinodes csidrivers csistoragecapacities volumeattachments"),
    rule(READ, "resource.k8s.io", "deviceclasses devicetaintrules resourceslices"),
    rule(f"{READ} update patch", "resource.k8s.io", "resourceclaims/status resourceclaims"),
    rule("update patch", "resource.k8s.io", "resourceclaims/binding"),
    rule(f"{READ} update patch", "core", "pods/finalizers"),
    rule(READ, "scheduling.k8s.io", "podgroups workloads"),
    rule("patch update", "scheduling.k8s.io", "podgroups/status"),
]

_KUBELET_API = "nodes/proxy nodes/metrics nodes/configz nodes/healthz nodes/pods nodes/stats nodes/log"


def _approver(name: str, signer: str) -> Object:
    return cluster_role(f"system:{_CERTIFICATES}:{name}", [rule("approve", _CERTIFICATES, "signers", names=signer)])


def _csr_creator(kind: str) -> Object:
    resource = f"certificatesigningrequests/{kind}"
    return cluster_role(
        f"system:{_CERTIFICATES}:certificatesigningrequests:{kind}", [rule("create", _CERTIFICATES, resource)]
    )


ROLES: list[Object] = [
    cluster_role("system:heapster", [
        rule(READ, "core", "events pods nodes namespaces"), rule(READ, "extensions", "deployments"),
    ]),
    cluster_role("system:node", NODE_RULES),
    cluster_role("system:node-problem-detector", [
        rule("get", "core", "nodes"), rule("patch", "core", "nodes/status"), EVENTS,
    ]),
    cluster_role("system:kubelet-api-admin", [
        rule(READ, "core", "nodes"), rule("proxy", "core", "nodes"), rule("*", "core", _KUBELET_API),
    ]),
    cluster_role("system:node-bootstrapper", [
        rule("create get list watch", _CERTIFICATES, "certificatesigningrequests"),
    ]),
    cluster_role("system:auth-delegator", _ACCESS_CHECKS),
    cluster_role("system:kube-aggregator", [rule(READ, "core", "services endpoints")]),
    cluster_role("system:kube-controller-manager", _CONTROLLER_MANAGER),
    # Cluster DNS reads pods for `pod-ip.namespace.pod` names and namespaces to know which names exist.
    cluster_role("system:kube-dns", [
        rule("list watch", "core", "endpoints services pods namespaces"),
        rule("list watch", "discovery.k8s.io", "endpointslices"),
    ]),
    cluster_role("system:persistent-volume-provisioner", [
        rule("get list watch create delete", "core", "persistentvolumes"),
        rule("get list watch update", "core", "persistentvolumeclaims"),
        rule(READ, "storage.k8s.io", "storageclasses"),
        rule("watch", "core", "events"),
        EVENTS,
    ]),
    _csr_creator("nodeclient"),
    _csr_creator("selfnodeclient"),
    cluster_role("system:volume-scheduler", [
        rule(f"{READ} patch update", "core", "persistentvolumes"),
        rule(READ, "storage.k8s.io", "storageclasses"),
        rule(f"{READ} patch update", "core", "persistentvolumeclaims"),
    ]),
    _approver("legacy-unknown-approver", "kubernetes.io/legacy-unknown"),
    _approver("kubelet-serving-approver", "kubernetes.io/kubelet-serving"),
    _approver("kube-apiserver-client-approver", "kubernetes.io/kube-apiserver-client"),
    _approver("kube-apiserver-client-kubelet-approver", "kubernetes.io/kube-apiserver-client-kubelet"),
    cluster_role("system:service-account-issuer-discovery", [
        urls("get", (
            "/.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/"
        )),
    ]),
    cluster_role("system:node-proxier", [
        rule("list watch", "core", "services endpoints"),
        rule(READ, "core", "nodes"),
        EVENTS,
        rule("list watch", "discovery.k8s.io", "endpointslices"),
        rule("list watch", "networking.k8s.io", "servicecidrs"),
    ]),
    cluster_role("system:kube-scheduler", _SCHEDULER),
    cluster_role("system:cluster-trust-bundle-discovery", [rule(READ, _CERTIFICATES, "clustertrustbundles")]),
]

_LEADER_LOCKING = [rule(f"{READ} create update", "coordination.k8s.io", "leases leasecandidates")]

NAMESPACED_ROLES: list[Object] = [
    role("kube-system", "extension-apiserver-authentication-reader", [
        rule(READ, "core", "configmaps", names="extension-apiserver-authentication"),
    ]),
    role("kube-system", "system:controller:bootstrap-signer", [rule(READ, "core", "secrets")]),
    role("kube-system", "system:controller:cloud-provider", [
        rule("create get list watch", "core", "configmaps"),
    ]),
    role("kube-system", "system:controller:token-cleaner", [
        rule("get list watch delete", "core", "secrets"), EVENTS,
    ]),
    role("kube-system", "system::leader-locking-kube-controller-manager", _LEADER_LOCKING),
    role("kube-system", "system::leader-locking-kube-scheduler", _LEADER_LOCKING),
    role("kube-public", "system:controller:bootstrap-signer", [
        rule(READ, "core", "configmaps"),
        rule("update", "core", "configmaps", names="cluster-info"),
        EVENTS,
    ]),
]
