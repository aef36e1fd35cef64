"""StorageVersionMigration: a request to write all objects of a resource again."""

from __future__ import annotations

from datetime import datetime

from sampan.api.columns import NAME
from sampan.api.kind import Column, Kind
from sampan.api.resources import STORAGE_VERSION_MIGRATIONS
from sampan.api.strategy import drop_status, keep_status, status_alone
from sampan.apimachinery.field import FieldError, Path, invalid, required
from sampan.apimachinery.object import Object, dig


def resource_text(obj: Object, now: datetime) -> str:
    """`deployments.apps`; resources of the core group end with the dot."""
    resource = dig(obj, "spec", "resource", default={})
    return f"{resource.get('resource', '')}.{resource.get('group', '')}"


def validate(obj: Object) -> list[FieldError]:
    if not dig(obj, "spec", "resource", "resource"):
        return [required(Path("spec").child("resource", "resource"), "resource is required")]
    return []


def validate_update(new: Object, old: Object) -> list[FieldError]:
    if new.get("spec") == old.get("spec"):
        return []
    return [invalid(Path("spec"), new.get("spec"), "field is immutable")]


STORAGE_VERSION_MIGRATION = Kind(
    resource=STORAGE_VERSION_MIGRATIONS,
    definition="io.k8s.api.storagemigration.v1.StorageVersionMigration",
    singular="storageversionmigration",
    prepare_create=drop_status,
    prepare_update=keep_status,
    validate=validate,
    validate_update=validate_update,
    columns=(
        NAME, Column("Resource", "string", resource_text, "Fully qualified resource to migrate"),
    ),
    subresources=status_alone(),
)
