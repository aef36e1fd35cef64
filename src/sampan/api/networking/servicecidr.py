"""ServiceCIDR: a range from which Services get their addresses."""

from __future__ import annotations

from datetime import datetime

from sampan.api.columns import AGE, NAME
from sampan.api.kind import Column, Kind
from sampan.api.resources import SERVICE_CIDRS
from sampan.api.strategy import drop_status, keep_status, status_subresource
from sampan.apimachinery.object import Object, dig


def cidrs_text(obj: Object, now: datetime) -> str:
    return ",".join(dig(obj, "spec", "cidrs", default=()))

SERVICE_CIDR = Kind(
    resource=SERVICE_CIDRS,
    definition="io.k8s.api.networking.v1.ServiceCIDR",
    singular="servicecidr",
    prepare_create=drop_status,
    prepare_update=keep_status,
    subresources=status_subresource(),
    columns=(NAME, Column("CIDRs", "string", cidrs_text, "The address ranges, one an address family."), AGE),
)
