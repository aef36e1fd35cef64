"""How fast the nodes of a zone may lose their pods, by how many of its nodes are well.

Normally one node begins every ten seconds. When most of a zone's nodes are lost (55 percent, and more than two), it is
likely that the zone's network is at fault and not the nodes: a large zone (more than 50 nodes) then goes ten times
slower, a small one stops. A zone that is lost as a whole is evacuated at the normal pace, for other zones can take its
pods; but if every zone is, nothing is evicted anywhere, for then it is this side that lost the network. Nodes with the
label `node.kubernetes.io/exclude-disruption` count neither way.

Nodes of a zone take turns in the order in which they were lost (`EvictionQueues`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice

from sampan.apimachinery.object import Object, labels_of
from sampan.controllers.config import ControllerManagerConfig
from sampan.controllers.pods import is_ready
from sampan.reconcile.measures import Reading

LABELS = tuple((f"failure-domain.beta.kubernetes.io/{what}", f"topology.kubernetes.io/{what}")
               for what in ("region", "zone"))
"""Region and zone, each under its older name, which goes first as upstream has it, and its present one."""
_FORESEEN = 8
"""For so many of those that wait it is said when their turn comes."""
EXCLUDED = "node.kubernetes.io/exclude-disruption"


@dataclass(frozen=True, slots=True)
class Zone:
    """How many nodes a zone has, and how many of them are not ready."""

    size: int = 0
    lost: int = 0

    @property
    def is_lost(self) -> bool:
        return self.size > 0 and self.lost == self.size


def zone_of(node: Object) -> str:
    """Region and zone of a node, with a separator that no label's value can have."""
    labels = labels_of(node)
    return "/".join(str(labels.get(older, labels.get(name, ""))) for older, name in LABELS)


def zones_of(nodes: Iterable[Object]) -> dict[str, Zone]:
    """The zones of these nodes."""
    found: dict[str, Zone] = {}
    for node in nodes:
        if EXCLUDED in labels_of(node):
            continue
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
    return bool(zones) and all(zone.is_lost for zone in zones.values())


def rate_of(zone: Zone, config: ControllerManagerConfig) -> float:
    """Nodes a second whose pods may begin to be evicted."""
    partly = zone.lost > 2 and zone.lost / zone.size >= config.unhealthy_zone_threshold
    if zone.is_lost or not partly:
        return config.node_eviction_per_s
    return config.secondary_node_eviction_per_s if zone.size > config.large_cluster_size else 0.0


@dataclass(slots=True)
class _Queue:
    """The nodes of a zone that wait, their pace, and when (monotonic seconds) the next one may begin."""

    rate_per_s: float
    next_at: float = -math.inf
    waiting: dict[str, None] = field(default_factory=dict)


class EvictionQueues:
    """Whose turn it is in each zone. A new pace counts from when it was set where somebody had to wait until then."""

    def __init__(self, rate_per_s: float) -> None:
        self._usual = rate_per_s
        self._zones: dict[str, _Queue] = {}

    def set_rate(self, zone: str, rate_per_s: float, now: float) -> None:
        """The pace that the zone has from now on; 0 is none at all."""
        queue = self._zones.setdefault(zone, _Queue(self._usual))
        if rate_per_s != queue.rate_per_s:
            waits = queue.rate_per_s <= 0 or now < queue.next_at
            queue.next_at = now + 1 / rate_per_s if waits and rate_per_s > 0 else now
            queue.rate_per_s = rate_per_s

    def join(self, zone: str, node: str) -> None:
        """The node waits for its turn, behind those that do already."""
        queue = self._zones.setdefault(zone, _Queue(self._usual))
        if node not in queue.waiting:
            self.leave(node)
            queue.waiting[node] = None

    def leave(self, node: str) -> None:
        """The node is well again, tainted, or gone."""
        for queue in self._zones.values():
            queue.waiting.pop(node, None)

    def wait_s(self, zone: str, node: str, now: float) -> float:
        """For how long the node has to wait, 0 if it may begin; infinite if nobody may, or many are before it."""
        queue = self._zones.get(zone)
        if queue is not None and queue.rate_per_s > 0:
            for place, waiting in enumerate(islice(queue.waiting, _FORESEEN)):
                if waiting == node:
                    return max(queue.next_at - now, 0.0) + place / queue.rate_per_s
        return math.inf

    def spend(self, zone: str, now: float) -> None:
        """A node of the zone has begun. It stays the first until its taint is seen: nobody begins in the meantime."""
        queue = self._zones[zone]
        if queue.rate_per_s > 0:  # else it began before the pace was taken away, and the next one counts anew
            queue.next_at = now + 1 / queue.rate_per_s
