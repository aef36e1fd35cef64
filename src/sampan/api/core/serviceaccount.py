"""ServiceAccount: an identity for what runs in pods."""

from __future__ import annotations

from sampan.api.columns import NAME_AND_AGE
from sampan.api.kind import Kind
from sampan.api.resources import SERVICE_ACCOUNTS
from sampan.api.warnings import identity

SERVICE_ACCOUNT = Kind(
    resource=SERVICE_ACCOUNTS,
    definition="io.k8s.api.core.v1.ServiceAccount",
    singular="serviceaccount",
    short_names=("sa",),
    warnings=identity.service_account,
    columns=NAME_AND_AGE,
)
