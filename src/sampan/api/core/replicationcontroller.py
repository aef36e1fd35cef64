"""ReplicationController: the older ReplicaSet."""

from __future__ import annotations

from sampan.api.columns import NAME_AND_AGE
from sampan.api.kind import Kind
from sampan.api.resources import REPLICATION_CONTROLLERS
from sampan.api.strategy import create_with_generation, status_subresource, update_with_generation

REPLICATION_CONTROLLER = Kind(
    resource=REPLICATION_CONTROLLERS,
    definition="io.k8s.api.core.v1.ReplicationController",
    singular="replicationcontroller",
    short_names=("rc",),
    categories=("all",),
    prepare_create=create_with_generation,
    prepare_update=update_with_generation,
    columns=NAME_AND_AGE,
    subresources=status_subresource(),
)
