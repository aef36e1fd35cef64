"""Validation of `metadata`, on create and on update, in upstream's words (k8s.io/apimachinery/pkg/api/validation).

The functions take whole objects and return `FieldError`s; they see no store. On create, the name has already been
generated. On update, the server has already copied what a client may not set from the old object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, TypeAlias

from sampan.apimachinery import names
from sampan.apimachinery.field import FieldError, Path, forbidden, invalid, required, too_long
from sampan.apimachinery.names import NameCheck
from sampan.apimachinery.object import Object, meta

ANNOTATIONS_LIMIT_BYTES: Final = 256 * 1024
IMMUTABLE: Final = "field is immutable"
_ORPHAN, _FOREGROUND = "orphan", "foregroundDeletion"
_ROOT: Final = Path("metadata")
_NAME, _NAMESPACE = _ROOT.child("name"), _ROOT.child("namespace")
_MAX_MANAGER: Final = 128


def validate_create(
    obj: Object, *, namespaced: bool, valid_name: NameCheck = names.dns1123_subdomain
) -> list[FieldError]:
    """What is wrong with the metadata of an object about to be created."""
    metadata = meta(obj)
    errors: list[FieldError] = []
    prefix, name = metadata.get("generateName"), metadata.get("name")
    if prefix:
        errors += _each(_ROOT.child("generateName"), prefix, names.prefix_of(valid_name)(prefix))
    if not name:
        errors.append(required(_NAME, "name or generateName is required"))
    elif wrong := valid_name(name):
        errors += _each(_NAME, name, wrong)
    errors += _namespace(metadata.get("namespace") or "", namespaced)
    if (metadata.get("generation") or 0) < 0:
        errors.append(invalid(_ROOT.child("generation"), metadata["generation"], "must be greater than or equal to 0"))
    for key, validate, path in _VALIDATED_ON_CREATE:
        if key in metadata and (found := metadata[key]):
            errors += validate(found, path)
    return errors


def validate_update(new: Object, old: Object) -> list[FieldError]:
    """What is wrong with the metadata of `new`, which is to replace `old`."""
    fresh, stored = meta(new), meta(old)
    errors: list[FieldError] = []
    if stored.get("deletionTimestamp"):
        errors += _no_new_finalizers(fresh.get("finalizers"), stored.get("finalizers"))
    if not fresh.get("resourceVersion"):
        errors.append(invalid(_ROOT.child("resourceVersion"), "", "must be specified for an update"))
    if (fresh.get("generation") or 0) < (stored.get("generation") or 0):
        errors.append(invalid(_ROOT.child("generation"), fresh.get("generation") or 0, "must not be decremented"))
    for name, absent in _KEPT:
        found, before = fresh.get(name), stored.get(name)
        if found != before:
            errors += immutable(found or absent, before or absent, _ROOT.child(name))
    for name, validate, path in _VALIDATED:
        found = fresh.get(name)
        if found and found != stored.get(name):  # what is stored was valid
            errors += validate(found, path)
    return errors


def immutable(new: Any, old: Any, path: Path) -> list[FieldError]:
    """`field is immutable` unless the two are equal."""
    return [] if new == old else [invalid(path, new, IMMUTABLE)]


def validate_labels(labels: Mapping[str, str] | None, path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    for key, value in (labels or {}).items():
        errors += _each(path, key, names.qualified_name(key))
        errors += _each(path, value, names.label_value(value))
    return errors


def validate_annotations(annotations: Mapping[str, str] | None, path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    size = 0
    for key, value in (annotations or {}).items():
        errors += _each(path, key, names.qualified_name(key.lower()))
        size += len(key.encode()) + len(value.encode("utf-8", "surrogatepass"))
    if size > ANNOTATIONS_LIMIT_BYTES:
        errors.append(too_long(path, ANNOTATIONS_LIMIT_BYTES))
    return errors


def validate_finalizers(finalizers: Iterable[str] | None, path: Path) -> list[FieldError]:
    listed = list(finalizers or ())
    errors: list[FieldError] = []
    for finalizer in listed:
        errors += _each(path, finalizer, names.qualified_name(finalizer))
    if _ORPHAN in listed and _FOREGROUND in listed:
        errors.append(invalid(path, listed, f"finalizer {_ORPHAN} and {_FOREGROUND} cannot be both set"))
    return errors


def validate_owner_references(references: Iterable[Object] | None, path: Path) -> list[FieldError]:
    listed = list(references or ())
    errors: list[FieldError] = []
    controller = ""
    for reference in listed:
        errors += _owner_reference(reference, path)
        if reference.get("controller"):
            current = f"{reference.get('kind', '')}/{reference.get('name', '')}"
            if controller:
                errors.append(invalid(
                    path, listed,
                    'Only one reference can have Controller set to true. Found "true" in references for '
                    f"{controller} and {current}",
                ))
            else:
                controller = current
    return errors


def validate_managed_fields(entries: Iterable[Object] | None, path: Path) -> list[FieldError]:
    """The shape of `managedFields`; whether the field sets parse is the apply machinery's business."""
    errors: list[FieldError] = []
    for position, entry in enumerate(entries or ()):
        if _is_ordinary(
            entry.get("operation"), entry.get("fieldsType"), entry.get("manager"), entry.get("subresource")
        ):
            continue
        at = path.index(position)
        operation = entry.get("operation", "")
        if operation not in ("Apply", "Update"):
            errors.append(invalid(at.child("operation"), operation, "must be `Apply` or `Update`"))
        if (entry.get("fieldsType") or "") not in ("", "FieldsV1"):
            errors.append(invalid(at.child("fieldsType"), entry["fieldsType"], "must be `FieldsV1`"))
        errors += validate_field_manager(entry.get("manager") or "", at.child("manager"))
        if len((entry.get("subresource") or "").encode()) > 256:
            errors.append(too_long(at.child("subresource"), 256))
    return errors


