"""VolumeAttachment: the intent to attach a volume to a node."""

from __future__ import annotations

from sampan.api.columns import AGE, NAME, at
from sampan.api.kind import Column, Kind
from sampan.api.resources import VOLUME_ATTACHMENTS
from sampan.api.strategy import drop_status, ensure, keep_status, setdefault, status_alone
from sampan.apimachinery.field import FieldError, Path, invalid, required
from sampan.apimachinery.object import Object, dig


def create(obj: Object) -> None:
    """A new attachment is not attached yet."""
    drop_status(obj)
    setdefault(ensure(obj, "status"), "attached", False)


def validate(obj: Object) -> list[FieldError]:
    spec, path = obj.get("spec") or {}, Path("spec")
    errors = []
    if not spec.get("attacher"):
        errors.append(required(path.child("attacher")))
    source = spec.get("source") or {}
    inline, named = source.get("inlineVolumeSpec"), source.get("persistentVolumeName")
    if inline is None and named is None:
        errors.append(required(path.child("source"), "must specify exactly one of inlineVolumeSpec and "
                                                     "persistentVolumeName"))
    elif inline is not None and named is not None:
        errors.append(invalid(path.child("source"), source, "must specify exactly one of inlineVolumeSpec and "
                                                            "persistentVolumeName"))
    elif named == "":
        errors.append(required(path.child("source", "persistentVolumeName"), "must specify non empty "
                                                                             "persistentVolumeName"))
    if not spec.get("nodeName"):
        errors.append(required(path.child("nodeName")))
    return errors


def validate_update(new: Object, old: Object) -> list[FieldError]:
    if new.get("spec") == old.get("spec"):
        return []
    return [invalid(Path("spec"), new.get("spec"), "field is immutable")]


VOLUME_ATTACHMENT = Kind(
    resource=VOLUME_ATTACHMENTS,
    definition="io.k8s.api.storage.v1.VolumeAttachment",
    singular="volumeattachment",
    prepare_create=create,
    prepare_update=keep_status,
    validate=validate,
    validate_update=validate_update,
    columns=(
        NAME,
        Column("Attacher", "string", at("spec", "attacher"), format="name",
               doc="storage.v1.VolumeAttachmentSpec#attacher"),
        Column("PV", "string", at("spec", "source", "persistentVolumeName"),
               doc="storage.v1.VolumeAttachmentSource#persistentVolumeName"),
        Column("Node", "string", at("spec", "nodeName"), doc="storage.v1.VolumeAttachmentSpec#nodeName"),
        Column("Attached", "boolean", lambda obj, now: bool(dig(obj, "status", "attached")),
               doc="storage.v1.VolumeAttachmentStatus#attached"),
        AGE,
    ),
    subresources=status_alone(),
)
