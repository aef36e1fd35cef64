"""The defaults of volumes, by type."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sampan.api.core.resource_lists import canonicalise_field, canonicalise_requirements
from sampan.api.strategy import ensure, setdefault
from sampan.apimachinery.object import Object

FILE_MODE = 0o644
_BY_TYPE: dict[str, dict[str, Any]] = {
    "secret": {"defaultMode": FILE_MODE},
    "configMap": {"defaultMode": FILE_MODE},
    "downwardAPI": {"defaultMode": FILE_MODE},
    "projected": {"defaultMode": FILE_MODE},
    "hostPath": {"type": ""},
    "iscsi": {"iscsiInterface": "default"},
    "rbd": {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"},
    "azureDisk": {"cachingMode": "ReadWrite", "kind": "Shared", "fsType": "ext4", "readOnly": False},
    "scaleIO": {"storageMode": "ThinProvisioned", "fsType": "xfs"},
}


def default_volume(volume: Object) -> None:
    """A volume without a source is an emptyDir."""
    if not any(value is not None for key, value in volume.items() if key != "name"):
        volume["emptyDir"] = {}
    default_volume_source(volume)
    for kind in ("emptyDir", "downwardAPI", "projected", "ephemeral"):
        source = volume.get(kind)
        if not isinstance(source, dict):
            continue
        if kind == "emptyDir":
            canonicalise_field(source, "sizeLimit")
        elif kind == "downwardAPI":
            default_downward_items(source.get("items") or ())
        elif kind == "projected":
            _default_projected(source)
        elif source.get("volumeClaimTemplate") is not None:
            default_claim_spec(ensure(source["volumeClaimTemplate"], "spec"))
    image = volume.get("image")
    if isinstance(image, dict) and not image.get("pullPolicy"):
        reference = image.get("reference") or ""
        name = reference.partition("@")[0].rpartition("/")[2]
        latest = name.endswith(":latest") or (":" not in name and "@" not in reference)
        image["pullPolicy"] = "Always" if latest else "IfNotPresent"


def default_volume_source(volume: Object) -> None:
    """What volumes of pods and PersistentVolumes have in common."""
    for kind, values in _BY_TYPE.items():
        source = volume.get(kind)
        if isinstance(source, dict):
            for key, value in values.items():
                setdefault(source, key, value)


def _default_projected(source: Object) -> None:
    for part in source.get("sources") or ():
        token, downward = part.get("serviceAccountToken"), part.get("downwardAPI")
        certificate = part.get("podCertificate")
        if isinstance(token, dict):
            setdefault(token, "expirationSeconds", 3600)
        if isinstance(downward, dict):
            default_downward_items(downward.get("items") or ())
        if isinstance(certificate, dict):
            setdefault(certificate, "maxExpirationSeconds", 86400)


def default_downward_items(items: Iterable[Object]) -> None:
    """References to fields are of v1; references to resources divide by 1, written 0."""
    for item in items:
        field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
        if isinstance(field, dict) and not field.get("apiVersion"):
            field["apiVersion"] = "v1"
        if isinstance(resource, dict):
            setdefault(resource, "divisor", "0")
            canonicalise_field(resource, "divisor")


def default_claim_spec(spec: Object) -> None:
    """A claim of a PersistentVolume, on its own or in a template."""
    setdefault(spec, "volumeMode", "Filesystem")
    canonicalise_requirements(spec.get("resources"))
