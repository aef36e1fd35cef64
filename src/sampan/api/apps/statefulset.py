"""StatefulSet: pods with identities and storage of their own."""

from __future__ import annotations

from sampan.api.columns import NAME_AND_AGE
from sampan.api.kind import Kind
from sampan.api.resources import STATEFUL_SETS
from sampan.api.strategy import create_with_generation, status_subresource, update_with_generation

STATEFUL_SET = Kind(
    resource=STATEFUL_SETS,
    definition="io.k8s.api.apps.v1.StatefulSet",
    singular="statefulset",
    short_names=("sts",),
    categories=("all",),
    prepare_create=create_with_generation,
    prepare_update=update_with_generation,
    columns=NAME_AND_AGE,
    subresources=status_subresource(),
)
