"""What holds for every kind: it is listed once, has a schema, and survives whatever the schema lets through."""

from __future__ import annotations

import copy
import random
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.apiserver.lifecycle.samples import sample

from sampan.api import resources
from sampan.api.kind import Kind
from sampan.api.kinds import KINDS, kind_for
from sampan.apimachinery.resource import Resource
from sampan.apimachinery.schema.compile import DecodeError, Schema
from sampan.apimachinery.schema.loader import definition

NOW = datetime(2026, 6, 1, tzinfo=UTC)
_NOT_STORED = {
    "tokenreviews", "tokenrequests", "subjectaccessreviews", "selfsubjectaccessreviews", "scales", "evictions",
    "bindings",
}


_TEXTS = (
    "", "a", "web", "Web_1", "..", "../x", "/x", "10.0.0.1", "10.0.0.0/24", "::1", "25%", "%", "Always", "Never",
    "RollingUpdate", "Recreate", "ClusterIP", "ExternalName", "LoadBalancer", "None", "In", "Exists", "Gt", "NoExecute",
    "Localhost", "Indexed", "Resource", "User", "ServiceAccount", "*/5 * * * *", "example.com/x", "metadata.name",
    "metadata.labels['a']", "limits.cpu", "Bound", "True", "TCP", "Cluster", "Local", "IPv4", "FQDN", "é", "x" * 300,
)
_QUANTITIES = ("0", "1", "1000m", "1.5Gi", "-1", "2e3", "1n", "100Ei")


def _fitting(schema: Schema, rng: random.Random, depth: int = 0) -> Any:
    """A value of the schema; deeper levels are sparser, and lists and maps may be empty."""
    kind = schema.kind
    if kind == "object":
        likely = 0.9 if depth < 2 else 0.6 if depth < 4 else 0.25
        if depth > 12:
            return {}
        return {
            name: _fitting(child, rng, depth + 1)
            for name in schema.field_names
            if rng.random() < likely and (child := schema.child(name)) is not None
        }
    if kind == "list":
        items = schema.items
        return [_fitting(items, rng, depth + 1) for _ in range(rng.randrange(3))] if items else []
    if kind == "map":
        values = schema.values
        return {rng.choice(_TEXTS): _fitting(values, rng, depth + 1) for _ in range(rng.randrange(3))} if values else {}
    return _scalar(kind, rng)


def _scalar(kind: str, rng: random.Random) -> Any:
    if kind == "integer":
        return rng.choice((-1, 0, 1, 2, 80, 420, 65536, 2**31 - 1))
    if kind == "boolean":
        return rng.random() < 0.5
    if kind == "number":
        return rng.random()
    if kind == "quantity":
        return rng.choice(_QUANTITIES)
    if kind == "int-or-string":
        return rng.choice((0, 1, -1, 80, "25%", "http", "", "200%"))
    if kind in ("time", "micro-time"):
        return "2026-01-02T03:04:05Z"
    if kind == "bytes":
        return rng.choice(("", "YQ==", "e30="))
    if kind == "any":
        return rng.choice(({}, {"a": 1}, "x", [1]))
    return rng.choice(_TEXTS)


each_kind = pytest.mark.parametrize(
    "kind", KINDS, ids=lambda kind: f"{kind.resource.qualified}/{kind.resource.version}"
)


def _document(kind: Kind, seed: int) -> Any:
    obj = _fitting(definition(kind.definition), random.Random(seed))
    obj["metadata"] = {"name": "x", "uid": "u", "namespace": "default", "labels": {"a": "b"}}
    obj["apiVersion"], obj["kind"] = kind.resource.api_version, kind.resource.kind
    return obj


def test_every_resource_constant_has_a_kind() -> None:
    constants = [value for value in vars(resources).values() if isinstance(value, Resource)]
    missing = [resource for resource in constants if resource.plural not in _NOT_STORED and not kind_for(resource)]
    assert missing == []


def test_kinds_are_listed_once() -> None:
    assert len({kind.resource for kind in KINDS}) == len(KINDS)


def test_short_names_are_unambiguous_within_a_group() -> None:
    names = [(kind.resource.group, kind.resource.version, short) for kind in KINDS for short in kind.short_names]
    assert len(set(names)) == len(names)


@each_kind
def test_the_definition_is_in_the_schema_and_is_of_the_kind(kind: Kind) -> None:
    served = definition(kind.definition).group_version_kinds
    assert {"group": kind.resource.group, "version": kind.resource.version, "kind": kind.resource.kind} in served


