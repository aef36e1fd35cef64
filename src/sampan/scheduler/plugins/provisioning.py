"""Whether a volume could be made for a claim on a node: by its class's provisioner, in an allowed topology, with room.

Room is only asked about where the CSIDriver says that it reports it (`spec.storageCapacity`); then one of its
CSIStorageCapacity objects must be for the class and the node and have space for the claim (KEP-1472).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sampan.api.core.volume_matching import NO_PROVISIONER, class_of, requested
from sampan.api.resources import CSI_DRIVERS, CSI_STORAGE_CAPACITIES
from sampan.apimachinery import selectors
from sampan.apimachinery.object import Object, dig, name_of
from sampan.apimachinery.quantity import Quantity
from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.handle import Handle
from sampan.scheduler.framework.status import Status, unresolvable
from sampan.scheduler.node_masks import NodeMasks
from sampan.scheduler.node_table import Bools

UNAVAILABLE = unresolvable("node(s) didn't find available persistent volumes to bind")
FULL = unresolvable("node(s) did not have enough free storage")


class Provisioning:
    """Asks the scheduler's copies of classes, drivers and capacities."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._drivers = handle.listen(CSI_DRIVERS, ClusterEvent.CSI_DRIVER)
        self._capacities = handle.listen(CSI_STORAGE_CAPACITIES, ClusterEvent.CSI_CAPACITY)

    def rows(self, claim: Object, masks: NodeMasks) -> tuple[Bools, Bools]:
        """As `refusal`, of all nodes: where a volume can be made, and where only room is missing."""
        found = self._handle.storage.storage_class(class_of(claim))
        provisioner = (found or {}).get("provisioner")
        nowhere = np.zeros(len(masks.every()), np.bool_)
        if found is None or provisioner in (None, "", NO_PROVISIONER):
            return nowhere, nowhere
        allowed = masks.of_topologies(found.get("allowedTopologies") or [])
        driver = self._drivers.get(str(provisioner))
        if driver is None or not dig(driver, "spec", "storageCapacity"):
            return allowed, nowhere
        wanted, roomy = requested(claim), nowhere.copy()
        for one in self._capacities.list():
            if one.get("nodeTopology") is not None and _offers(one, name_of(found), wanted):
                roomy |= masks.of_label_selector(one["nodeTopology"])
        return allowed & roomy, allowed & ~roomy

    def refusal(self, claim: Object, labels: Mapping[str, str]) -> Status | None:
        """Why no volume can be made for the claim on a node with these labels; None if one can."""
        found = self._handle.storage.storage_class(class_of(claim))
        provisioner = (found or {}).get("provisioner")
        if found is None or provisioner in (None, "", NO_PROVISIONER):
            return UNAVAILABLE
        if not _allows(found, labels):
            return UNAVAILABLE
        driver = self._drivers.get(str(provisioner))
        if driver is None or not dig(driver, "spec", "storageCapacity"):
            return None
        wanted = requested(claim)
        if any(_has_room(one, name_of(found), labels, wanted) for one in self._capacities.list()):
            return None
        return FULL


def _allows(storage_class: Object, labels: Mapping[str, str]) -> bool:
    """Whether the node is in one of the class's topologies; a class without any allows all."""
    terms = storage_class.get("allowedTopologies") or ()
    return not terms or any(
        all(
            labels.get(expression.get("key") or "") in (expression.get("values") or ())
            for expression in term.get("matchLabelExpressions") or ()
        )
        for term in terms
    )


def _has_room(capacity: Object, storage_class: str, labels: Mapping[str, str], wanted: Quantity) -> bool:
    topology = capacity.get("nodeTopology")
    if topology is None or not selectors.from_document(topology).matches(labels):
        return False
    return _offers(capacity, storage_class, wanted)


def _offers(capacity: Object, storage_class: str, wanted: Quantity) -> bool:
    """Whether it is for the class and has the space, wherever that is."""
    if capacity.get("storageClassName") != storage_class:
        return False
    limit = capacity.get("maximumVolumeSize") or capacity.get("capacity")
    return limit is not None and Quantity.parse(limit) >= wanted
