"""Every pod runs as a ServiceAccount: names the default one, mounts its token, lends its image pull secrets.

The token is a projected volume `kube-api-access-XXXXX` with the token, the cluster's CA and the namespace, mounted into
every container that has nothing of its own at that place. Mirror pods get nothing and may refer to nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import ClassVar

from sampan import effects
from sampan.api.resources import SERVICE_ACCOUNTS
from sampan.apimachinery.go_values import quoted
from sampan.apimachinery.object import Object, annotations_of, dig
from sampan.apiserver.admission.mountable_secrets import complaint
from sampan.apiserver.admission.plugin import PODS_ONLY, Plugin, refuse
from sampan.apiserver.authz.node_graph import MIRROR
from sampan.apiserver.seams import AdmissionAttributes, Operation, Reader, ServerParts

DEFAULT = "default"
VOLUME_PREFIX = "kube-api-access-"
MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_LIVES_S = 3607
_ATTEMPTS, _PAUSE_S = 10, 0.1
_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"


class ServiceAccount(Plugin):
    name = "ServiceAccount"
    resources = PODS_ONLY
    operations: ClassVar[frozenset[Operation]] = frozenset({"CREATE", "UPDATE"})
    subresources: ClassVar[frozenset[str]] = frozenset({"", "ephemeralcontainers"})

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def interested(self, attributes: AdmissionAttributes) -> bool:
        """New pods, and containers that are added to running ones."""
        return super().interested(attributes) and (attributes.operation == "CREATE") is not bool(attributes.subresource)

    async def admit(self, attributes: AdmissionAttributes) -> None:
        pod = attributes.object
        assert pod is not None
        if attributes.subresource:
            return
        if MIRROR in annotations_of(pod):
            _check_mirror(attributes, pod)
            return
        spec = pod.setdefault("spec", {})
        if not spec.get("serviceAccountName"):
            spec["serviceAccountName"] = spec.get("serviceAccount") or DEFAULT
        spec["serviceAccount"] = spec["serviceAccountName"]
        account = await self._find(attributes, spec["serviceAccountName"])
        if _automounts(spec, account):
            mount_token(spec)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [dict(secret) for secret in account["imagePullSecrets"]]

    async def validate(self, attributes: AdmissionAttributes) -> None:
        pod = attributes.object
        assert pod is not None
        if MIRROR in annotations_of(pod):
            return
        account = await self._find(attributes, dig(pod, "spec", "serviceAccountName", default=""))
        why = complaint(account, pod.get("spec") or {})
        if why:
            raise refuse(attributes, why)

    async def _find(self, attributes: AdmissionAttributes, name: str) -> Object:
        """The account. A new namespace's default one is waited for a moment, since a controller makes it."""
        namespace = attributes.namespace
        for attempt in range(_ATTEMPTS if name == DEFAULT else 1):
            if attempt:
                await asyncio.sleep(effects.rng().random() * _PAUSE_S)
            found = self._reader.peek(SERVICE_ACCOUNTS, name, namespace)
            if found is None:
                await self._reader.fresh(SERVICE_ACCOUNTS)
                found = self._reader.peek(SERVICE_ACCOUNTS, name, namespace)
            if found is not None:
                return found
        why = f"serviceaccount {quoted(name)} not found"
        raise refuse(attributes, f"error looking up service account {namespace}/{name}: {why}")


def _automounts(spec: Object, account: Object) -> bool:
    for owner in (spec, account):
        wanted = owner.get("automountServiceAccountToken")
        if wanted is not None:
            return bool(wanted)
    return True


def mount_token(spec: Object) -> None:
    """Mount the token into every container that mounts nothing at its place."""
    needing = [
        container for container in _containers(spec)
        if all(mount.get("mountPath") != MOUNT_PATH for mount in container.get("volumeMounts") or ())
    ]
    if not needing:
        return
    volumes = spec.get("volumes") or []
    name = next((volume["name"] for volume in volumes if str(volume.get("name", "")).startswith(VOLUME_PREFIX)), "")
    if not name:
        name = VOLUME_PREFIX + "".join(effects.rng().choice(_SUFFIX_LETTERS) for _ in range(5))
        spec["volumes"] = [*volumes, token_volume(name)]
    for container in needing:
        mount = {"name": name, "readOnly": True, "mountPath": MOUNT_PATH}
        container["volumeMounts"] = [*(container.get("volumeMounts") or []), mount]


def token_volume(name: str) -> Object:
    """The projected volume with token, ca.crt and namespace."""
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    authority = {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    return {"name": name, "projected": {"defaultMode": 0o644, "sources": [
        {"serviceAccountToken": {"expirationSeconds": TOKEN_LIVES_S, "path": "token"}},
        {"configMap": authority},
        {"downwardAPI": {"items": [namespace]}},
    ]}}


def _containers(spec: Object) -> Iterator[Object]:
    for kind in ("initContainers", "containers"):
        yield from spec.get(kind) or ()


def _check_mirror(attributes: AdmissionAttributes, pod: Object) -> None:
    spec = pod.get("spec") or {}
    if spec.get("serviceAccountName"):
        raise refuse(attributes, "a mirror pod may not reference service accounts")
    for volume in spec.get("volumes") or ():
        sources = dig(volume, "projected", "sources", default=())
        if volume.get("secret") or any(source.get("secret") for source in sources):
            raise refuse(attributes, "a mirror pod may not reference secrets")
        if any(source.get("serviceAccountToken") for source in sources):
            raise refuse(attributes, "a mirror pod may not use ServiceAccountToken volume projections")
    for container in _containers(spec):
        named = [dig(one, "secretRef", "name") for one in container.get("envFrom") or ()]
        named += [dig(one, "valueFrom", "secretKeyRef", "name") for one in container.get("env") or ()]
        if any(named):
            raise refuse(attributes, "a mirror pod may not reference secrets")


def build(parts: ServerParts) -> ServiceAccount:
    return ServiceAccount(parts.reader)
