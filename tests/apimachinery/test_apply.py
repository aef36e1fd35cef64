"""Server-side apply: ownership, conflicts, giving up, and the laws it obeys."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sampan.apimachinery.apply import ApplyConflict, apply, fieldset, footprint, update_managers, values
from sampan.apimachinery.apply.apply import STATUS, Write
from sampan.apimachinery.errors import BadRequest
from sampan.apimachinery.schema.loader import definition
from sampan.apimachinery.schema.structural import compile_structural

DEPLOYMENT = definition("io.k8s.api.apps.v1.Deployment")
CONFIG_MAP = definition("io.k8s.api.core.v1.ConfigMap")
Json = dict[str, Any]
NOW = "2026-01-01T00:00:00Z"


def deployment(replicas: int | None = None, *containers: Json, labels: dict[str, str] | None = None) -> Json:
    doc: Json = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {}}
    if labels is not None:
        doc["metadata"]["labels"] = labels
    if replicas is not None:
        doc["spec"]["replicas"] = replicas
    if containers:
        doc["spec"]["template"] = {"spec": {"containers": list(containers)}}
    return doc


def applied(live: Json | None, config: Json, manager: str, *, force: bool = False, schema: Any = DEPLOYMENT) -> Json:
    before = copy.deepcopy((live, config))
    merged, entries = apply(live, config, Write(manager, NOW), schema, force=force)
    assert (live, config) == before
    return {**merged, "metadata": {**merged["metadata"], "managedFields": entries}}


def updated(old: Json | None, new: Json, manager: str, **write: Any) -> Json:
    entries = update_managers(old, new, Write(manager, NOW, **write), DEPLOYMENT)
    return {**new, "metadata": {**new["metadata"], "managedFields": entries}}


def owned(obj: Json, manager: str) -> set[str]:
    found: set[str] = set()
    for entry in obj["metadata"]["managedFields"]:
        if entry["manager"] == manager:
            found |= {fieldset.display(path) for path in fieldset.decode(entry["fieldsV1"])}
    return found


def containers(obj: Json) -> list[Json]:
    found: list[Json] = obj["spec"]["template"]["spec"]["containers"]
    return found


def test_the_applier_owns_what_it_applies() -> None:
    live = applied(None, deployment(2, {"name": "c", "image": "i", "ports": [{"containerPort": 80}]}), "me")
    [entry] = live["metadata"]["managedFields"]
    assert entry == {
        "manager": "me", "operation": "Apply", "apiVersion": "apps/v1", "time": NOW, "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": {'k:{"name":"c"}': {
            ".": {}, "f:image": {}, "f:name": {}, "f:ports": {'k:{"containerPort":80,"protocol":"TCP"}': {
                ".": {}, "f:containerPort": {}}},
        }}}}}},
    }


def test_applying_another_value_than_its_owner_is_a_conflict() -> None:
    live = updated(None, deployment(2), "kubectl-client-side-apply")
    with pytest.raises(ApplyConflict) as caught:
        applied(live, deployment(3), "me")
    status = caught.value.to_status()
    assert status["code"] == 409
    assert status["message"] == (
        'Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using apps/v1: .spec.replicas'
    )
    assert status["details"]["causes"] == [{
        "reason": "FieldManagerConflict", "message": 'conflict with "kubectl-client-side-apply" using apps/v1',
        "field": ".spec.replicas",
    }]


def test_several_conflicts_are_grouped_by_manager() -> None:
    live = applied(None, deployment(2, {"name": "c", "image": "1"}), "other")
    with pytest.raises(ApplyConflict) as caught:
        applied(live, deployment(3, {"name": "c", "image": "2"}), "me")
    assert str(caught.value) == (
        'Apply failed with 2 conflicts: conflicts with "other":\n- .spec.replicas\n'
        '- .spec.template.spec.containers[name="c"].image'
    )


def test_force_takes_over() -> None:
    live = applied(applied(None, deployment(2), "other"), deployment(3), "me", force=True)
    assert live["spec"]["replicas"] == 3
    assert owned(live, "me") == {".spec.replicas"}
    assert owned(live, "other") == set()


def test_the_same_value_is_shared_without_conflict() -> None:
    live = applied(applied(None, deployment(2), "other"), deployment(2), "me")
    assert owned(live, "me") == owned(live, "other") == {".spec.replicas"}


def test_a_field_given_up_by_its_only_owner_disappears() -> None:
    live = applied(None, deployment(2, {"name": "a", "image": "1"}, {"name": "b", "image": "1"}), "me")
    live = applied(live, deployment(None, {"name": "b"}), "me")
    assert containers(live) == [{"name": "b"}]
    assert "replicas" not in live["spec"]


def test_a_shared_field_given_up_stays_with_the_other() -> None:
    live = applied(applied(None, deployment(2), "other"), deployment(2), "me")
    live = applied(live, deployment(), "me")
    assert live["spec"]["replicas"] == 2
    assert owned(live, "other") == {".spec.replicas"}
    assert owned(live, "me") == {".spec"}


def test_containers_left_empty_go_with_their_last_field() -> None:
    bare = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    config = {**bare, "metadata": {"name": "c", "labels": {"a": "b"}}, "data": {"k": "v"}}
    live = applied(None, config, "me", schema=CONFIG_MAP)
    live = applied(live, bare, "me", schema=CONFIG_MAP)
    assert live == {**bare, "metadata": {"name": "c", "managedFields": []}}


def test_an_item_that_someone_else_has_a_field_in_keeps_its_key() -> None:
    live = applied(None, deployment(None, {"name": "a", "image": "1"}, {"name": "b"}), "me")
    changed = copy.deepcopy(live)
    containers(changed)[0]["image"] = "2"
    live = updated(live, changed, "setter")
    live = applied(live, deployment(None, {"name": "b"}), "me")
    assert containers(live) == [{"name": "a", "image": "2"}, {"name": "b"}]


def test_an_update_takes_what_it_changes() -> None:
    live = applied(None, deployment(2, {"name": "c", "image": "1"}), "me")
    changed = copy.deepcopy(live)
    changed["spec"]["replicas"] = 5
    live = updated(live, changed, "scaler", subresource="scale")
    assert owned(live, "scaler") == {".spec.replicas"}
    assert ".spec.replicas" not in owned(live, "me")
    entry = live["metadata"]["managedFields"][1]
    assert (entry["operation"], entry["subresource"], entry["apiVersion"]) == ("Update", "scale", "apps/v1")


def test_an_update_that_changes_nothing_leaves_the_entries_alone() -> None:
    live = applied(None, deployment(2), "me")
    assert updated(live, copy.deepcopy(live), "other") == live


def test_what_an_update_removes_nobody_owns() -> None:
    live = applied(None, deployment(2, {"name": "a"}, {"name": "b"}), "me")
    changed = copy.deepcopy(live)
    del containers(changed)[0]
    live = updated(live, changed, "other")
    assert not any('"a"' in path for path in owned(live, "me"))


def test_an_object_that_nobody_managed_belongs_to_before_first_apply() -> None:
    live = deployment(2, labels={"a": "b"})
    live = applied(live, deployment(2), "me")
    assert owned(live, "before-first-apply") == {".metadata.labels", ".metadata.labels.a", ".spec.replicas"}


def test_status_is_not_owned_through_the_main_endpoint() -> None:
    new = {**deployment(1), "status": {"replicas": 1}}
    live = updated(None, new, "me", resets=STATUS)
    assert owned(live, "me") == {".spec.replicas"}


def test_entries_cleared_on_purpose_stay_cleared() -> None:
    live = updated(None, deployment(1), "me")
    cleared = {**live, "metadata": {"name": "web", "managedFields": []}, "spec": {"replicas": 2}}
    assert update_managers(live, cleared, Write("x", NOW), DEPLOYMENT) == []


def test_old_update_managers_are_folded_together() -> None:
    live = updated(None, deployment(0), "m0")
    for number in range(1, 15):
        changed = copy.deepcopy(live)
        changed["metadata"].setdefault("labels", {})[f"l{number}"] = "x"
        live = updated(live, changed, f"m{number:02}")
    entries = live["metadata"]["managedFields"]
    assert len(entries) <= 10
    assert "ancient-changes" in {entry["manager"] for entry in entries}


def test_items_need_their_keys_and_only_once() -> None:
    with pytest.raises(BadRequest, match='omits key field "name"'):
        applied(None, deployment(1, {"image": "i"}), "me")
    with pytest.raises(BadRequest, match="duplicate entries"):
        applied(None, deployment(1, {"name": "a"}, {"name": "a"}), "me")
    with pytest.raises(BadRequest, match="managedFields must be nil"):
        applied(None, {"metadata": {"managedFields": [{}]}}, "me")


words = st.sampled_from(["a", "b", "c"])
items = st.lists(
    st.builds(
        lambda n, i, e: {"name": n, "image": i, "env": [{"name": k, "value": v} for k, v in e.items()]},
        words, words, st.dictionaries(words, words, max_size=2),
    ), max_size=3, unique_by=lambda item: item["name"],
)
configs = st.builds(
    lambda r, i, m: deployment(r, *i, labels=m), st.none() | st.integers(0, 3), items,
    st.none() | st.dictionaries(words, words, max_size=2),
)


def content(obj: Json) -> Json:
    return {**obj, "metadata": {key: value for key, value in obj["metadata"].items() if key != "managedFields"}}


def unordered(value: Any) -> Any:
    """Lists of items compared as sets."""
    if isinstance(value, dict):
        return {key: unordered(item) for key, item in value.items()}
    if isinstance(value, list):
        return sorted((unordered(item) for item in value), key=lambda item: json.dumps(item, sort_keys=True))
    return value


@given(configs, configs)
@settings(max_examples=60)
def test_applying_twice_is_as_good_as_once(first: Json, second: Json) -> None:
    live = applied(applied(None, first, "one"), second, "two", force=True)
    assert applied(live, second, "two") == live


@given(configs, configs)
@settings(max_examples=60)
def test_what_is_no_longer_applied_disappears(first: Json, second: Json) -> None:
    live = applied(applied(None, first, "me"), second, "me")
    fresh = applied(None, second, "me")
    assert live["metadata"]["managedFields"] == fresh["metadata"]["managedFields"]
    wanted = {key: value for key, value in content(fresh)["spec"].items() if value != {}}
    assert unordered({key: value for key, value in content(live)["spec"].items() if value != {}}) == unordered(wanted)


@given(st.dictionaries(words, words), st.dictionaries(st.sampled_from(["x", "y"]), words), items)
@settings(max_examples=60)
def test_the_order_of_disjoint_managers_does_not_matter(left: Json, right: Json, several: list[Json]) -> None:
    one, two = deployment(None, *several, labels=left), deployment(3, labels=right)
    there = applied(applied(None, one, "one"), two, "two")
    back = applied(applied(None, two, "two"), one, "one")
    assert unordered(content(there)) == unordered(content(back))
    assert owned(there, "one") == owned(back, "one")


paths = st.lists(
    st.lists(st.sampled_from(["f:a", "f:b", 'k:{"name":"x"}', 'v:"y"']), min_size=1, max_size=4).map(tuple), max_size=6
).map(frozenset)


@given(paths)
def test_field_sets_survive_the_wire(fields: fieldset.FieldSet) -> None:
    assert fieldset.decode(fieldset.changed({}, add=fields)) == fields


@given(paths, paths, paths)
def test_a_trie_changes_like_the_set_it_stands_for(
    fields: fieldset.FieldSet, more: fieldset.FieldSet, less: fieldset.FieldSet
) -> None:
    trie = fieldset.changed({}, add=fields)
    assert fieldset.decode(fieldset.changed(trie, add=more, remove=less)) == (fields - less) | more
    assert {path for path in fields | more | less if fieldset.has(trie, path)} == fields
    assert trie == fieldset.changed({}, add=sorted(fields)) == fieldset.changed({}, add=sorted(fields, reverse=True))


def everything(value: Any, schema: Any, path: fieldset.FieldPath = (), *, is_there: bool = True) -> dict[Any, Any]:
    """Every field and container of a document by its path: is it a container, is it always there, its value."""
    walked = values.is_walked(value, schema)
    found = {path: (walked, is_there, value)}
    if walked and isinstance(value, dict):
        for key, item in value.items():
            name, child, _, there = values.element(schema, key)
            found |= everything(item, child, (*path, name), is_there=there and isinstance(item, dict | list))
    elif walked:
        for name, item in values.items_of(value, schema, path).items():
            found |= everything(item, schema.items, (*path, name), is_there=False)
    return found


@given(configs, configs)
@settings(max_examples=100)
def test_the_difference_is_that_of_the_fields(before: Json, after: Json) -> None:
    difference = values.Difference(before, after, DEPLOYMENT)
    old, new = everything(before, DEPLOYMENT), everything(after, DEPLOYMENT)

    def one_sided(these: dict[Any, Any], those: dict[Any, Any]) -> set[Any]:
        return {
            path for path, (walked, is_there, value) in these.items()
            if path not in those and not (is_there and (walked or not value))
        }

    replaced = {
        path for path, (walked, _, value) in new.items()
        if path in old and not walked and not old[path][0] and old[path][2] != value
    }
    assert difference.changed == one_sided(new, old) | replaced
    assert difference.removed == one_sided(old, new)


@given(configs)
@settings(max_examples=60)
def test_a_creation_is_a_difference_from_nothing(config: Json) -> None:
    for schema in (DEPLOYMENT, None):
        created = fieldset.decode(footprint.created(config, schema, STATUS))
        assert created == values.Difference({}, config, schema).changed - footprint.SERVERS_OWN
        applied_ = fieldset.decode(footprint.applied(config, schema, STATUS))
        leaves = {path for path, (walked, _, _) in everything(config, schema).items() if not walked}
        assert applied_ - created <= {path for path in leaves if values.look(config, path, schema) in ({}, [])}
        assert leaves - footprint.SERVERS_OWN <= applied_


def test_a_creator_owns_the_containers_that_were_not_there_before() -> None:
    """As objects look after `kubectl create`; Go has metadata, spec, template and containers in every one."""
    port = {"containerPort": 80}
    new = deployment(1, {"name": "c", "ports": [port], "resources": {"limits": {"cpu": "1"}}}, labels={"a": "b"})
    [entry] = updated(None, new, "me")["metadata"]["managedFields"]
    whole: Json = {".": {}}
    assert entry["fieldsV1"] == {
        "f:metadata": {"f:labels": {**whole, "f:a": {}}},
        "f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": {'k:{"name":"c"}': {
            **whole, "f:name": {}, "f:resources": {**whole, "f:limits": {**whole, "f:cpu": {}}},
            "f:ports": {**whole, 'k:{"containerPort":80,"protocol":"TCP"}': {**whole, "f:containerPort": {}}},
        }}}}},
    }


def test_an_updater_owns_the_containers_that_it_adds_and_loses_those_that_go() -> None:
    live = updated(None, deployment(1, {"name": "c", "image": "1"}), "me")
    changed = copy.deepcopy(live)
    changed["metadata"]["annotations"] = {"x": "y"}
    containers(changed)[0]["env"] = [{"name": "A", "value": "1"}]
    containers(changed)[0]["resources"] = {"limits": {"cpu": "1"}}
    live = updated(live, changed, "other")
    at = '.spec.template.spec.containers[name="c"]'
    assert owned(live, "other") == {
        ".metadata.annotations", ".metadata.annotations.x", f"{at}.env", f'{at}.env[name="A"]',
        f'{at}.env[name="A"].name', f'{at}.env[name="A"].value', f"{at}.resources.limits", f"{at}.resources.limits.cpu",
    }
    changed = copy.deepcopy(live)
    del changed["metadata"]["annotations"], containers(changed)[0]["env"], containers(changed)[0]["resources"]
    assert owned(updated(live, changed, "me"), "other") == set()


def test_a_custom_resource_has_nothing_that_is_always_there() -> None:
    schema = compile_structural({"type": "object", "properties": {"spec": {
        "type": "object", "properties": {"size": {"type": "integer"}},
    }}})
    new = {"apiVersion": "example.com/v1", "kind": "X", "metadata": {"name": "x", "labels": {"a": "b"}},
           "spec": {"size": 1}}
    [entry] = update_managers(None, new, Write("me", NOW), schema)
    assert entry["fieldsV1"] == {
        "f:metadata": {"f:labels": {".": {}, "f:a": {}}}, "f:spec": {".": {}, "f:size": {}},
    }


def test_items_with_equal_keys_are_one_field() -> None:
    live = updated(None, deployment(1, {"name": "a"}), "me")
    odd = copy.deepcopy(live)
    containers(odd)[0]["ports"] = [{"containerPort": 80, "hostPort": 1}, {"containerPort": 80, "hostPort": 2}]
    live = updated(live, odd, "other")
    ports = '.spec.template.spec.containers[name="a"].ports'
    one = f'{ports}[containerPort=80,protocol="TCP"]'
    assert owned(live, "other") == {ports, one}
    even = copy.deepcopy(live)
    del containers(even)[0]["ports"][1]
    assert owned(updated(live, even, "third"), "third") == {one}


@pytest.mark.parametrize(("live", "applied", "expected"), [
    ("a", "b", "ab"), ("abcd", "ace", "abcde"), ("ab", "ba", "ba"), ("abcd", "adc", "abdc"), ("abc", "cxa", "bcxa"),
])
def test_lists_keep_what_was_there_before_what_is_new(live: str, applied: str, expected: str) -> None:
    schema = definition("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
    merged = values.merge({"finalizers": list(live)}, {"finalizers": list(applied)}, schema)
    assert "".join(merged["finalizers"]) == expected
