"""The quality of service class of a pod: Guaranteed, Burstable or BestEffort (upstream's ComputePodQOS).

Only cpu and memory count, and amounts of zero do not. Resources of the pod as a whole come before those of containers.
"""

from __future__ import annotations

from sampan.api.core.resource_lists import parse
from sampan.apimachinery.object import Object
from sampan.apimachinery.quantity import Quantity

_COUNTED = ("cpu", "memory")


def qos_class(pod: Object) -> str:
    """Guaranteed when everything has limits equal to its requests, BestEffort when nothing has either."""
    spec = pod.get("spec") or {}
    own = spec.get("resources")
    if own:
        bearers = [own]
    else:
        containers = [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]
        bearers = [container.get("resources") or {} for container in containers]
    amounts = [(_counted(bearer.get("requests")), _counted(bearer.get("limits"))) for bearer in bearers]
    if not any(requests or limits for requests, limits in amounts):
        return "BestEffort"
    if all(len(limits) == len(_COUNTED) and all(requests.get(name, limits[name]) == limits[name] for name in limits)
           for requests, limits in amounts):
        return "Guaranteed"
    return "Burstable"


def _counted(resources: Object | None) -> dict[str, Quantity]:
    found = {}
    for name in _COUNTED:
        amount = parse((resources or {}).get(name))
        if amount is not None and amount.sign() > 0:
            found[name] = amount
    return found
