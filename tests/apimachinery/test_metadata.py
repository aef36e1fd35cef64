"""Validation of metadata on create and update."""

from __future__ import annotations

from typing import Any

from sampan.apimachinery import metadata, names
from sampan.apimachinery.field import FieldError


def obj(**fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": "web", "namespace": "default", **fields}}


def created(**fields: Any) -> list[str]:
    return texts(metadata.validate_create(obj(**fields), namespaced=True))


def updated(new: dict[str, Any], old: dict[str, Any]) -> list[str]:
    return texts(metadata.validate_update(obj(resourceVersion="1", **new), obj(resourceVersion="1", **old)))


def texts(errors: list[FieldError]) -> list[str]:
    return [str(error) for error in errors]


def test_good_metadata_has_nothing_wrong() -> None:
    assert created(labels={"app": "web"}, annotations={"Example.COM/Note": "any text\n"}, finalizers=["a.b/c"]) == []
    assert updated({}, {}) == []


def test_a_name_is_needed() -> None:
    assert created(name="") == ["metadata.name: Required value: name or generateName is required"]


def test_a_bad_name_is_explained() -> None:
    assert created(name="Web_1")[0].startswith('metadata.name: Invalid value: "Web_1": a lowercase RFC 1123 subdomain')
    wrong = metadata.validate_create(obj(name="a.b"), namespaced=True, valid_name=names.dns1035_label)
    assert [error.field for error in wrong] == ["metadata.name"]


def test_the_namespace_fits_the_scope() -> None:
    assert created(namespace="") == ["metadata.namespace: Required value"]
    assert created(namespace="a.b")[0].startswith('metadata.namespace: Invalid value: "a.b": a lowercase RFC 1123')
    assert texts(metadata.validate_create(obj(), namespaced=False)) == [
        "metadata.namespace: Forbidden: not allowed on this type",
    ]


def test_labels_and_annotations() -> None:
    assert created(labels={"a/b/c": "-"})[0].startswith('metadata.labels: Invalid value: "a/b/c": a qualified name')
    assert created(labels={"a": "-"})[0].startswith('metadata.labels: Invalid value: "-": a valid label must be')
    assert created(annotations={"a": "x" * 262144}) == [
        "metadata.annotations: Too long: may not be more than 262144 bytes",
    ]


def test_finalizers() -> None:
    assert created(finalizers=["orphan", "foregroundDeletion"]) == [
        'metadata.finalizers: Invalid value: ["orphan","foregroundDeletion"]: finalizer orphan and foregroundDeletion '
        "cannot be both set",
    ]


def test_owner_references() -> None:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "a", "uid": "1", "controller": True}
    assert created(ownerReferences=[owner]) == []
    assert created(ownerReferences=[{**owner, "uid": ""}]) == [
        'metadata.ownerReferences.uid: Invalid value: "": must not be empty',
    ]
    assert "Only one reference can have Controller set to true" in created(ownerReferences=[owner, owner])[0]
    assert "is disallowed from being an owner" in created(
        ownerReferences=[{"apiVersion": "v1", "kind": "Event", "name": "a", "uid": "1"}]
    )[0]


def test_what_may_not_change() -> None:
    assert updated({"uid": "2"}, {"uid": "1"}) == ['metadata.uid: Invalid value: "2": field is immutable']
    assert updated({"generation": 1}, {"generation": 2}) == [
        "metadata.generation: Invalid value: 1: must not be decremented",
    ]
    assert texts(metadata.validate_update(obj(), obj())) == [
        'metadata.resourceVersion: Invalid value: "": must be specified for an update',
    ]


def test_no_finalizer_is_added_to_what_is_being_deleted() -> None:
    gone = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    assert updated({**gone, "finalizers": ["a/b", "c/d"]}, {**gone, "finalizers": ["a/b"]}) == [
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new "
        'finalizers []string{"c/d"}',
    ]


def test_managed_fields_have_a_shape() -> None:
    assert created(managedFields=[{"operation": "Replace", "fieldsType": "FieldsV2", "manager": "a" * 129}]) == [
        'metadata.managedFields[0].operation: Invalid value: "Replace": must be `Apply` or `Update`',
        'metadata.managedFields[0].fieldsType: Invalid value: "FieldsV2": must be `FieldsV1`',
        "metadata.managedFields[0].manager: Too long: may not be more than 128 bytes",
    ]
