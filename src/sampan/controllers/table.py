"""CONTROLLERS: every control loop of the controller manager, in one literal, under upstream's names.

A new loop is a file with a Reconciler and a line here. `config.controllers` selects among them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from sampan.controllers.accounts.clusterrole_aggregation import ClusterRoleAggregation
from sampan.controllers.accounts.legacy_token_cleaner import LegacyTokenCleaner
from sampan.controllers.accounts.serviceaccount import ServiceAccountReconciler
from sampan.controllers.accounts.serviceaccount_tokens import Issuer, ServiceAccountTokens
from sampan.controllers.autoscaling.horizontal_pod_autoscaler import HorizontalPodAutoscalerReconciler
from sampan.controllers.certificates.bootstrap_signer import BootstrapSigner
from sampan.controllers.certificates.bootstrap_token_cleaner import BootstrapTokenCleaner
from sampan.controllers.certificates.certificate_approver import CertificateApprover
from sampan.controllers.certificates.certificate_cleaner import CertificateCleaner
from sampan.controllers.certificates.certificate_signer import Authority, CertificateSigner
from sampan.controllers.certificates.pod_certificate_cleaner import PodCertificateCleaner
from sampan.controllers.certificates.root_ca_publisher import RootCAPublisher
from sampan.controllers.certificates.trust_bundle_publisher import TrustBundlePublisher
from sampan.controllers.config import ControllerManagerConfig
from sampan.controllers.devices.device_taint_eviction import DeviceTaintEviction
from sampan.controllers.devices.resource_claim import ResourceClaimReconciler
from sampan.controllers.jobs.cronjob import CronJobReconciler
from sampan.controllers.jobs.job import JobReconciler
from sampan.controllers.jobs.ttl_after_finished import TTLAfterFinishedReconciler
from sampan.controllers.names import ALIASES, FORMER_NOT_RUN, NOT_RUN
from sampan.controllers.nodes.node_ipam import NodeIPAMReconciler
from sampan.controllers.nodes.node_lifecycle import NodeLifecycleReconciler
from sampan.controllers.nodes.node_ttl import NodeTTLReconciler
from sampan.controllers.nodes.pod_gc import PodGCReconciler
from sampan.controllers.nodes.taint_eviction import TaintEvictionReconciler
from sampan.controllers.objects.garbage_collector import GarbageCollector
from sampan.controllers.objects.namespace import NamespaceReconciler
from sampan.controllers.objects.resourcequota import ResourceQuotaReconciler
from sampan.controllers.objects.storage_version_migrator import StorageVersionMigrator
from sampan.controllers.objects.validating_admission_policy_status import ValidatingAdmissionPolicyStatus
from sampan.controllers.services.endpoints import EndpointsReconciler
from sampan.controllers.services.endpointslice import EndpointSliceReconciler
from sampan.controllers.services.endpointslice_mirroring import EndpointSliceMirroring
from sampan.controllers.services.service_cidr import ServiceCIDRReconciler
from sampan.controllers.volumes.attach_detach import AttachDetachReconciler
from sampan.controllers.volumes.ephemeral_volume import EphemeralVolumeReconciler
from sampan.controllers.volumes.persistentvolume_binder import PersistentVolumeBinder
from sampan.controllers.volumes.volume_expansion import VolumeExpansionReconciler
from sampan.controllers.volumes.volume_protection import (
    AttributesClassProtectionReconciler,
    ClaimProtectionReconciler,
    VolumeProtectionReconciler,
)
from sampan.controllers.workloads.daemonset import DaemonSetReconciler
from sampan.controllers.workloads.deployment import DeploymentReconciler
from sampan.controllers.workloads.disruption import DisruptionReconciler
from sampan.controllers.workloads.replicaset import REPLICATION_CONTROLLER, ReplicaSetReconciler
from sampan.controllers.workloads.statefulset import StatefulSetReconciler
from sampan.reconcile.controller import Reconciler, Wiring


@dataclass(frozen=True, slots=True)
class Loop:
    """One entry: its name, the ServiceAccount it acts as (which decides its RBAC role), how to build it.

    Without an account it acts as the controller manager, as upstream's loop that makes the accounts' tokens does.
    `workers` keys are worked on at a time; `component` is what its Events name, if not the loop. `*` means all that
    are `by_default`.
    """

    name: str
    account: str
    build: Callable[[Wiring, ControllerManagerConfig], Reconciler]
    workers: int = 5
    component: str = ""
    by_default: bool = True
    wanted: Callable[[ControllerManagerConfig], bool] = lambda config: True


CONTROLLERS: tuple[Loop, ...] = (
    Loop(
        "namespace-controller", "namespace-controller",
        lambda wiring, config: NamespaceReconciler(wiring), workers=10,
    ),
    Loop(
        "garbage-collector-controller", "generic-garbage-collector",
        lambda wiring, config: GarbageCollector(wiring), workers=20,
    ),
    Loop(
        "serviceaccount-controller", "service-account-controller",
        lambda wiring, config: ServiceAccountReconciler(wiring), workers=1,
    ),
    Loop(
        "serviceaccount-token-controller", "",
        lambda wiring, config: ServiceAccountTokens(wiring, Issuer(config.token_key(), config.root_ca)),
        wanted=lambda config: config.service_account_key is not None,
    ),
    Loop(
        "root-ca-certificate-publisher-controller", "root-ca-cert-publisher",
        lambda wiring, config: RootCAPublisher(wiring, config.root_ca), workers=1,
        wanted=lambda config: bool(config.root_ca),
    ),
    Loop(
        "deployment-controller", "deployment-controller",
        lambda wiring, config: DeploymentReconciler(wiring),
    ),
    Loop(
        "replicaset-controller", "replicaset-controller",
        lambda wiring, config: ReplicaSetReconciler(wiring),
    ),
    Loop(
        "replicationcontroller-controller", "replication-controller",
        lambda wiring, config: ReplicaSetReconciler(wiring, REPLICATION_CONTROLLER),
        component="replication-controller",
    ),
    Loop(
        "daemonset-controller", "daemon-set-controller",
        lambda wiring, config: DaemonSetReconciler(wiring), workers=2,
    ),
    Loop(
        "statefulset-controller", "statefulset-controller",
        lambda wiring, config: StatefulSetReconciler(wiring),
    ),
    Loop("job-controller", "job-controller", lambda wiring, config: JobReconciler(wiring)),
    Loop("cronjob-controller", "cronjob-controller", lambda wiring, config: CronJobReconciler(wiring)),
    Loop(
        "ttl-after-finished-controller", "ttl-after-finished-controller",
        lambda wiring, config: TTLAfterFinishedReconciler(wiring),
    ),
    Loop(
        "disruption-controller", "disruption-controller",
        lambda wiring, config: DisruptionReconciler(wiring), workers=1, component="controllermanager",
    ),
    Loop(
        "resourcequota-controller", "resourcequota-controller",
        lambda wiring, config: ResourceQuotaReconciler(wiring),
    ),
    Loop(
        "persistentvolume-binder-controller", "persistent-volume-binder",
        lambda wiring, config: PersistentVolumeBinder(wiring, config.recycler_image),
        component="persistentvolume-controller",
    ),
    Loop(
        "persistentvolumeclaim-protection-controller", "pvc-protection-controller",
        lambda wiring, config: ClaimProtectionReconciler(wiring), workers=1,
    ),
    Loop(
        "persistentvolume-protection-controller", "pv-protection-controller",
        lambda wiring, config: VolumeProtectionReconciler(wiring), workers=1,
    ),
    Loop(
        "volumeattributesclass-protection-controller", "volumeattributesclass-protection-controller",
        lambda wiring, config: AttributesClassProtectionReconciler(wiring), workers=1,
    ),
    Loop(
        "persistentvolume-attach-detach-controller", "attachdetach-controller",
        lambda wiring, config: AttachDetachReconciler(wiring, config), component="attachdetach-controller",
    ),
    Loop(
        "persistentvolume-expander-controller", "expand-controller",
        lambda wiring, config: VolumeExpansionReconciler(wiring), workers=1, component="volume_expand",
    ),
    Loop(
        "resourceclaim-controller", "resource-claim-controller",
        lambda wiring, config: ResourceClaimReconciler(wiring), component="resource_claim",
    ),
    Loop(
        "ephemeral-volume-controller", "ephemeral-volume-controller",
        lambda wiring, config: EphemeralVolumeReconciler(wiring), component="ephemeral_volume",
    ),
    Loop(
        "horizontal-pod-autoscaler-controller", "horizontal-pod-autoscaler",
        lambda wiring, config: HorizontalPodAutoscalerReconciler(wiring, config.autoscaling),
        component="horizontal-pod-autoscaler",
    ),
    Loop(
        "endpoints-controller", "endpoint-controller",
        lambda wiring, config: EndpointsReconciler(wiring), component="endpoint-controller",
    ),
    Loop(
        "endpointslice-controller", "endpointslice-controller",
        lambda wiring, config: EndpointSliceReconciler(wiring), component="endpoint-slice-controller",
    ),
    Loop(
        "endpointslice-mirroring-controller", "endpointslicemirroring-controller",
        lambda wiring, config: EndpointSliceMirroring(wiring), component="endpoint-slice-mirroring-controller",
    ),
    Loop(
        "service-cidr-controller", "service-cidrs-controller",
        lambda wiring, config: ServiceCIDRReconciler(wiring), workers=1,
    ),
    Loop(
        "clusterrole-aggregation-controller", "clusterrole-aggregation-controller",
        lambda wiring, config: ClusterRoleAggregation(wiring), workers=1,
    ),
    Loop(
        "validatingadmissionpolicy-status-controller", "validatingadmissionpolicy-status-controller",
        lambda wiring, config: ValidatingAdmissionPolicyStatus(wiring, config.check_policy),
    ),
    Loop(
        "certificatesigningrequest-approving-controller", "certificate-controller",
        lambda wiring, config: CertificateApprover(wiring), workers=1,
    ),
    Loop(
        "certificatesigningrequest-signing-controller", "certificate-controller",
        lambda wiring, config: CertificateSigner(
            wiring, Authority(*config.signing_authority(), timedelta(seconds=config.signing_duration_s)),
        ), workers=1,
        wanted=lambda config: config.signing_cert is not None and config.signing_key is not None,
    ),
    Loop(
        "certificatesigningrequest-cleaner-controller", "certificate-controller",
        lambda wiring, config: CertificateCleaner(wiring), workers=1,
    ),
    Loop(
        "podcertificaterequest-cleaner-controller", "podcertificaterequestcleaner",
        lambda wiring, config: PodCertificateCleaner(wiring), workers=1,
    ),
    Loop(
        "kube-apiserver-serving-clustertrustbundle-publisher-controller",
        "kube-apiserver-serving-clustertrustbundle-publisher",
        lambda wiring, config: TrustBundlePublisher(wiring, config.root_ca), workers=1,
        wanted=lambda config: bool(config.root_ca),
    ),
    Loop(
        "bootstrap-signer-controller", "bootstrap-signer",
        lambda wiring, config: BootstrapSigner(wiring), workers=1, by_default=False,
    ),
    Loop(
        "token-cleaner-controller", "token-cleaner",
        lambda wiring, config: BootstrapTokenCleaner(wiring), workers=1, by_default=False,
    ),
    Loop(
        "legacy-serviceaccount-token-cleaner-controller", "legacy-service-account-token-cleaner",
        lambda wiring, config: LegacyTokenCleaner(wiring), workers=1,
    ),
    Loop(
        "pod-garbage-collector-controller", "pod-garbage-collector",
        lambda wiring, config: PodGCReconciler(wiring, config), workers=1,
    ),
    Loop(
        "node-lifecycle-controller", "node-controller",
        lambda wiring, config: NodeLifecycleReconciler(wiring, config), component="node-controller",
    ),
    Loop(
        "taint-eviction-controller", "node-controller",
        lambda wiring, config: TaintEvictionReconciler(wiring),
    ),
    Loop(
        "device-taint-eviction-controller", "device-taint-eviction-controller",
        lambda wiring, config: DeviceTaintEviction(wiring), workers=8,
    ),
    Loop("ttl-controller", "ttl-controller", lambda wiring, config: NodeTTLReconciler(wiring)),
    Loop(
        "storage-version-migrator-controller", "storage-version-migrator-controller",
        lambda wiring, config: StorageVersionMigrator(wiring), workers=1,
    ),
    Loop(
        "node-ipam-controller", "node-controller",
        lambda wiring, config: NodeIPAMReconciler(wiring, config), workers=1, component="cidrAllocator",
        wanted=lambda config: config.allocate_node_cidrs,
    ),
)


def selected(config: ControllerManagerConfig) -> tuple[Loop, ...]:
    """The loops that `config` asks for. Raises ValueError for an unknown name."""
    words = [word.strip() for word in config.controllers.split(",") if word.strip()]
    known = {name for loop in CONTROLLERS for name in _names(loop)} | NOT_RUN.keys() | FORMER_NOT_RUN.keys()
    for word in words:
        if word != "*" and word.removeprefix("-") not in known:
            raise ValueError(f"{word.removeprefix('-')!r} is not in the list of known controllers")
    return tuple(loop for loop in CONTROLLERS if loop.wanted(config) and _is_selected(loop, words))


def _is_selected(loop: Loop, words: list[str]) -> bool:
    """As the first word says that speaks of it; `*` speaks of nobody by name."""
    names = _names(loop)
    named = next((word for word in words if word.removeprefix("-") in names), None)
    if named is not None:
        return not named.startswith("-")
    return loop.by_default and "*" in words


def _names(loop: Loop) -> tuple[str, ...]:
    """Its own, without the ending, and what it was called formerly."""
    former = (alias for alias, name in ALIASES.items() if name == loop.name)
    return loop.name, loop.name.removesuffix("-controller"), *former
