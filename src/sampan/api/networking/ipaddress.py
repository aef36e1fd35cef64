"""IPAddress: one allocated Service address, and the object that holds it."""

from __future__ import annotations

from datetime import datetime

from sampan.api.columns import AGE, NAME
from sampan.api.kind import Column, Kind
from sampan.api.resources import IP_ADDRESSES
from sampan.apimachinery.object import Object, dig


def parent_text(obj: Object, now: datetime) -> str:
    """`services/default/web`: resource (with its group), namespace and name of the parent."""
    parent = dig(obj, "spec", "parentRef", default={})
    resource = parent.get("resource", "")
    if parent.get("group"):
        resource = f"{resource}.{parent['group']}"
    return "/".join(part for part in (resource, parent.get("namespace", ""), parent.get("name", "")) if part)

IP_ADDRESS = Kind(
    resource=IP_ADDRESSES,
    definition="io.k8s.api.networking.v1.IPAddress",
    singular="ipaddress",
    short_names=("ip",),
    columns=(NAME, Column("ParentRef", "string", parent_text, "The object that holds this address."), AGE),
)
