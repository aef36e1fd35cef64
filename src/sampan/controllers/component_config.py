"""`/configz`: the settings in force, as a KubeControllerManagerConfiguration.

Upstream shows the internal form, whose fields have the names of Go: who reads it elsewhere finds each setting in the
same place. Only what can be set here is in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from sampan.apimachinery.object import Object
from sampan.controllers.config import ControllerManagerConfig
from sampan.controllers.flags import FLAGS, is_duration, shown, value_of

NAME: Final = "kubecontrollermanager.config.k8s.io"

_PLACES: Final[Mapping[str, Mapping[str, str]]] = {
    "Generic": {
        "controllers": "Controllers",
    },
    "KubeCloudShared": {
        "cluster-cidr": "ClusterCIDR",
        "allocate-node-cidrs": "AllocateNodeCIDRs",
        "node-monitor-period": "NodeMonitorPeriod",
    },
    "NodeIPAMController": {
        "service-cluster-ip-range": "ServiceCIDR",
        "node-cidr-mask-size": "NodeCIDRMaskSize",
        "node-cidr-mask-size-ipv4": "NodeCIDRMaskSizeIPv4",
        "node-cidr-mask-size-ipv6": "NodeCIDRMaskSizeIPv6",
    },
    "NodeLifecycleController": {
        "node-monitor-grace-period": "NodeMonitorGracePeriod",
        "node-startup-grace-period": "NodeStartupGracePeriod",
        "node-eviction-rate": "NodeEvictionRate",
        "secondary-node-eviction-rate": "SecondaryNodeEvictionRate",
        "large-cluster-size-threshold": "LargeClusterSizeThreshold",
        "unhealthy-zone-threshold": "UnhealthyZoneThreshold",
    },
    "PodGCController": {
        "terminated-pod-gc-threshold": "TerminatedPodGCThreshold",
    },
    "AttachDetachController": {
        "disable-force-detach-on-timeout": "DisableForceDetachOnTimeout",
    },
    "SAController": {
        "service-account-private-key-file": "ServiceAccountKeyFile",
        "concurrent-serviceaccount-token-syncs": "ConcurrentSATokenSyncs",
    },
    "CSRSigningController": {
        "cluster-signing-cert-file": "ClusterSigningCertFile",
        "cluster-signing-key-file": "ClusterSigningKeyFile",
        "cluster-signing-duration": "ClusterSigningDuration",
    },
    "HPAController": {
        "horizontal-pod-autoscaler-sync-period": "HorizontalPodAutoscalerSyncPeriod",
        "horizontal-pod-autoscaler-downscale-stabilization": "HorizontalPodAutoscalerDownscaleStabilizationWindow",
        "horizontal-pod-autoscaler-tolerance": "HorizontalPodAutoscalerTolerance",
        "horizontal-pod-autoscaler-cpu-initialization-period": "HorizontalPodAutoscalerCPUInitializationPeriod",
        "horizontal-pod-autoscaler-initial-readiness-delay": "HorizontalPodAutoscalerInitialReadinessDelay",
        "concurrent-horizontal-pod-autoscaler-syncs": "ConcurrentHorizontalPodAutoscalerSyncs",
    },
    "CronJobController": {
        "concurrent-cron-job-syncs": "ConcurrentCronJobSyncs",
    },
    "DaemonSetController": {
        "concurrent-daemonset-syncs": "ConcurrentDaemonSetSyncs",
    },
    "DeploymentController": {
        "concurrent-deployment-syncs": "ConcurrentDeploymentSyncs",
    },
    "EndpointController": {
        "concurrent-endpoint-syncs": "ConcurrentEndpointSyncs",
    },
    "EphemeralVolumeController": {
        "concurrent-ephemeralvolume-syncs": "ConcurrentEphemeralVolumeSyncs",
    },
    "GarbageCollectorController": {
        "concurrent-gc-syncs": "ConcurrentGCSyncs",
    },
    "JobController": {
        "concurrent-job-syncs": "ConcurrentJobSyncs",
    },
    "NamespaceController": {
        "concurrent-namespace-syncs": "ConcurrentNamespaceSyncs",
    },
    "ReplicationController": {
        "concurrent-rc-syncs": "ConcurrentRCSyncs",
    },
    "ReplicaSetController": {
        "concurrent-replicaset-syncs": "ConcurrentRSSyncs",
    },
    "ResourceQuotaController": {
        "concurrent-resource-quota-syncs": "ConcurrentResourceQuotaSyncs",
    },
    "EndpointSliceController": {
        "concurrent-service-endpoint-syncs": "ConcurrentServiceEndpointSyncs",
    },
    "StatefulSetController": {
        "concurrent-statefulset-syncs": "ConcurrentStatefulSetSyncs",
    },
    "TTLAfterFinishedController": {
        "concurrent-ttl-after-finished-syncs": "ConcurrentTTLSyncs",
    },
    "ValidatingAdmissionPolicyStatusController": {
        "concurrent-validating-admission-policy-status-syncs": "ConcurrentPolicySyncs",
    },
    "EndpointSliceMirroringController": {
        "mirroring-concurrent-service-endpoint-syncs": "MirroringConcurrentServiceEndpointSyncs",
    },
    "Generic.LeaderElection": {
        "leader-elect": "LeaderElect",
        "leader-elect-lease-duration": "LeaseDuration",
        "leader-elect-renew-deadline": "RenewDeadline",
        "leader-elect-retry-period": "RetryPeriod",
        "leader-elect-resource-name": "ResourceName",
        "leader-elect-resource-namespace": "ResourceNamespace",
    },
}
"""By part, the field of each flag. What a file with a CA holds is not shown."""


def configz(config: ControllerManagerConfig) -> Object:
    """The answer of `/configz`."""
    found: Object = {}
    flags, texts = {flag.name: flag for flag in FLAGS}, shown(config)
    for place, fields in _PLACES.items():
        into = found
        for part in place.split("."):
            into = into.setdefault(part, {})
        for name, field in fields.items():
            flag = flags[name]
            into[field] = texts[name] if is_duration(flag) else _plain(value_of(flag, config))
    found["Generic"]["Controllers"] = config.controllers.split(",")
    found["Generic"]["LeaderElection"]["ResourceLock"] = "leases"
    return {NAME: found}


def _plain(value: Any) -> Any:
    return "" if value is None else str(value) if isinstance(value, Path) else value
