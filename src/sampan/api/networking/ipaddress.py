"""IPAddress: one allocated Service address, and the object that holds it."""

from __future__ import annotations

import ipaddress
from datetime import datetime

from sampan.api.columns import NAME, NONE
from sampan.api.kind import Column, Kind
from sampan.api.resources import IP_ADDRESSES
from sampan.apimachinery.field import FieldError, Path, required
from sampan.apimachinery.metadata import immutable
from sampan.apimachinery.object import Object, dig


def parent_text(obj: Object, now: datetime) -> str:
    """`services/default/web`: resource (with its group), namespace and name of the parent."""
    parent = dig(obj, "spec", "parentRef")
    if parent is None:
        return NONE
    resource = parent.get("resource", "")
    if parent.get("group"):
        resource = f"{resource}.{parent['group']}".lower()
    return "/".join(part for part in (resource, parent.get("namespace", ""), parent.get("name", "")) if part)

def valid_name(name: str) -> list[str]:
    """The name is the address, in its canonical form."""
    try:
        canonical = str(ipaddress.ip_address(name))
    except ValueError:
        return ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]
    return [] if canonical == name else [f'must be in canonical form ("{canonical}")']


def validate(obj: Object) -> list[FieldError]:
    parent, path = dig(obj, "spec", "parentRef"), Path("spec").child("parentRef")
    if parent is None:
        return [required(path)]
    return [required(path.child(key)) for key in ("resource", "name") if not parent.get(key)]


def validate_update(new: Object, old: Object) -> list[FieldError]:
    return immutable(dig(new, "spec", "parentRef"), dig(old, "spec", "parentRef"), Path("spec").child("parentRef"))


IP_ADDRESS = Kind(
    resource=IP_ADDRESSES,
    definition="io.k8s.api.networking.v1.IPAddress",
    singular="ipaddress",
    short_names=("ip",),
    validate=validate,
    validate_update=validate_update,
    valid_name=valid_name,
    columns=(NAME, Column("ParentRef", "string", parent_text, doc="networking.v1.IPAddressSpec#parentRef")),
)
