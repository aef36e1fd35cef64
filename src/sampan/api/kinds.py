"""All built-in kinds, in the order of discovery: groups by priority, kinds by plural."""

from __future__ import annotations

from sampan.api.admissionregistration.mutatingadmissionpolicy import MUTATING_ADMISSION_POLICY
from sampan.api.admissionregistration.mutatingadmissionpolicybinding import MUTATING_ADMISSION_POLICY_BINDING
from sampan.api.admissionregistration.mutatingwebhookconfiguration import MUTATING_WEBHOOK_CONFIGURATION
from sampan.api.admissionregistration.validatingadmissionpolicy import VALIDATING_ADMISSION_POLICY
from sampan.api.admissionregistration.validatingadmissionpolicybinding import VALIDATING_ADMISSION_POLICY_BINDING
from sampan.api.admissionregistration.validatingwebhookconfiguration import VALIDATING_WEBHOOK_CONFIGURATION
from sampan.api.apiextensions.customresourcedefinition import CUSTOM_RESOURCE_DEFINITION
from sampan.api.apiregistration.apiservice import API_SERVICE
from sampan.api.apps.controllerrevision import CONTROLLER_REVISION
from sampan.api.apps.daemonset import DAEMON_SET
from sampan.api.apps.deployment import DEPLOYMENT
from sampan.api.apps.replicaset import REPLICA_SET
from sampan.api.apps.statefulset import STATEFUL_SET
from sampan.api.autoscaling.hpa_v1 import HORIZONTAL_POD_AUTOSCALER_V1
from sampan.api.autoscaling.hpa_v2 import HORIZONTAL_POD_AUTOSCALER
from sampan.api.batch.cronjob import CRON_JOB
from sampan.api.batch.job import JOB
from sampan.api.certificates.certificatesigningrequest import CERTIFICATE_SIGNING_REQUEST
from sampan.api.certificates.clustertrustbundle import CLUSTER_TRUST_BUNDLE
from sampan.api.certificates.podcertificaterequest import POD_CERTIFICATE_REQUEST
from sampan.api.coordination.lease import LEASE
from sampan.api.core.configmap import CONFIG_MAP
from sampan.api.core.endpoints import ENDPOINTS_KIND
from sampan.api.core.event import CORE_EVENT
from sampan.api.core.limitrange import LIMIT_RANGE
from sampan.api.core.namespace import NAMESPACE
from sampan.api.core.node import NODE
from sampan.api.core.persistentvolume import PERSISTENT_VOLUME
from sampan.api.core.persistentvolumeclaim import PERSISTENT_VOLUME_CLAIM
from sampan.api.core.pod import POD
from sampan.api.core.podtemplate import POD_TEMPLATE
from sampan.api.core.replicationcontroller import REPLICATION_CONTROLLER
from sampan.api.core.resourcequota import RESOURCE_QUOTA
from sampan.api.core.secret import SECRET
from sampan.api.core.service import SERVICE
from sampan.api.core.serviceaccount import SERVICE_ACCOUNT
from sampan.api.discovery.endpointslice import ENDPOINT_SLICE
from sampan.api.events.event import EVENT
from sampan.api.flowcontrol.flowschema import FLOW_SCHEMA
from sampan.api.flowcontrol.prioritylevelconfiguration import PRIORITY_LEVEL_CONFIGURATION
from sampan.api.kind import Kind
from sampan.api.networking.ingress import INGRESS
from sampan.api.networking.ingressclass import INGRESS_CLASS
from sampan.api.networking.ipaddress import IP_ADDRESS
from sampan.api.networking.networkpolicy import NETWORK_POLICY
from sampan.api.networking.servicecidr import SERVICE_CIDR
from sampan.api.node.runtimeclass import RUNTIME_CLASS
from sampan.api.policy.poddisruptionbudget import POD_DISRUPTION_BUDGET
from sampan.api.rbac.clusterrole import CLUSTER_ROLE
from sampan.api.rbac.clusterrolebinding import CLUSTER_ROLE_BINDING
from sampan.api.rbac.role import ROLE
from sampan.api.rbac.rolebinding import ROLE_BINDING
from sampan.api.resource.deviceclass import DEVICE_CLASS
from sampan.api.resource.devicetaintrule import DEVICE_TAINT_RULE
from sampan.api.resource.resourceclaim import RESOURCE_CLAIM
from sampan.api.resource.resourceclaimtemplate import RESOURCE_CLAIM_TEMPLATE
from sampan.api.resource.resourceslice import RESOURCE_SLICE
from sampan.api.scheduling.podgroup import POD_GROUP
from sampan.api.scheduling.priorityclass import PRIORITY_CLASS
from sampan.api.scheduling.workload import WORKLOAD
from sampan.api.storage.csidriver import CSI_DRIVER
from sampan.api.storage.csinode import CSI_NODE
from sampan.api.storage.csistoragecapacity import CSI_STORAGE_CAPACITY
from sampan.api.storage.storageclass import STORAGE_CLASS
from sampan.api.storage.volumeattachment import VOLUME_ATTACHMENT
from sampan.api.storage.volumeattributesclass import VOLUME_ATTRIBUTES_CLASS
from sampan.api.storagemigration.storageversionmigration import STORAGE_VERSION_MIGRATION
from sampan.apimachinery.resource import Resource

