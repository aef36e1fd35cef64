"""HorizontalPodAutoscaler (v2): replicas that follow metrics."""

from __future__ import annotations

from sampan.api.columns import NAME_AND_AGE
from sampan.api.kind import Kind
from sampan.api.resources import HORIZONTAL_POD_AUTOSCALERS
from sampan.api.strategy import create_with_generation, status_subresource, update_with_generation

HORIZONTAL_POD_AUTOSCALER = Kind(
    resource=HORIZONTAL_POD_AUTOSCALERS,
    definition="io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler",
    singular="horizontalpodautoscaler",
    short_names=("hpa",),
    categories=("all",),
    prepare_create=create_with_generation,
    prepare_update=update_with_generation,
    columns=NAME_AND_AGE,
    subresources=status_subresource(),
)
