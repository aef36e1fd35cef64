"""SCHEDULER_PLUGINS: every built-in plugin in the order in which it runs, with the weight of its score.

Filters run in this order, so the cheap ones that refuse most come first; weights are upstream's defaults.
"""

from __future__ import annotations

from dataclasses import dataclass

from sampan.scheduler.framework.handle import PluginFactory
from sampan.scheduler.plugins.balanced_allocation import NodeResourcesBalancedAllocation
from sampan.scheduler.plugins.default_binder import DefaultBinder
from sampan.scheduler.plugins.default_preemption import DefaultPreemption
from sampan.scheduler.plugins.dynamic_resources import DynamicResources
from sampan.scheduler.plugins.gang_scheduling import GangScheduling
from sampan.scheduler.plugins.image_locality import ImageLocality
from sampan.scheduler.plugins.inter_pod_affinity import InterPodAffinity
from sampan.scheduler.plugins.node_affinity import NodeAffinity
from sampan.scheduler.plugins.node_name import NodeName
from sampan.scheduler.plugins.node_ports import NodePorts
from sampan.scheduler.plugins.node_resources_fit import NodeResourcesFit
from sampan.scheduler.plugins.node_unschedulable import NodeUnschedulable
from sampan.scheduler.plugins.node_volume_limits import NodeVolumeLimits
from sampan.scheduler.plugins.pod_topology_spread import PodTopologySpread
from sampan.scheduler.plugins.priority_sort import PrioritySort
from sampan.scheduler.plugins.scheduling_gates import SchedulingGates
from sampan.scheduler.plugins.taint_toleration import TaintToleration
from sampan.scheduler.plugins.volume_binding import VolumeBinding
from sampan.scheduler.plugins.volume_restrictions import VolumeRestrictions
from sampan.scheduler.plugins.volume_zone import VolumeZone


@dataclass(frozen=True, slots=True)
class PluginEntry:
    name: str
    make: PluginFactory
    weight: int = 1


SCHEDULER_PLUGINS: tuple[PluginEntry, ...] = (
    PluginEntry("SchedulingGates", SchedulingGates),
    PluginEntry("GangScheduling", GangScheduling),
    PluginEntry("PrioritySort", PrioritySort),
    PluginEntry("NodeUnschedulable", NodeUnschedulable),
    PluginEntry("NodeName", NodeName),
    PluginEntry("TaintToleration", TaintToleration, weight=3),
    PluginEntry("NodeAffinity", NodeAffinity, weight=2),
    PluginEntry("NodePorts", NodePorts),
    PluginEntry("NodeResourcesFit", NodeResourcesFit),
    PluginEntry("VolumeRestrictions", VolumeRestrictions),
    PluginEntry("NodeVolumeLimits", NodeVolumeLimits),
    PluginEntry("VolumeBinding", VolumeBinding),
    PluginEntry("VolumeZone", VolumeZone),
    PluginEntry("PodTopologySpread", PodTopologySpread, weight=2),
    PluginEntry("InterPodAffinity", InterPodAffinity, weight=2),
    PluginEntry("DynamicResources", DynamicResources, weight=2),
    PluginEntry("DefaultPreemption", DefaultPreemption),
    PluginEntry("NodeResourcesBalancedAllocation", NodeResourcesBalancedAllocation),
    PluginEntry("ImageLocality", ImageLocality),
    PluginEntry("DefaultBinder", DefaultBinder),
)
