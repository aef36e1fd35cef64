"""CSINode: the CSI drivers that a node offers, and what each calls the node."""

from __future__ import annotations

from sampan.api.columns import AGE, NAME, length
from sampan.api.kind import Column, Kind
from sampan.api.resources import CSI_NODES
from sampan.apimachinery.field import FieldError, Path, duplicate, invalid, required
from sampan.apimachinery.object import Object, dig


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for position, driver in enumerate(dig(obj, "spec", "drivers", default=())):
        path = Path("spec").child("drivers").index(position)
        name = driver.get("name") or ""
        if not name:
            errors.append(required(path.child("name")))
        elif name in seen:
            errors.append(duplicate(path.child("name"), name))
        seen.add(name)
        if not driver.get("nodeID"):
            errors.append(required(path.child("nodeID")))
        count = dig(driver, "allocatable", "count")
        if count is not None and count < 0:
            errors.append(invalid(path.child("allocatable", "count"), count, "must be greater than or equal to 0"))
    return errors


CSI_NODE = Kind(
    resource=CSI_NODES,
    definition="io.k8s.api.storage.v1.CSINode",
    singular="csinode",
    validate=validate,
    columns=(
        NAME,
        Column("Drivers", "integer", length("spec", "drivers"),
               "Drivers indicates the number of CSI drivers registered on the node"),
        AGE,
    ),
)