@each_kind
def test_columns_begin_with_a_name_and_fit_their_types(kind: Kind) -> None:
    assert any(column.format == "name" for column in kind.columns)
    assert {column.type for column in kind.columns} <= {"string", "integer", "boolean", "date", "number"}


@each_kind
def test_declared_field_names_are_the_selectable_fields(kind: Kind) -> None:
    assert set(kind.field_names) == set(kind.fields({}))
    assert all(isinstance(value, str) for value in kind.fields({}).values())


@each_kind
def test_an_empty_object_crashes_nothing(kind: Kind) -> None:
    obj: Any = {"metadata": {"name": "x"}}
    kind.default(obj)
    kind.prepare_create(obj)
    kind.validate(obj)
    _print(kind, obj)


def _print(kind: Kind, obj: Any) -> None:
    for column in kind.columns:
        assert isinstance(column.cell(obj, NOW), str | int | float | bool)


@each_kind
@settings(max_examples=12, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32))
def test_defaulting_twice_changes_nothing_more(kind: Kind, seed: int) -> None:
    obj = _document(kind, seed)
    kind.default(obj)
    once = copy.deepcopy(obj)
    kind.default(obj)
    assert obj == once


@each_kind
@settings(max_examples=12, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32))
def test_no_well_formed_object_crashes_the_rules(kind: Kind, seed: int) -> None:
    raw, new, old = _document(kind, seed), _document(kind, seed), _document(kind, seed + 1)
    kind.validate(raw)
    kind.default(new)
    kind.default(old)
    for errors in (kind.validate(new), kind.validate_update(new, old)):
        assert all(str(error) for error in errors)
    assert kind.validate_update(copy.deepcopy(new), new) == []
    _print(kind, new)
    assert all(isinstance(value, str) for value in kind.fields(new).values())
    for view in kind.subresources.values():
        changed = copy.deepcopy(new)
        if view.to_view and view.from_view:
            view.from_view(view.to_view(changed), changed)
        if view.prepare_update:
            view.prepare_update(changed, old)
        if view.validate_update:
            view.validate_update(changed, old)
    kind.prepare_update(new, old)
    kind.prepare_create(new)


@each_kind
def test_defaults_fit_the_schema(kind: Kind) -> None:
    obj = _document(kind, 7)
    kind.default(obj)
    kind.prepare_create(obj)
    _, unknown = definition(kind.definition).decode_strict(copy.deepcopy(obj))
    assert unknown == []


@each_kind
def test_a_second_view_is_the_same_object(kind: Kind) -> None:
    if kind.from_storage is None or kind.to_storage is None:
        return
    assert kind.storage_resource is not None and kind_for(kind.storage_resource) is not None
    obj = _document(kind, 3)
    kind.default(obj)
    stored = kind.to_storage(obj)
    assert stored["apiVersion"] == kind.storage_resource.api_version
    assert kind.to_storage(kind.from_storage(stored)) == stored


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.resource.qualified}/{kind.resource.version}")
def test_a_strategy_leaves_a_complete_object_behind(kind: Kind) -> None:
    """Defaults are filled in once, before admission, so what a strategy resets or adds must be whole."""
    obj = sample(kind)
    obj["status"] = {}
    kind.default(obj)
    obj["metadata"] |= {"uid": "u", "name": "n"}
    kind.prepare_create(obj)
    before = copy.deepcopy(obj)
    kind.default(obj)
    assert obj == before
    new = copy.deepcopy(obj)
    kind.prepare_update(new, obj)
    before = copy.deepcopy(new)
    kind.default(new)
    assert new == before


def _spoilt(value: Any, rng: random.Random) -> Any:
    """The value with a null, an unknown field or a value of another type here and there."""
    if isinstance(value, dict):
        spoilt = {key: _spoilt(item, rng) for key, item in value.items()}
        if rng.random() < 0.03:
            spoilt["unknown"] = 1
        return spoilt
    if isinstance(value, list):
        return [_spoilt(item, rng) for item in value]
    return rng.choice((None, {}, [], 1.5, "x")) if rng.random() < 0.04 else value


@each_kind
def test_decoding_in_place_is_decoding(kind: Kind) -> None:
    schema = definition(kind.definition)

    def outcome(decode: Any, document: Any) -> Any:
        try:
            return decode(copy.deepcopy(document))
        except DecodeError as error:
            return error.why

    for seed in range(20):
        document = _document(kind, seed)
        spoilt = _spoilt(document, random.Random(seed))
        for each in (document, spoilt):
            assert outcome(schema.decode_own, each) == outcome(schema.decode_strict, each)
