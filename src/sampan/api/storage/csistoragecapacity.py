"""CSIStorageCapacity: how much space a CSI driver has left for a storage class on some nodes."""

from __future__ import annotations

from sampan.api.columns import NAME, UNSET, at
from sampan.api.core.resource_lists import canonicalise_field, parse
from sampan.api.kind import Column, Kind
from sampan.api.resources import CSI_STORAGE_CAPACITIES
from sampan.api.selector_rules import validate_label_selector
from sampan.api.warnings import node_labels
from sampan.apimachinery.field import FieldError, Path, invalid
from sampan.apimachinery.metadata import immutable
from sampan.apimachinery.names import dns1123_subdomain
from sampan.apimachinery.object import Object


def default(obj: Object) -> None:
    canonicalise_field(obj, "capacity")
    canonicalise_field(obj, "maximumVolumeSize")


def validate(obj: Object) -> list[FieldError]:
    errors = validate_label_selector(obj.get("nodeTopology"), Path("nodeTopology"))
    name = obj.get("storageClassName") or ""
    errors += [invalid(Path("storageClassName"), name, why) for why in dns1123_subdomain(name)]
    for key in ("capacity", "maximumVolumeSize"):
        amount = parse(obj.get(key))
        if amount is not None and amount.sign() < 0:
            errors.append(invalid(Path(key), str(amount), "must be greater than or equal to 0"))
    return errors


def validate_update(new: Object, old: Object) -> list[FieldError]:
    """Topology and class say which capacity it is; only the amounts change."""
    return [error for key in ("nodeTopology", "storageClassName")
            for error in immutable(new.get(key), old.get(key), Path(key))]


CSI_STORAGE_CAPACITY = Kind(
    resource=CSI_STORAGE_CAPACITIES,
    definition="io.k8s.api.storage.v1.CSIStorageCapacity",
    singular="csistoragecapacity",
    default=default,
    validate=validate,
    validate_update=validate_update,
    warnings=node_labels.storage_capacity,
    columns=(
        NAME,
        Column("StorageClassName", "string", at("storageClassName"),
               doc="storage.v1.CSIStorageCapacity#storageClassName"),
        Column("Capacity", "string", at("capacity", default=UNSET), doc="storage.v1.CSIStorageCapacity#capacity"),
    ),
)
