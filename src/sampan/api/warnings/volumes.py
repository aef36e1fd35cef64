"""Claims, volumes, and paths in a pod's volumes that hide one another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sampan.api.warnings.node_labels import term_warnings
from sampan.apimachinery.go_values import quoted
from sampan.apimachinery.object import Object, dig
from sampan.apimachinery.quantity import NANO, Quantity, QuantityError

_PLUGINS: Final = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "deprecated in v1.11, and disabled by default in v1.33+",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageOS": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}
_PV_PLUGINS: Final = ("cephfs", "photonPersistentDisk", "scaleIO", "storageOS", "glusterfs", "rbd")
_SOURCES: Final = (
    ("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName"), ("downwardAPI", "DownwardAPI", ""),
)
_WITH_PATHS: Final = frozenset({"configMap", "secret", "downwardAPI", "projected"})
_CLASS_ANNOTATION: Final = "volume.beta.kubernetes.io/storage-class"
_CLASS_WARNING: Final = (
    f'metadata.annotations[{_CLASS_ANNOTATION}]: deprecated since v1.8; use "storageClassName" attribute instead'
)


def fractional(where: str, value: Any) -> Iterator[str]:
    """Bytes in parts; most texts show at once that they are whole."""
    text = str(value)
    if "." not in text and text[-1:] not in ("m", "u", "n") and "e" not in text.lower():
        return
    try:
        is_whole = Quantity.parse(text).nanos % NANO == 0
    except QuantityError:
        return
    if not is_whole:
        yield f"{where}: fractional byte value {quoted(text)} is invalid, must be an integer"


def claim_spec(where: str, spec: Object) -> Iterator[str]:
    """Of a claim's spec; `where` is its place without a dot."""
    for key in ("requests", "limits"):
        value = dig(spec, "resources", key, "storage")
        if value is not None:
            yield from fractional(f"{where}.resources.{key}[storage]", value)


def claim(new: Object, old: Object | None) -> Iterator[str]:
    if _CLASS_ANNOTATION in dig(new, "metadata", "annotations", default={}):
        yield _CLASS_WARNING
    yield from claim_spec("spec", new.get("spec") or {})


def persistent_volume(new: Object, old: Object | None) -> Iterator[str]:
    spec = new.get("spec") or {}
    if _CLASS_ANNOTATION in dig(new, "metadata", "annotations", default={}):
        yield _CLASS_WARNING
    if spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        yield "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the " \
              "recommended approach is to use dynamic provisioning."
    for position, term in enumerate(dig(spec, "nodeAffinity", "required", "nodeSelectorTerms", default=())):
        yield from term_warnings(f"spec.nodeAffinity.required.nodeSelectorTerms[{position}]", term)
    for plugin in _PV_PLUGINS:
        if spec.get(plugin) is not None:
            yield f"spec.{plugin}: {_PLUGINS[plugin]}"


def pod_volumes(where: str, volumes: list[Object]) -> Iterator[str]:
    """Of the volumes in a pod's spec."""
    for position, volume in enumerate(volumes):
        for key in volume:
            if key in _PLUGINS:
                yield f"{where}spec.volumes[{position}].{key}: {_PLUGINS[key]}"
        template = dig(volume, "ephemeral", "volumeClaimTemplate", "spec") if "ephemeral" in volume else None
        if template:
            yield from claim_spec(f"{where}spec.volumes[{position}].ephemeral.volumeClaimTemplate.spec", template)
        if not _WITH_PATHS.isdisjoint(volume):
            yield from _overlaps(volume)


def _overlaps(volume: Object) -> Iterator[str]:
    """Paths of which one is the other, or lies in it."""
    named = quoted(str(volume.get("name", "")))
    for key, title, name_key in _SOURCES:
        source = volume.get(key)
        if source and source.get("items"):
            name = f" {quoted(str(source.get(name_key) or ''))}" if name_key else ""
            paths = [(str(one.get("path") or ""), "") for one in source["items"]]
            yield from _colliding(f"volume {named} ({title}{name}): overlapping paths", paths)
    if "projected" not in volume:
        return
    paths = []
    for source in dig(volume, "projected", "sources", default=()):
        if not source:
            yield f"volume {named} (Projected) has no sources provided"
        paths += _projected(source)
    yield from _colliding(f"volume {named} (Projected): overlapping paths", paths)


def _projected(source: Object) -> list[tuple[str, str]]:
    """The paths of one source of a projected volume, each with the source as messages name it."""
    for key, title in (("configMap", "ConfigMap"), ("secret", "Secret"), ("downwardAPI", "DownwardAPI")):
        if found := source.get(key):
            name = "" if key == "downwardAPI" else f" {quoted(str(found.get('name') or ''))}"
            return [(str(one.get("path") or ""), f" ({title}{name})") for one in found.get("items") or ()]
    if found := source.get("serviceAccountToken"):
        return [(str(found.get("path") or ""), " (ServiceAccountToken)")]
    if found := source.get("clusterTrustBundle"):
        name = quoted(str(found.get("name") or found.get("signerName") or ""))
        return [(str(found.get("path") or ""), f" (ClusterTrustBundle {name})")]
    return []


def _colliding(title: str, paths: list[tuple[str, str]]) -> Iterator[str]:
    if len({path for path, _ in paths}) == len(paths) and not any("/" in path for path, _ in paths):
        return
    seen: list[tuple[str, str]] = []
    for path, source in paths:
        path = path.rstrip("/")
        for other, its_source in seen:
            if (path and other and f"{path}/".startswith(f"{other}/")) or f"{other}/".startswith(f"{path}/"):
                yield f"{title}: {quoted(path)}{source} with {quoted(other)}{its_source}"
        if path:
            seen.append((path, source))
