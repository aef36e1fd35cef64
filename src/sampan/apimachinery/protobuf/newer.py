"""Fields of Kubernetes 1.37 that a source of 1.36 lacks, from the struct tags that kubectl 1.37's binary carries.

A tag has the JSON name, the number and the wire type, but not the message. Listed are fields of which one message is
left: the next number of a message that has such a field, and what remains when other messages with a field of that
name have theirs. Left out are `derivedAttributes` of device requests and `scheduling` of Jobs, of which several remain.
"""

from __future__ import annotations

from typing import Any, Final

NEWER: Final[dict[str, dict[str, list[Any]]]] = {
    "authentication/v1.TokenRequestSpec": {"5": ["attestations", "string", "list", 1]},
    "autoscaling/v2.HorizontalPodAutoscalerCondition": {"6": ["observedGeneration", "int", "one", 0]},
    "core/v1.ClusterTrustBundleProjection": {"6": ["user", "int", "one", 1]},
    "core/v1.ConfigMapVolumeSource": {"5": ["defaultUser", "int", "one", 1]},
    "core/v1.DownwardAPIVolumeFile": {"5": ["user", "int", "one", 1]},
    "core/v1.DownwardAPIVolumeSource": {"3": ["defaultUser", "int", "one", 1]},
    "core/v1.EmptyDirVolumeSource": {"3": ["mode", "int", "one", 1]},
    "core/v1.EvictionResponder": {"1": ["name", "string", "one", 1], "2": ["priority", "int", "one", 1]},
    "core/v1.GRPCAction": {"3": ["mode", "string", "one", 1]},
    "core/v1.HTTPGetAction": {"6": ["protocol", "string", "one", 1]},
    "core/v1.KeyToPath": {"4": ["user", "int", "one", 1]},
    "core/v1.NodeAllocatableMappedResources": {
        "1": ["name", "string", "one", 1], "2": ["quantity", "Quantity", "one", 1],
    },
    "core/v1.NodeAllocatableOverheadResources": {
        "1": ["name", "string", "one", 1], "2": ["perPod", "Quantity", "one", 1],
        "3": ["perContainer", "Quantity", "one", 1],
    },
    "core/v1.NodeAllocatableResourceClaimStatus": {
        "4": ["mapping", "core/v1.NodeAllocatableMappedResources", "list", 0],
        "5": ["overhead", "core/v1.NodeAllocatableOverheadResources", "list", 0],
    },
    "core/v1.NodePodPreemptionPolicy": {"1": ["disableResizePreemption", "string", "list", 0]},
    "core/v1.NodeSpec": {"8": ["podPreemptionPolicy", "core/v1.NodePodPreemptionPolicy", "one", 1]},
    "core/v1.NodeSystemInfo": {"12": ["runningInUserNamespace", "bool", "one", 1]},
    "core/v1.PersistentVolumeClaimStatus": {"10": ["healthStatus", "core/v1.VolumeHealthStatus", "one", 1]},
    "core/v1.PodCertificateProjection": {"8": ["user", "int", "one", 1]},
    "core/v1.PodSpec": {"44": ["evictionResponders", "core/v1.EvictionResponder", "list", 0]},
    "core/v1.PodStatus": {"22": ["volumeHealth", "core/v1.PodVolumeHealth", "list", 0]},
    "core/v1.PodVolumeHealth": {
        "1": ["name", "string", "one", 1], "2": ["healthConditions", "core/v1.VolumeHealthCondition", "list", 0],
        "3": ["lastTransitionTime", "Time", "one", 1],
    },
    "core/v1.ProjectedVolumeSource": {"3": ["defaultUser", "int", "one", 1]},
    "core/v1.SecretVolumeSource": {"5": ["defaultUser", "int", "one", 1]},
    "core/v1.ServiceAccountTokenProjection": {"4": ["user", "int", "one", 1]},
    "core/v1.VolumeHealthCondition": {
        "1": ["status", "string", "one", 1], "2": ["reason", "string", "one", 0], "3": ["message", "string", "one", 0],
    },
    "core/v1.VolumeHealthStatus": {
        "1": ["healthConditions", "core/v1.VolumeHealthCondition", "list", 0],
        "2": ["lastTransitionTime", "Time", "one", 1],
    },
    "core/v1.VolumeMount": {"8": ["bindMountOptions", "string", "list", 1]},
    "resource/v1.Device": {"14": ["nodeAllocatableResources", "resource/v1.NodeAllocatableResource", "map", 0]},
    "resource/v1.DeviceCounterConsumption": {"3": ["compatibilityGroups", "string", "list", 1]},
    "resource/v1.DeviceRequestAllocationResult": {"11": ["skipNodeOperations", "string", "list", 1]},
    "resource/v1.NodeAllocatableMapping": {
        "1": ["capacityKey", "string", "one", 1], "2": ["capacityMultiplier", "Quantity", "one", 1],
        "3": ["deviceMultiplier", "Quantity", "one", 1],
    },
    "resource/v1.NodeAllocatableOverhead": {
        "1": ["perPod", "Quantity", "one", 1], "2": ["perContainer", "Quantity", "one", 1],
    },
    "resource/v1.NodeAllocatableResource": {
        "3": ["mapping", "resource/v1.NodeAllocatableMapping", "one", 1],
        "4": ["overhead", "resource/v1.NodeAllocatableOverhead", "one", 1],
    },
    "resource/v1.ResourceSliceSpec": {
        "9": ["partitionTypeAttribute", "string", "one", 1], "10": ["skipNodeOperations", "string", "list", 1],
    },
    "storage/v1.CSINode": {"3": ["status", "storage/v1.CSINodeStatus", "one", 0]},
    "storage/v1.CSINodeStatus": {"1": ["storageHealth", "storage/v1.StorageHealth", "list", 0]},
    "storage/v1.StorageHealth": {
        "1": ["name", "string", "one", 1], "2": ["healthConditions", "storage/v1.StorageHealthCondition", "list", 0],
    },
    "storage/v1.StorageHealthCondition": {
        "1": ["status", "string", "one", 1], "2": ["reason", "string", "one", 0], "3": ["message", "string", "one", 0],
        "4": ["accessMode", "string", "one", 1], "5": ["volumeMode", "string", "one", 1],
        "6": ["lastTransitionTime", "Time", "one", 1],
    },
}