@lru_cache(maxsize=1024)
def _is_ordinary(
    operation: str | None, fields_type: str | None, manager: str | None, subresource: str | None
) -> bool:
    """Whether there is nothing to say about an entry: the server writes no other."""
    manager, subresource = manager or "", subresource or ""
    return (
        operation in ("Apply", "Update") and fields_type == "FieldsV1"
        and len(manager) <= _MAX_MANAGER and manager.isascii() and manager.isprintable()
        and len(subresource) <= _MAX_MANAGER and subresource.isascii()
    )


def validate_field_manager(manager: str, path: Path) -> list[FieldError]:
    """Printable, and no longer than 128 bytes."""
    errors: list[FieldError] = []
    if len(manager.encode("utf-8", "surrogatepass")) > _MAX_MANAGER:
        errors.append(too_long(path, _MAX_MANAGER))
    for position, char in enumerate("" if manager.isprintable() else manager):
        if not char.isprintable():
            errors.append(invalid(path, manager, f"invalid character '{char}' (at position {position})"))
    return errors


_KEPT: Final = (
    ("name", ""), ("namespace", ""), ("uid", ""), ("creationTimestamp", None), ("deletionTimestamp", None),
    ("deletionGracePeriodSeconds", None),
)
_Check: TypeAlias = tuple[str, Callable[[Any, Path], list[FieldError]], Path]


def _check(name: str, validate: Callable[[Any, Path], list[FieldError]]) -> _Check:
    return name, validate, _ROOT.child(name)


_VALIDATED: Final[tuple[_Check, ...]] = (
    _check("labels", validate_labels), _check("annotations", validate_annotations),
    _check("ownerReferences", validate_owner_references), _check("managedFields", validate_managed_fields),
)
_VALIDATED_ON_CREATE: Final[tuple[_Check, ...]] = (
    *_VALIDATED[:3], _check("finalizers", validate_finalizers), _VALIDATED[3],
)


def _each(path: Path, value: Any, messages: Iterable[str]) -> list[FieldError]:
    return [invalid(path, value, message) for message in messages]


def _namespace(namespace: str, namespaced: bool) -> list[FieldError]:
    if not namespaced:
        return [forbidden(_NAMESPACE, "not allowed on this type")] if namespace else []
    if not namespace:
        return [required(_NAMESPACE)]
    return _each(_NAMESPACE, namespace, names.dns1123_label(namespace))


def _owner_reference(reference: Object, path: Path) -> list[FieldError]:
    errors: list[FieldError] = []
    api_version = reference.get("apiVersion") or ""
    if not api_version.rpartition("/")[2] or api_version.count("/") > 1:
        errors.append(invalid(path.child("apiVersion"), api_version, "version must not be empty"))
    errors += [
        invalid(path.child(field), "", "must not be empty")
        for field in ("kind", "name", "uid") if not reference.get(field)
    ]
    if api_version == "v1" and reference.get("kind") == "Event":
        errors.append(invalid(path, reference, "/v1, Kind=Event is disallowed from being an owner"))
    return errors


def _no_new_finalizers(new: Iterable[str] | None, old: Iterable[str] | None) -> list[FieldError]:
    extra = sorted(set(new or ()) - set(old or ()))
    if not extra:
        return []
    shown = ", ".join(f'"{finalizer}"' for finalizer in extra)
    return [forbidden(
        _ROOT.child("finalizers"),
        f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{shown}}}",
    )]
