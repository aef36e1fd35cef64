"""Schemas: strict decoding in the words of Go's decoder, and what patches ask of them."""

from __future__ import annotations

import copy
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.apimachinery.schema import build, loader
from sampan.apimachinery.schema.compile import DecodeError, Schema, strict_error
from sampan.apimachinery.schema.loader import UnknownDefinition, definition
from sampan.apimachinery.schema.structural import compile_structural

DEPLOYMENT = definition("io.k8s.api.apps.v1.Deployment")
PREFIX = 'Deployment in version "v1" cannot be handled as a Deployment: '
GOOD: dict[str, Any] = {
    "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": {"a": "b"}},
    "spec": {"replicas": 2, "template": {"spec": {"containers": [{
        "name": "c", "image": "i", "env": [{"name": "E", "value": "v"}], "ports": [{"containerPort": 80}],
        "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}, "readinessProbe": {"httpGet": {"port": "http"}},
    }]}}},
}


def with_value(path: str, value: Any) -> dict[str, Any]:
    doc = copy.deepcopy(GOOD)
    node: Any = doc
    *steps, last = path.split(".")
    for step in steps:
        node = node[int(step)] if isinstance(node, list) else node[step]
    node[last] = value
    return doc


def test_a_good_document_comes_through_unchanged() -> None:
    before = copy.deepcopy(GOOD)
    assert DEPLOYMENT.decode_strict(GOOD) == (before, [])
    assert before == GOOD


CONTAINER = "spec.template.spec.containers.0"


@pytest.mark.parametrize(("path", "value", "why"), [
    ("spec.replicas", "3",
     "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"),
    ("spec.replicas", 1.5,
     "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32"),
    ("spec.replicas", 2**31,
     "json: cannot unmarshal number 2147483648 into Go struct field DeploymentSpec.spec.replicas of type int32"),
    ("spec.replicas", True,
     "json: cannot unmarshal bool into Go struct field DeploymentSpec.spec.replicas of type int32"),
    ("spec.paused", "yes",
     "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.paused of type bool"),
    ("spec", "x", "json: cannot unmarshal string into Go struct field Deployment.spec of type v1.DeploymentSpec"),
    ("metadata.labels", {"a": 1},
     "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string"),
    ("metadata.labels", ["a"],
     "json: cannot unmarshal array into Go struct field ObjectMeta.metadata.labels of type map[string]string"),
    (f"{CONTAINER}.env", [{"name": "E", "value": 1}],
     "json: cannot unmarshal number into Go struct field EnvVar.spec.template.spec.containers.env.value of type "
     "string"),
    ("spec.template.spec.containers", {},
     "json: cannot unmarshal object into Go struct field PodSpec.spec.template.spec.containers of type []v1.Container"),
    (f"{CONTAINER}.readinessProbe", {"httpGet": {"port": True}},
     "json: cannot unmarshal bool into Go struct field "
     "HTTPGetAction.spec.template.spec.containers.readinessProbe.httpGet.port of type int32"),
    (f"{CONTAINER}.resources.limits", {"cpu": "lots"},
     "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"),
    (f"{CONTAINER}.resources.limits", {"cpu": "1x"},
     "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"),
    (f"{CONTAINER}.resources.limits", {"cpu": "1mm"}, "unable to parse quantity's suffix"),
    ("metadata.creationTimestamp", "yesterday",
     'parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday" as "2006"'),
    ("metadata.creationTimestamp", "2026-01-02",
     'parsing time "2026-01-02" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "T"'),
    ("metadata.creationTimestamp", "2026-13-02T00:00:00Z",
     'parsing time "2026-13-02T00:00:00Z": month out of range'),
])
def test_a_wrong_type_is_refused_in_gos_words(path: str, value: Any, why: str) -> None:
    with pytest.raises(DecodeError) as caught:
        DEPLOYMENT.decode_strict(with_value(path, value))
    assert caught.value.why == why
    assert str(caught.value) == PREFIX + why
    assert caught.value.to_status()["reason"] == "BadRequest"


