"""Namespace: a scope for names. It is deleted in two steps: first its content, then, with no finalizer left, itself."""

from __future__ import annotations

from sampan.api.columns import AGE, NAME, at
from sampan.api.kind import Column, Kind, Subresource
from sampan.api.resources import NAMESPACES
from sampan.api.strategy import ensure, keep_all_but_status, keep_status, status_subresource
from sampan.apimachinery.field import FieldError, Path, invalid
from sampan.apimachinery.names import dns1123_label, qualified_name
from sampan.apimachinery.object import Object, dig, is_being_deleted, name_of

_VERBS = ("create", "delete", "get", "list", "patch", "update", "watch")
_NAME_LABEL = "kubernetes.io/metadata.name"
KUBERNETES = "kubernetes"


def default(obj: Object) -> None:
    """Every namespace carries its name as a label, so that selectors can name it."""
    _label(obj)
    status = ensure(obj, "status")
    if not status.get("phase"):
        status["phase"] = "Active"


def prepare_create(obj: Object) -> None:
    """A new namespace is active, and holds the finalizer of the namespace controller."""
    _label(obj)
    obj["status"] = {"phase": "Active"}
    finalizers = list(dig(obj, "spec", "finalizers", default=()))
    if KUBERNETES not in finalizers:
        ensure(obj, "spec")["finalizers"] = [*finalizers, KUBERNETES]


def _label(obj: Object) -> None:
    name = name_of(obj)
    if name:  # a generated one comes after defaulting
        ensure(ensure(obj, "metadata"), "labels")[_NAME_LABEL] = name


def prepare_update(new: Object, old: Object) -> None:
    """The finalizers of the spec change only through `finalize`."""
    keep_finalizers(new, old)
    keep_status(new, old)


def keep_finalizers(new: Object, old: Object) -> None:
    finalizers = dig(old, "spec", "finalizers")
    if finalizers:
        ensure(new, "spec")["finalizers"] = finalizers
    elif isinstance(new.get("spec"), dict):
        new["spec"].pop("finalizers", None)


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    for position, finalizer in enumerate(dig(obj, "spec", "finalizers", default=())):
        path = Path("spec").child("finalizers").index(position)
        errors += [invalid(path, finalizer, why) for why in qualified_name(finalizer)]
        if "/" not in finalizer and finalizer != KUBERNETES:
            errors.append(invalid(path, finalizer, "finalizer name is neither a standard finalizer name nor is it "
                                                   "fully qualified"))
    return errors


def validate_status(new: Object, old: Object) -> list[FieldError]:
    phase, path = dig(new, "status", "phase", default=""), Path("status").child("Phase")
    if is_being_deleted(new):
        return [] if phase == "Terminating" else [
            invalid(path, phase, "may only be 'Terminating' if `deletionTimestamp` is not empty")]
    return [] if phase == "Active" else [invalid(path, phase, "may only be 'Active' if `deletionTimestamp` is empty")]


def prepare_finalize(new: Object, old: Object) -> None:
    """Only the finalizers change."""
    keep_status(new, old)


NAMESPACE = Kind(
    resource=NAMESPACES,
    definition="io.k8s.api.core.v1.Namespace",
    singular="namespace",
    short_names=("ns",),
    verbs=_VERBS,
    default=default,
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    validate=validate,
    valid_name=dns1123_label,
    field_names=("status.phase",),
    fields=lambda obj: {"status.phase": dig(obj, "status", "phase", default="")},
    columns=(NAME, Column("Status", "string", at("status", "phase"), "The status of the namespace"), AGE),
    subresources={
        **status_subresource(validate_status, keep_all_but_status),
        "finalize": Subresource("finalize", verbs=("update",), prepare_update=prepare_finalize),
    },
)
