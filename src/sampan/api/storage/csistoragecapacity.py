"""CSIStorageCapacity: how much space a CSI driver has left for a storage class on some nodes."""

from __future__ import annotations

from sampan.api.columns import AGE, NAME, UNSET, at
from sampan.api.kind import Column, Kind
from sampan.api.resources import CSI_STORAGE_CAPACITIES

CSI_STORAGE_CAPACITY = Kind(
    resource=CSI_STORAGE_CAPACITIES,
    definition="io.k8s.api.storage.v1.CSIStorageCapacity",
    singular="csistoragecapacity",
    columns=(
        NAME,
        Column("StorageClassName", "string", at("storageClassName"), "The name of the StorageClass."),
        Column("Capacity", "string", at("capacity", default=UNSET), "The capacity that the driver reported."),
        AGE,
    ),
)
