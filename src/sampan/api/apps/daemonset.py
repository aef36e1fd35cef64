"""DaemonSet: one pod on every node that fits."""

from __future__ import annotations

from sampan.api.columns import NAME_AND_AGE
from sampan.api.kind import Kind
from sampan.api.resources import DAEMON_SETS
from sampan.api.strategy import create_with_generation, status_subresource, update_with_generation

DAEMON_SET = Kind(
    resource=DAEMON_SETS,
    definition="io.k8s.api.apps.v1.DaemonSet",
    singular="daemonset",
    short_names=("ds",),
    categories=("all",),
    prepare_create=create_with_generation,
    prepare_update=update_with_generation,
    columns=NAME_AND_AGE,
    subresources=status_subresource(),
)
