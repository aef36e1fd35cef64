"""ServiceAccount: an identity for what runs in pods."""

from __future__ import annotations

from sampan.api.columns import NAME_AND_AGE
from sampan.api.kind import Kind
from sampan.api.resources import SERVICE_ACCOUNTS

SERVICE_ACCOUNT = Kind(
    resource=SERVICE_ACCOUNTS,
    definition="io.k8s.api.core.v1.ServiceAccount",
    singular="serviceaccount",
    short_names=("sa",),
    columns=NAME_AND_AGE,
)
