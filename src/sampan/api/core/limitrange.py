"""LimitRange: defaults and bounds for the resources of pods and claims."""

from __future__ import annotations

from sampan.api.columns import NAME_AND_AGE
from sampan.api.kind import Kind
from sampan.api.resources import LIMIT_RANGES
from sampan.api.strategy import create_with_generation, status_subresource, update_with_generation

LIMIT_RANGE = Kind(
    resource=LIMIT_RANGES,
    definition="io.k8s.api.core.v1.LimitRange",
    singular="limitrange",
    short_names=("limits",),
    categories=(),
    prepare_create=create_with_generation,
    prepare_update=update_with_generation,
    columns=NAME_AND_AGE,
    subresources=status_subresource(),
)
