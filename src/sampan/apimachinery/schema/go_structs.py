"""Fields that every object of a Go type has, set or not: structs held by value, and lists that are never left out.

Field ownership compares Go objects, and to Go a struct by value is on both sides of every comparison. So nobody comes
to own `spec` itself by creating a pod, but whoever adds labels owns the map of labels too. OpenAPI does not tell such a
field from a pointer; these are the facts of upstream's types. Scalars need no entry: they hold nothing.
"""

from __future__ import annotations

from typing import Final

_EVERYWHERE: Final = frozenset({"metadata", "spec", "status"})
_OF_STRUCT: Final[dict[str, frozenset[str]]] = {
    struct: frozenset(fields.split()) for struct, fields in {
        "CSINodeSpec": "drivers",
        "Container": "resources",
        "ContainerStatus": "lastState state",
        "CronJobSpec": "jobTemplate",
        "CustomResourceDefinitionSpec": "names",
        "CustomResourceDefinitionStatus": "acceptedNames",
        "DaemonSetSpec": "template updateStrategy",
        "DeploymentSpec": "strategy template",
        "DeviceTaintRuleSpec": "taint",
        "EphemeralContainer": "resources",
        "Event": "deprecatedSource involvedObject regarding source",
        "FlowSchemaSpec": "priorityLevelConfiguration",
        "HorizontalPodAutoscalerSpec": "scaleTargetRef",
        "IngressStatus": "loadBalancer",
        "JobSpec": "template",
        "LimitedPriorityLevelConfiguration": "limitResponse",
        "MutatingWebhook": "clientConfig",
        "NodeDaemonEndpoints": "kubeletEndpoint",
        "NodeStatus": "daemonEndpoints nodeInfo",
        "PersistentVolumeClaimSpec": "resources",
        "PodSpec": "containers",
        "PodTemplate": "template",
        "ReplicaSetSpec": "template",
        "ResourceClaimSpec": "devices",
        "ResourceSliceSpec": "pool",
        "ServiceStatus": "loadBalancer",
        "StatefulSetSpec": "template updateStrategy",
        "StorageVersionMigrationSpec": "resource",
        "ValidatingWebhook": "clientConfig",
        "VolumeAttachmentSpec": "source",
    }.items()
}


def always_there(struct: str, field: str) -> bool:
    """Whether a Go struct of this name has the field in every object. False for what is no upstream type."""
    return bool(struct) and (field in _EVERYWHERE or field in _OF_STRUCT.get(struct, ()))
