"""ControllerRevision: an earlier state of a StatefulSet or DaemonSet."""

from __future__ import annotations

from sampan.api.columns import NAME_AND_AGE
from sampan.api.kind import Kind
from sampan.api.resources import CONTROLLER_REVISIONS
from sampan.api.strategy import create_with_generation, status_subresource, update_with_generation

CONTROLLER_REVISION = Kind(
    resource=CONTROLLER_REVISIONS,
    definition="io.k8s.api.apps.v1.ControllerRevision",
    singular="controllerrevision",
    short_names=(),
    categories=(),
    prepare_create=create_with_generation,
    prepare_update=update_with_generation,
    columns=NAME_AND_AGE,
    subresources=status_subresource(),
)
