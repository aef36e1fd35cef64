"""What the pods bound to a node refer to: the objects that this node's kubelet may read.

`references(pod)` is pure. `NodeGraph` keeps, for each namespace, who refers to what, and recomputes a namespace only
when some pod has changed since and somebody asks about it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from sampan.api.resources import (
    PERSISTENT_VOLUMES,
    POD_CERTIFICATE_REQUESTS,
    PODS,
    RESOURCE_SLICES,
    VOLUME_ATTACHMENTS,
)
from sampan.apimachinery.object import Object, annotations_of, dig, name_of, namespace_of
from sampan.apiserver.seams import Reader

Reference: TypeAlias = tuple[str, str]
"""(plural, name) in the pod's namespace."""

MIRROR = "kubernetes.io/config.mirror"


def references(pod: Object) -> Iterator[Reference]:
    """Everything in its own namespace that a pod names, itself included."""
    yield "pods", name_of(pod)
    if MIRROR in annotations_of(pod):
        # A mirror pod is written by the kubelet: what it names proves nothing.
        return
    spec = pod.get("spec") or {}
    yield "serviceaccounts", spec.get("serviceAccountName") or "default"
    for secret in spec.get("imagePullSecrets") or ():
        yield "secrets", secret.get("name", "")
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(kind) or ():
            yield from _of_container(container)
    for volume in spec.get("volumes") or ():
        yield from _of_volume(pod, volume)
    for claim in dig(pod, "status", "resourceClaimStatuses", default=()):
        yield "resourceclaims", claim.get("resourceClaimName", "")
    for claim in spec.get("resourceClaims") or ():
        yield "resourceclaims", claim.get("resourceClaimName", "")
    yield "resourceclaims", dig(pod, "status", "extendedResourceClaimStatus", "resourceClaimName", default="")


def _of_container(container: Object) -> Iterator[Reference]:
    for source in container.get("envFrom") or ():
        yield "configmaps", dig(source, "configMapRef", "name", default="")
        yield "secrets", dig(source, "secretRef", "name", default="")
    for variable in container.get("env") or ():
        yield "configmaps", dig(variable, "valueFrom", "configMapKeyRef", "name", default="")
        yield "secrets", dig(variable, "valueFrom", "secretKeyRef", "name", default="")


def _of_volume(pod: Object, volume: Object) -> Iterator[Reference]:
    yield "secrets", dig(volume, "secret", "secretName", default="")
    yield "configmaps", dig(volume, "configMap", "name", default="")
    yield "persistentvolumeclaims", dig(volume, "persistentVolumeClaim", "claimName", default="")
    if volume.get("ephemeral"):
        yield "persistentvolumeclaims", f"{name_of(pod)}-{volume.get('name', '')}"
    for source in dig(volume, "projected", "sources", default=()):
        yield "secrets", dig(source, "secret", "name", default="")
        yield "configmaps", dig(source, "configMap", "name", default="")
    for driver, field in (
        ("csi", "nodePublishSecretRef"), ("cephfs", "secretRef"), ("cinder", "secretRef"), ("flexVolume", "secretRef"),
        ("iscsi", "secretRef"), ("rbd", "secretRef"), ("scaleIO", "secretRef"), ("storageos", "secretRef"),
    ):
        yield "secrets", dig(volume, driver, field, "name", default="")
    yield "secrets", dig(volume, "azureFile", "secretName", default="")


_VOLUME_SECRETS = (
    ("csi", "nodePublishSecretRef"), ("csi", "nodeStageSecretRef"), ("csi", "nodeExpandSecretRef"),
    ("cephfs", "secretRef"), ("cinder", "secretRef"), ("flexVolume", "secretRef"), ("iscsi", "secretRef"),
    ("rbd", "secretRef"), ("scaleIO", "secretRef"), ("storageos", "secretRef"),
)


def _secrets_of_volume(volume: Object) -> Iterator[tuple[str, str]]:
    """(namespace, name) of the secrets that mounting a PersistentVolume needs; not those that only controllers need."""
    claim_namespace = dig(volume, "spec", "claimRef", "namespace", default="")
    for source, field in _VOLUME_SECRETS:
        found = dig(volume, "spec", source, field, default={})
        if found.get("name"):
            yield found.get("namespace") or claim_namespace, found["name"]
    azure = dig(volume, "spec", "azureFile", default={})
    if azure.get("secretName"):
        yield azure.get("secretNamespace") or claim_namespace, azure["secretName"]


class NodeGraph:
    """Answers `refers`: does a pod bound to this node need this object?"""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._version = -1
        self._namespaces: dict[str, set[tuple[str, str, str]]] = {}
        self._volumes_version = -1
        self._volumes: list[Object] = []

    async def refers(self, node: str, plural: str, namespace: str, name: str) -> bool:
        """Namespaced objects; the answer counts every pod bound before the question."""
        if (node, plural, name) in self._of(namespace):
            return True
        await self._reader.fresh(PODS)
        if (node, plural, name) in self._of(namespace):
            return True
        return plural == "secrets" and await self._secret_of_volume(node, namespace, name)

    async def refers_volume(self, node: str, name: str) -> bool:
        """A PersistentVolume: through the claim that it is bound to."""
        await self._reader.fresh(PERSISTENT_VOLUMES)
        volume = self._reader.get(PERSISTENT_VOLUMES, name)
        claim = dig(volume, "spec", "claimRef", default={})
        if not claim.get("name"):
            return False
        return await self.refers(node, "persistentvolumeclaims", claim.get("namespace", ""), claim["name"])

    async def is_slice_of(self, node: str, name: str) -> bool:
        """A ResourceSlice: the one that says so."""
        await self._reader.fresh(RESOURCE_SLICES)
        return bool(dig(self._reader.get(RESOURCE_SLICES, name), "spec", "nodeName") == node)

    async def is_attached_to(self, node: str, name: str) -> bool:
        """A VolumeAttachment: to the node that it names."""
        await self._reader.fresh(VOLUME_ATTACHMENTS)
        return bool(dig(self._reader.get(VOLUME_ATTACHMENTS, name), "spec", "nodeName") == node)

    async def is_request_of(self, node: str, namespace: str, name: str) -> bool:
        """A PodCertificateRequest: for a pod of the node that it names."""
        await self._reader.fresh(POD_CERTIFICATE_REQUESTS)
        return bool(dig(self._reader.get(POD_CERTIFICATE_REQUESTS, name, namespace), "spec", "nodeName") == node)

    async def _secret_of_volume(self, node: str, namespace: str, name: str) -> bool:
        version = self._reader.version(PERSISTENT_VOLUMES)
        if version != self._volumes_version:
            self._volumes = list(self._reader.list(PERSISTENT_VOLUMES))
            self._volumes_version = version
        for volume in self._volumes:
            if (namespace, name) in _secrets_of_volume(volume) and await self.refers_volume(node, name_of(volume)):
                return True
        return False

    def _of(self, namespace: str) -> set[tuple[str, str, str]]:
        version = self._reader.version(PODS)
        if version != self._version:
            self._namespaces.clear()
            self._version = version
        found = self._namespaces.get(namespace)
        if found is None:
            found = self._namespaces[namespace] = {
                (pod["spec"]["nodeName"], plural, name)
                for pod in self._reader.list(PODS, namespace)
                if dig(pod, "spec", "nodeName")
                for plural, name in references(pod)
                if name and namespace_of(pod) == namespace
            }
        return found