def test_unknown_fields_are_pruned_and_named() -> None:
    doc = with_value("spec.foo", 1)
    doc["spec"]["template"]["spec"]["containers"][0]["imagePullPolici"] = "Always"
    decoded, warnings = DEPLOYMENT.decode_strict(doc)
    assert decoded == GOOD
    assert warnings == [
        'unknown field "spec.template.spec.containers[0].imagePullPolici"', 'unknown field "spec.foo"',
    ]
    assert str(strict_error(DEPLOYMENT, warnings[1:])) == (
        PREFIX + 'strict decoding error: unknown field "spec.foo"'
    )


def test_nulls_are_dropped_from_objects_and_zero_in_lists_and_maps() -> None:
    doc = with_value("metadata.creationTimestamp", None)
    doc["spec"]["template"]["spec"]["containers"][0]["args"] = ["a", None]
    doc["metadata"]["annotations"] = {"k": None}
    decoded, _ = DEPLOYMENT.decode_strict(doc)
    assert "creationTimestamp" not in decoded["metadata"]
    assert decoded["spec"]["template"]["spec"]["containers"][0]["args"] == ["a", ""]
    assert decoded["metadata"]["annotations"] == {"k": ""}


def test_quantities_become_canonical_and_times_become_utc() -> None:
    doc = with_value(f"{CONTAINER}.resources.limits", {"cpu": 0.5, "memory": 1024, "ephemeral-storage": "1.5Gi"})
    doc["metadata"]["creationTimestamp"] = "2026-01-02T03:04:05+01:00"
    decoded, _ = DEPLOYMENT.decode_strict(doc)
    limits = decoded["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert limits == {"cpu": "500m", "memory": "1024", "ephemeral-storage": "1536Mi"}
    assert decoded["metadata"]["creationTimestamp"] == "2026-01-02T02:04:05Z"


def test_secrets_hold_base64() -> None:
    secret = definition("io.k8s.api.core.v1.Secret")
    assert secret.decode_strict({"data": {"a": "YWJj\n"}})[0] == {"data": {"a": "YWJj"}}
    with pytest.raises(DecodeError, match="illegal base64 data at input byte 3"):
        secret.decode_strict({"data": {"a": "abc!"}})
    with pytest.raises(DecodeError, match="illegal base64 data at input byte 4"):
        secret.decode_strict({"data": {"a": "YWJjZ"}})


def test_a_document_that_is_no_object_is_refused() -> None:
    with pytest.raises(DecodeError, match="json: cannot unmarshal array into Go value of type v1"):
        DEPLOYMENT.decode_strict([])


def test_patches_find_their_keys() -> None:
    spec = definition("io.k8s.api.core.v1.PodSpec")
    containers = spec.child("containers")
    assert containers is not None
    assert (containers.merge_key, containers.patch_strategy) == ("name", ("merge",))
    assert (containers.list_type, containers.list_map_keys) == ("map", ("name",))
    assert containers.items is not None
    ports = containers.items.child("ports")
    assert ports is not None
    assert ports.merge_key == "containerPort"
    assert ports.list_map_keys == ("containerPort", "protocol")
    volumes = spec.child("volumes")
    assert volumes is not None
    assert volumes.patch_strategy == ("merge", "retainKeys")
    assert spec.child("nodeSelector") is not None
    assert spec.child("wat") is None
    labels = definition("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta").child("labels")
    assert labels is not None
    child = labels.child("anything")
    assert child is not None
    assert child.kind == "string"


def test_every_definition_compiles_to_its_leaves() -> None:
    seen: set[str] = set()

    def visit(schema: Schema | None, depth: int) -> None:
        if schema is None or depth > 12 or (schema.kind == "object" and schema.name in seen):
            return
        seen.add(schema.name)
        assert schema.kind in {
            "object", "map", "list", "string", "integer", "number", "boolean", "quantity", "int-or-string", "time",
            "micro-time", "bytes", "schema-or-else", "any",
        }
        for field in schema.field_names:
            visit(schema.child(field), depth + 1)
        visit(schema.items, depth + 1)
        visit(schema.values, depth + 1)

    for name in loader.definitions().names():
        visit(definition(name), 0)
    assert len(seen) > 800


def test_an_unknown_definition_is_said_to_be_unknown() -> None:
    with pytest.raises(UnknownDefinition):
        definition("io.k8s.api.core.v1.Nothing")


def test_the_data_files_are_up_to_date() -> None:
    pytest.importorskip("kubernetes_validate")
    upstream = build.read_upstream()
    for path, made in ((build.DEFINITIONS, build.structures), (build.DESCRIPTIONS, build.descriptions)):
        documents = made(upstream)
        stored = loader.read(path.name)
        assert stored.names() == sorted(documents)
        assert all(stored.raw(name) == documents[name] for name in documents)


def test_descriptions_are_not_read_by_decoding() -> None:
    script = (
        "from sampan.apimachinery.schema import loader\n"
        "loader.read = lambda name, read=loader.read: read(name) if name != 'descriptions.json.gz' else 1 / 0\n"
        "loader.definition('io.k8s.api.core.v1.Pod').decode_strict({'spec': {'containers': [{'name': 'a'}]}})\n"
        "assert loader.definition.cache_info().currsize < 60, loader.definition.cache_info()\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=200)


CRD = compile_structural({
    "type": "object",
    "properties": {
        "spec": {"type": "object", "properties": {
            "replicas": {"type": "integer"}, "port": {"x-kubernetes-int-or-string": True},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {
                "closed": {"type": "object", "properties": {"a": {"type": "string"}}}}},
            "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {
                "x": {"type": "object"}}}},
            "list": {"type": "array", "items": {"type": "object", "properties": {"k": {"type": "string"}}},
                     "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]},
            "pod": {"type": "object", "x-kubernetes-embedded-resource": True,
                    "x-kubernetes-preserve-unknown-fields": True},
        }},
    },
}, "example.com", "v1", "CronTab")


