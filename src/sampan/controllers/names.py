"""The other names of controllers: those that upstream's flag took before they all ended in `-controller`, and those of
their queues in metrics."""

from __future__ import annotations

from collections.abc import Mapping

WITH_BOOTSTRAP = "*,bootstrap-signer-controller,token-cleaner-controller"
"""All, and the two that `*` leaves out, for clusters whose nodes may join with bootstrap tokens; as kubeadm has it."""

ALIASES: Mapping[str, str] = {
    "attachdetach": "persistentvolume-attach-detach-controller",
    "bootstrapsigner": "bootstrap-signer-controller",
    "csrapproving": "certificatesigningrequest-approving-controller",
    "csrcleaner": "certificatesigningrequest-cleaner-controller",
    "csrsigning": "certificatesigningrequest-signing-controller",
    "endpoint": "endpoints-controller",
    "endpointslicemirroring": "endpointslice-mirroring-controller",
    "garbagecollector": "garbage-collector-controller",
    "horizontalpodautoscaling": "horizontal-pod-autoscaler-controller",
    "legacy-service-account-token-cleaner": "legacy-serviceaccount-token-cleaner-controller",
    "nodeipam": "node-ipam-controller",
    "nodelifecycle": "node-lifecycle-controller",
    "podgc": "pod-garbage-collector-controller",
    "pv-protection": "persistentvolume-protection-controller",
    "pvc-protection": "persistentvolumeclaim-protection-controller",
    "resource-claim-controller": "resourceclaim-controller",
    "root-ca-cert-publisher": "root-ca-certificate-publisher-controller",
    "tokencleaner": "token-cleaner-controller",
}

NOT_RUN: Mapping[str, str] = {
    "cloud-node-lifecycle-controller": "a cloud's own manager runs it",
    "node-route-controller": "a cloud's own manager runs it",
    "selinux-warning-controller": "no volume is mounted with a label of SELinux",
    "service-lb-controller": "a cloud's own manager runs it",
    "storageversion-garbage-collector-controller": "the API StorageVersion is not served",
}
"""Names that upstream's flag takes and that no loop here has, with the reason: naming them is no mistake."""

FORMER_NOT_RUN: Mapping[str, str] = {
    "cloud-node-lifecycle": "cloud-node-lifecycle-controller",
    "route": "node-route-controller",
    "service": "service-lb-controller",
    "storage-version-gc": "storageversion-garbage-collector-controller",
}

QUEUES: Mapping[str, str] = {
    "certificatesigningrequest-approving-controller": "certificate",
    "clusterrole-aggregation-controller": "ClusterRoleAggregator",
    "device-taint-eviction-controller": "device-taint-eviction-controller",
    "endpoints-controller": "endpoint",
    "endpointslice-controller": "endpoint_slice",
    "endpointslice-mirroring-controller": "endpoint_slice_mirroring",
    "ephemeral-volume-controller": "ephemeral_volume",
    "garbage-collector-controller": "garbage_collector_attempt_to_delete",
    "horizontal-pod-autoscaler-controller": "horizontalpodautoscaler",
    "node-lifecycle-controller": "node_lifecycle_controller",
    "persistentvolume-binder-controller": "claims",
    "persistentvolume-protection-controller": "pvprotection",
    "persistentvolumeclaim-protection-controller": "pvcprotection",
    "replicationcontroller-controller": "replicationmanager",
    "resourceclaim-controller": "resource_claim",
    "resourcequota-controller": "resourcequota_primary",
    "root-ca-certificate-publisher-controller": "root_ca_cert_publisher",
    "taint-eviction-controller": "noexec_taint_pod",
    "ttl-after-finished-controller": "ttl_jobs_to_delete",
    "ttl-controller": "ttlcontroller",
}


def queue_of(name: str) -> str:
    """The queue's name in metrics; where upstream has no other, the controller's without its ending."""
    return QUEUES.get(name) or name.removesuffix("-controller").replace("-", "_")
