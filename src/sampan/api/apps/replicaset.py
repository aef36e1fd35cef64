"""ReplicaSet: keeps a number of pods of one template."""

from __future__ import annotations

from sampan.api.columns import NAME_AND_AGE
from sampan.api.kind import Kind
from sampan.api.resources import REPLICA_SETS
from sampan.api.strategy import create_with_generation, status_subresource, update_with_generation

REPLICA_SET = Kind(
    resource=REPLICA_SETS,
    definition="io.k8s.api.apps.v1.ReplicaSet",
    singular="replicaset",
    short_names=("rs",),
    categories=("all",),
    prepare_create=create_with_generation,
    prepare_update=update_with_generation,
    columns=NAME_AND_AGE,
    subresources=status_subresource(),
)
