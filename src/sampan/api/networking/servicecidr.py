"""ServiceCIDR: a range from which Services get their addresses."""

from __future__ import annotations

import ipaddress
from datetime import datetime

from sampan.api.columns import AGE, NAME
from sampan.api.kind import Column, Kind
from sampan.api.resources import SERVICE_CIDRS
from sampan.api.strategy import drop_status, keep_status, status_alone
from sampan.apimachinery.field import FieldError, Path, invalid, required
from sampan.apimachinery.metadata import immutable
from sampan.apimachinery.names import cidr
from sampan.apimachinery.object import Object, dig


def cidrs_text(obj: Object, now: datetime) -> str:
    return ",".join(dig(obj, "spec", "cidrs", default=()))


def validate(obj: Object) -> list[FieldError]:
    ranges, path = dig(obj, "spec", "cidrs", default=[]), Path("spec").child("cidrs")
    if not ranges:
        return [required(path, "at least one CIDR required")]
    if len(ranges) > 2:
        return [invalid(path, ranges, "may only hold up to 2 values")]
    errors = [invalid(path.index(position), text, why) for position, text in enumerate(ranges) for why in _range(text)]
    if not errors and len(ranges) == 2 and (":" in ranges[0]) is (":" in ranges[1]):
        why = f"may specify no more than one IP for each IP family, got [{' '.join(ranges)}]"
        errors.append(invalid(path, ranges, why))
    return errors


def _range(text: str) -> list[str]:
    """A range begins at its first address, written in the one usual way."""
    if found := cidr(text):
        return found
    network = ipaddress.ip_network(text, strict=False)
    if str(network) == text:
        return []
    address = text.partition("/")[0]
    if ipaddress.ip_address(address) != network.network_address:
        return ["must not have bits set beyond the prefix length"]
    return [f'must be in canonical form ("{network}")']


def validate_update(new: Object, old: Object) -> list[FieldError]:
    after, before = dig(new, "spec", "cidrs", default=[]), dig(old, "spec", "cidrs", default=[])
    if after[:1] == before[:1] and len(before) == 1:
        return []
    return immutable(after, before, Path("spec").child("cidrs"))


SERVICE_CIDR = Kind(
    resource=SERVICE_CIDRS,
    definition="io.k8s.api.networking.v1.ServiceCIDR",
    singular="servicecidr",
    prepare_create=drop_status,
    prepare_update=keep_status,
    subresources=status_alone(),
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, Column("CIDRs", "string", cidrs_text, doc="networking.v1.ServiceCIDRSpec#cidrs"), AGE),
)
