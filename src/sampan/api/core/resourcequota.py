"""ResourceQuota: how much a namespace may use."""

from __future__ import annotations

from sampan.api.columns import NAME_AND_AGE
from sampan.api.kind import Kind
from sampan.api.resources import RESOURCE_QUOTAS
from sampan.api.strategy import create_with_generation, status_subresource, update_with_generation

RESOURCE_QUOTA = Kind(
    resource=RESOURCE_QUOTAS,
    definition="io.k8s.api.core.v1.ResourceQuota",
    singular="resourcequota",
    short_names=("quota",),
    categories=(),
    prepare_create=create_with_generation,
    prepare_update=update_with_generation,
    columns=NAME_AND_AGE,
    subresources=status_subresource(),
)
