"""How fast the nodes of a zone may lose their pods, by how many of its nodes are well.

Normally one node begins every ten seconds. When most of a zone's nodes are lost (55 percent, and more than two), it is
likely that the zone's network is at fault and not the nodes: a large zone (more than 50 nodes) then goes ten times
slower, a small one stops. A zone that is lost as a whole is evacuated at the normal pace, for other zones can take its
pods; but if every zone is, nothing is evicted anywhere, for then it is this side that lost the network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from sampan.apimachinery.object import Object, labels_of
from sampan.controllers.config import ControllerManagerConfig
from sampan.controllers.pods import is_ready
from sampan.reconcile.measures import Reading

LABELS = ("topology.kubernetes.io/region", "topology.kubernetes.io/zone")


@dataclass(frozen=True, slots=True)
class Zone:
    """How many nodes a zone has, and how many of them are not ready."""

    size: int = 0
    lost: int = 0

    @property
    def is_lost(self) -> bool:
        return self.size > 0 and self.lost == self.size


def zone_of(node: Object) -> str:
    return "/".join(labels_of(node).get(label, "") for label in LABELS)


def zones_of(nodes: Iterable[Object]) -> dict[str, Zone]:
    """The zones of these nodes."""
    found: dict[str, Zone] = {}
    for node in nodes:
        known = found.get(zone_of(node), Zone())
        found[zone_of(node)] = Zone(known.size + 1, known.lost + (not is_ready(node)))
    return found


def metric_label(zone: str) -> str:
    """As upstream writes a zone: region and zone with a separator that neither can have."""
    region, _, name = zone.partition("/")
    return f"{region}:\0:{name}" if region or name else ""


def zone_readings(zones: Callable[[], Mapping[str, Zone]]) -> tuple[Reading, ...]:
    """How large the zones are and how they do, for Prometheus."""

    def reading(name: str, text: str, value: Callable[[Zone], float]) -> Reading:
        def read() -> dict[tuple[str, ...], float]:
            return {(metric_label(zone),): value(found) for zone, found in zones().items()}

        return Reading(f"node_collector_{name}", text, ("zone",), read)

    return (
        reading("zone_size", "Gauge measuring number of registered Nodes per zones.", lambda zone: zone.size),
        reading(
            "unhealthy_nodes_in_zone", "Gauge measuring number of not Ready Nodes per zones.", lambda zone: zone.lost
        ),
        reading(
            "zone_health", "Gauge measuring percentage of healthy nodes per zone.",
            lambda zone: 100.0 * (zone.size - zone.lost) / zone.size,
        ),
    )


def all_lost(zones: Mapping[str, Zone]) -> bool:
    """Whether no node anywhere is ready, which says more of us than of them."""
    return all(zone.is_lost for zone in zones.values())


def rate_of(zone: Zone, config: ControllerManagerConfig) -> float:
    """Nodes a second whose pods may begin to be evicted."""
    partly = zone.lost > 2 and zone.lost / zone.size >= config.unhealthy_zone_threshold
    if zone.is_lost or not partly:
        return config.node_eviction_per_s
    return config.secondary_node_eviction_per_s if zone.size > config.large_cluster_size else 0.0


class EvictionBudget:
    """The pace of each zone. A change of the rate holds at once, counted from the last node."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def may(self, zone: str, rate_per_s: float, now: float) -> bool:
        """Whether another node of the zone may begin to lose its pods."""
        last = self._last.get(zone)
        return rate_per_s > 0 and (last is None or now >= last + 1 / rate_per_s)

    def spend(self, zone: str, now: float) -> None:
        self._last[zone] = now