KINDS: tuple[Kind, ...] = (
    CONFIG_MAP, ENDPOINTS_KIND, CORE_EVENT, LIMIT_RANGE, NAMESPACE, NODE, PERSISTENT_VOLUME_CLAIM, PERSISTENT_VOLUME,
    POD, POD_TEMPLATE, REPLICATION_CONTROLLER, RESOURCE_QUOTA, SECRET, SERVICE_ACCOUNT, SERVICE,
    CONTROLLER_REVISION, DAEMON_SET, DEPLOYMENT, REPLICA_SET, STATEFUL_SET,
    EVENT,
    HORIZONTAL_POD_AUTOSCALER, HORIZONTAL_POD_AUTOSCALER_V1,
    CRON_JOB, JOB,
    CERTIFICATE_SIGNING_REQUEST, CLUSTER_TRUST_BUNDLE, POD_CERTIFICATE_REQUEST,
    INGRESS_CLASS, INGRESS, IP_ADDRESS, NETWORK_POLICY, SERVICE_CIDR,
    POD_DISRUPTION_BUDGET,
    CLUSTER_ROLE_BINDING, CLUSTER_ROLE, ROLE_BINDING, ROLE,
    CSI_DRIVER, CSI_NODE, CSI_STORAGE_CAPACITY, STORAGE_CLASS, VOLUME_ATTACHMENT, VOLUME_ATTRIBUTES_CLASS,
    MUTATING_ADMISSION_POLICY, MUTATING_ADMISSION_POLICY_BINDING, MUTATING_WEBHOOK_CONFIGURATION,
    VALIDATING_ADMISSION_POLICY, VALIDATING_ADMISSION_POLICY_BINDING, VALIDATING_WEBHOOK_CONFIGURATION,
    CUSTOM_RESOURCE_DEFINITION,
    PRIORITY_CLASS, POD_GROUP, WORKLOAD,
    LEASE,
    RUNTIME_CLASS,
    ENDPOINT_SLICE,
    FLOW_SCHEMA, PRIORITY_LEVEL_CONFIGURATION,
    DEVICE_CLASS, DEVICE_TAINT_RULE, RESOURCE_CLAIM, RESOURCE_CLAIM_TEMPLATE, RESOURCE_SLICE,
    STORAGE_VERSION_MIGRATION,
    API_SERVICE,
)

_BY_RESOURCE = {kind.resource: kind for kind in KINDS}


def kind_for(resource: Resource) -> Kind | None:
    """The built-in kind of a resource; None when it is not built in."""
    return _BY_RESOURCE.get(resource)
