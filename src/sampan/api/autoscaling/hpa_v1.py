"""HorizontalPodAutoscaler (v1): replicas that follow CPU use."""

from __future__ import annotations

from sampan.api.columns import NAME_AND_AGE
from sampan.api.kind import Kind
from sampan.api.resources import HORIZONTAL_POD_AUTOSCALERS_V1
from sampan.api.strategy import create_with_generation, status_subresource, update_with_generation

HORIZONTAL_POD_AUTOSCALER_V1 = Kind(
    resource=HORIZONTAL_POD_AUTOSCALERS_V1,
    definition="io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler",
    singular="horizontalpodautoscaler",
    short_names=("hpa",),
    categories=("all",),
    prepare_create=create_with_generation,
    prepare_update=update_with_generation,
    columns=NAME_AND_AGE,
    subresources=status_subresource(),
)