def test_a_custom_resource_is_pruned_by_its_structural_schema() -> None:
    doc = {
        "apiVersion": "example.com/v1", "kind": "CronTab", "metadata": {"name": "a", "wat": 1}, "extra": 1,
        "spec": {
            "replicas": "three", "port": 1, "wat": 1, "free": {"any": [1], "closed": {"a": "x", "b": 1}},
            "map": {"m": {"x": {"y": 1}, "z": 1}}, "list": [{"k": "a", "l": 1}],
            "pod": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"a": 1}},
        },
    }
    decoded, warnings = CRD.decode_strict(doc)
    assert decoded == {
        "apiVersion": "example.com/v1", "kind": "CronTab", "metadata": {"name": "a"},
        "spec": {
            "replicas": "three", "port": 1, "free": {"any": [1], "closed": {"a": "x"}}, "map": {"m": {"x": {}}},
            "list": [{"k": "a"}],
            "pod": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"a": 1}},
        },
    }
    assert warnings == [
        'unknown field "metadata.wat"', 'unknown field "extra"', 'unknown field "spec.wat"',
        'unknown field "spec.free.closed.b"', 'unknown field "spec.map.m.x.y"', 'unknown field "spec.map.m.z"',
        'unknown field "spec.list[0].l"',
    ]
    assert CRD.group_version_kinds[0]["kind"] == "CronTab"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["spec", "metadata", "containers", "name", "template", "labels", "replicas"]), inner, max_size=4
    ), max_leaves=10,
)


@given(json_values)
def test_any_document_decodes_or_is_an_error_of_ours(doc: Any) -> None:
    for schema in (DEPLOYMENT, definition("io.k8s.api.core.v1.Pod"), CRD):
        try:
            decoded, _ = schema.decode_strict(doc)
        except DecodeError:
            continue
        assert schema.decode_strict(decoded) == (decoded, [])
