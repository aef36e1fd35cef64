"""PersistentVolume: a piece of storage."""

from __future__ import annotations

from sampan.api.columns import NAME_AND_AGE
from sampan.api.kind import Kind
from sampan.api.resources import PERSISTENT_VOLUMES
from sampan.api.strategy import create_with_generation, status_subresource, update_with_generation

PERSISTENT_VOLUME = Kind(
    resource=PERSISTENT_VOLUMES,
    definition="io.k8s.api.core.v1.PersistentVolume",
    singular="persistentvolume",
    short_names=("pv",),
    categories=(),
    prepare_create=create_with_generation,
    prepare_update=update_with_generation,
    columns=NAME_AND_AGE,
    subresources=status_subresource(),
)
