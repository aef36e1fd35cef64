"""The admission plugins in upstream's order; `OFF` are those that a server runs only when told to.

A plugin is built once a server. `disable_admission` and `enable_admission` of the configuration name plugins.
"""

from __future__ import annotations

from sampan.apiserver.admission import (
    admission_expressions,
    always,
    always_pull_images,
    certificates,
    default_ingress_class,
    default_storage_class,
    default_toleration_seconds,
    deny_service_external_ips,
    device_access,
    device_expressions,
    event_rate_limit,
    extended_resource_toleration,
    image_policy,
    limit_pod_hard_anti_affinity,
    limit_ranger,
    namespace_lifecycle,
    namespace_presence,
    node_restriction,
    owner_references,
    persistent_volume_claim_resize,
    pod_node_selector,
    pod_security,
    pod_toleration_restriction,
    pod_topology_labels,
    priority,
    rbac_escalation,
    resource_quota,
    runtime_class,
    service_account,
    storage_object_in_use_protection,
    taint_nodes_by_condition,
)
from sampan.apiserver.admission.policies import mutating as mutating_policies
from sampan.apiserver.admission.policies import validating as validating_policies
from sampan.apiserver.admission.webhooks import mutating as mutating_webhooks
from sampan.apiserver.admission.webhooks import validating as validating_webhooks
from sampan.apiserver.seams import Admission, BuildAdmission, ServerParts

ADMISSION: tuple[BuildAdmission, ...] = (
    always.admit,
    namespace_presence.auto_provision,
    namespace_lifecycle.build,
    namespace_presence.exists,
    limit_pod_hard_anti_affinity.build,
    limit_ranger.build,
    service_account.build,
    node_restriction.build,
    taint_nodes_by_condition.build,
    always_pull_images.build,
    image_policy.build,
    pod_security.build,
    pod_node_selector.build,
    priority.build,
    default_toleration_seconds.build,
    pod_toleration_restriction.build,
    event_rate_limit.build,
    extended_resource_toleration.build,
    default_storage_class.build,
    storage_object_in_use_protection.build,
    owner_references.build,
    persistent_volume_claim_resize.build,
    runtime_class.build,
    certificates.approval,
    certificates.signing,
    certificates.pod_certificate_signing,
    certificates.attestation,
    certificates.subjects,
    default_ingress_class.build,
    pod_topology_labels.build,
    deny_service_external_ips.build,
    rbac_escalation.build,
    admission_expressions.build,
    device_access.build,
    device_expressions.build,
    mutating_policies.build,
    mutating_webhooks.build,
    validating_policies.build,
    validating_webhooks.build,
    resource_quota.build,
    certificates.requestor,
    always.deny,
)

OFF: frozenset[str] = frozenset({
    "AlwaysAdmit", "AlwaysDeny", "AlwaysPullImages", "DenyServiceExternalIPs", "EventRateLimit",
    "ExtendedResourceToleration", "ImagePolicyWebhook", "LimitPodHardAntiAffinityTopology", "NamespaceAutoProvision",
    "NamespaceExists",
    "OwnerReferencesPermissionEnforcement", "PodNodeSelector", "PodTolerationRestriction",
})


def plugins(parts: ServerParts) -> list[Admission]:
    """Those that this server runs, in order."""
    config = parts.config
    found = [plugin for build in ADMISSION if (plugin := build(parts)) is not None]
    return [
        plugin for plugin in found
        if plugin.name not in config.disable_admission
        and (plugin.name not in OFF or plugin.name in config.enable_admission)
    ]
