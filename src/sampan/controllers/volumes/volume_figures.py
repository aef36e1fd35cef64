"""How many volumes and claims there are, bound and unbound, for Prometheus: upstream's `pv_collector_*`."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sampan.api.core.volume_matching import class_of, mode_of
from sampan.apimachinery.object import Object, dig, namespace_of
from sampan.reconcile.measures import Reading, Values

_PLUGINS = {
    "hostPath": "kubernetes.io/host-path", "local": "kubernetes.io/local-volume", "nfs": "kubernetes.io/nfs",
    "iscsi": "kubernetes.io/iscsi", "fc": "kubernetes.io/fc",
}

Objects = Callable[[], Iterable[Object]]


def plugin_of(volume: Object) -> str:
    """The name of the plugin that knows what the volume is."""
    if driver := dig(volume, "spec", "csi", "driver"):
        return f"kubernetes.io/csi:{driver}"
    return next((name for field, name in _PLUGINS.items() if field in volume["spec"]), "N/A")


def readings(volumes: Objects, claims: Objects) -> tuple[Reading, ...]:
    """All of them."""
    of_claims = ("namespace", "storage_class", "volume_attributes_class")
    many = "Gauge measuring number of persistent volume"

    def total() -> Values:
        return _counted((plugin_of(one), mode_of(one)) for one in volumes())

    def of_volumes(*, bound: bool) -> Callable[[], Values]:
        return lambda: _counted((class_of(one),) for one in volumes() if _is_bound(one) is bound)

    def of_claim(*, bound: bool) -> Callable[[], Values]:
        return lambda: _counted(_claim(one) for one in claims() if _is_bound(one) is bound)

    found = [Reading(
        "pv_collector_total_pv_count", "Gauge measuring total number of persistent volumes",
        ("plugin_name", "volume_mode"), total,
    )]
    for word, bound in (("bound", True), ("unbound", False)):
        found += [
            Reading(f"pv_collector_{word}_pv_count", f"{many} currently {word}", ("storage_class",),
                    of_volumes(bound=bound)),
            Reading(f"pv_collector_{word}_pvc_count", f"{many} claim currently {word}", of_claims,
                    of_claim(bound=bound)),
        ]
    return tuple(found)


def _is_bound(obj: Object) -> bool:
    return bool(dig(obj, "status", "phase") == "Bound")


def _claim(claim: Object) -> tuple[str, ...]:
    return namespace_of(claim), class_of(claim), dig(claim, "spec", "volumeAttributesClassName") or ""


def _counted(keys: Iterable[tuple[str, ...]]) -> Values:
    found: dict[tuple[str, ...], float] = {}
    for key in keys:
        found[key] = found.get(key, 0.0) + 1.0
    return found
