"""Strategic merge patch: every directive, list orders, and the laws that any patch obeys."""

from __future__ import annotations

import copy
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.apimachinery.patch import PatchError, apply_strategic
from sampan.apimachinery.schema.loader import definition

DEPLOYMENT = definition("io.k8s.api.apps.v1.Deployment")
POD = definition("io.k8s.api.core.v1.Pod")
Json = dict[str, Any]


def pod(**spec: Any) -> Json:
    return {"metadata": {"name": "p"}, "spec": spec}


def patched(doc: Json, **spec: Any) -> Json:
    before = copy.deepcopy(doc)
    result: Json = apply_strategic(doc, {"spec": spec}, POD)
    assert doc == before
    return result["spec"]  # type: ignore[no-any-return]


def names(items: list[Json]) -> list[str]:
    return [item["name"] for item in items]


TWO = pod(containers=[{"name": "a", "image": "1", "args": ["x"]}, {"name": "b", "image": "1"}])


def test_items_merge_by_their_key() -> None:
    spec = patched(TWO, containers=[{"name": "b", "image": "2"}])
    assert spec["containers"][0] == {"name": "a", "image": "1", "args": ["x"]}
    assert spec["containers"][1] == {"name": "b", "image": "2"}


def test_a_new_item_comes_first_as_upstream_has_it() -> None:
    assert names(patched(TWO, containers=[{"name": "c"}])["containers"]) == ["c", "a", "b"]


def test_null_removes_a_field_and_atomic_lists_are_replaced() -> None:
    spec = patched(TWO, containers=[{"name": "a", "image": None, "args": ["y", "z"]}])
    assert spec["containers"][0] == {"name": "a", "args": ["y", "z"]}


def test_an_item_is_deleted_by_its_key() -> None:
    assert names(patched(TWO, containers=[{"name": "a", "$patch": "delete"}])["containers"]) == ["b"]


def test_a_list_is_replaced() -> None:
    assert patched(TWO, containers=[{"$patch": "replace"}, {"name": "z"}])["containers"] == [{"name": "z"}]


def test_an_object_is_replaced_or_emptied() -> None:
    doc = pod(securityContext={"runAsUser": 1, "fsGroup": 2})
    assert patched(doc, securityContext={"$patch": "replace", "runAsUser": 3})["securityContext"] == {"runAsUser": 3}
    assert patched(doc, securityContext={"$patch": "delete"})["securityContext"] == {}
    merged = patched(doc, securityContext={"$patch": "merge", "runAsUser": 3})["securityContext"]
    assert merged == {"runAsUser": 3, "fsGroup": 2}


def test_retain_keys_lets_the_others_go() -> None:
    doc = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert apply_strategic(doc, patch, DEPLOYMENT) == {"spec": {"strategy": {"type": "Recreate"}}}
    wrong = {"spec": {"strategy": {"$retainKeys": [], "type": "Recreate"}}}
    with pytest.raises(PatchError, match="invalid patch format of retainKeys"):
        apply_strategic(doc, wrong, DEPLOYMENT)


def test_retain_keys_of_volumes_change_their_source() -> None:
    doc = pod(volumes=[{"name": "v", "emptyDir": {}}])
    spec = patched(doc, volumes=[{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}])
    assert spec["volumes"] == [{"name": "v", "hostPath": {"path": "/x"}}]


def test_the_order_of_a_list_is_set() -> None:
    order = [{"name": "b"}, {"name": "c"}, {"name": "a"}]
    spec = apply_strategic(
        TWO, {"spec": {"$setElementOrder/containers": order, "containers": [{"name": "c"}]}}, POD
    )["spec"]
    assert names(spec["containers"]) == ["b", "c", "a"]
    only = apply_strategic(TWO, {"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}}, POD)["spec"]
    assert names(only["containers"]) == ["b", "a"]


def test_what_only_the_server_has_is_woven_in() -> None:
    doc = pod(containers=[{"name": n} for n in ("s1", "a", "s2", "b", "s3")])
    order = [{"name": "a"}, {"name": "b"}]
    spec = apply_strategic(doc, {"spec": {"$setElementOrder/containers": order}}, POD)["spec"]
    assert names(spec["containers"]) == ["s1", "a", "s2", "b", "s3"]


def test_an_order_that_does_not_fit_the_patch_is_refused() -> None:
    with pytest.raises(PatchError, match="doesn't match"):
        apply_strategic(
            TWO, {"spec": {"$setElementOrder/containers": [{"name": "b"}], "containers": [{"name": "c"}]}}, POD
        )


def test_scalars_merge_as_a_set_and_are_taken_out() -> None:
    doc = {"metadata": {"finalizers": ["a", "b"]}}
    assert apply_strategic(doc, {"metadata": {"finalizers": ["c", "b"]}}, POD)["metadata"]["finalizers"] == [
        "c", "a", "b",
    ]
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}
    assert apply_strategic(doc, patch, POD)["metadata"]["finalizers"] == ["b"]
    both = {"metadata": {
        "$deleteFromPrimitiveList/finalizers": ["a"], "$setElementOrder/finalizers": ["c", "b"], "finalizers": ["c"],
    }}
    assert apply_strategic(doc, both, POD)["metadata"]["finalizers"] == ["c", "b"]


def test_an_item_without_its_key_is_refused() -> None:
    with pytest.raises(PatchError, match=r"map: map\[image:x\] does not contain declared merge key: name"):
        patched(TWO, containers=[{"image": "x"}])


def test_an_unknown_directive_is_refused() -> None:
    with pytest.raises(PatchError, match="unknown patch type found in map: 'wat'"):
        patched(TWO, securityContext={"$patch": "wat"})


def test_lists_that_are_not_there_yet_are_made_without_directives() -> None:
    spec = patched(pod(), containers=[{"name": "a", "env": [{"name": "E", "$patch": "delete"}, {"name": "F"}]}])
    assert spec["containers"] == [{"name": "a", "env": [{"name": "F"}]}]


def test_service_ports_merge_by_number() -> None:
    service = definition("io.k8s.api.core.v1.Service")
    doc = {"spec": {"ports": [{"port": 80, "name": "web"}]}}
    result = apply_strategic(doc, {"spec": {"ports": [{"port": 80, "targetPort": 8080}]}}, service)
    assert result["spec"]["ports"] == [{"port": 80, "name": "web", "targetPort": 8080}]


def test_a_patch_that_is_no_object_is_refused() -> None:
    with pytest.raises(PatchError):
        apply_strategic(TWO, [], POD)


words = st.sampled_from(["a", "b", "c", "d"])
environment = st.lists(
    st.builds(lambda n, v: {"name": n, "value": v}, words, words), max_size=4, unique_by=lambda e: e["name"]
)
containers = st.lists(
    st.builds(lambda n, i, e: {"name": n, "image": i, "env": e}, words, words, environment),
    max_size=4, unique_by=lambda c: c["name"],
)
labels = st.dictionaries(words, words, max_size=3)
pods = st.builds(lambda c, m: {"metadata": {"labels": m}, "spec": {"containers": c}}, containers, labels)


@given(pods, pods)
def test_a_patch_applied_twice_is_as_good_as_once(doc: Json, patch: Json) -> None:
    once = apply_strategic(doc, patch, POD)
    assert apply_strategic(once, patch, POD) == once


@given(pods, pods)
def test_what_the_patch_says_is_there_and_nothing_is_lost(doc: Json, patch: Json) -> None:
    result = apply_strategic(doc, patch, POD)
    found = {container["name"]: container for container in result["spec"]["containers"]}
    for container in patch["spec"]["containers"]:
        assert found[container["name"]]["image"] == container["image"]
    assert set(found) == set(names(doc["spec"]["containers"] + patch["spec"]["containers"]))
    assert result["metadata"]["labels"] == {**doc["metadata"]["labels"], **patch["metadata"]["labels"]}


@given(pods)
def test_an_empty_patch_changes_nothing(doc: Json) -> None:
    assert apply_strategic(doc, {}, POD) == doc


@given(pods, st.permutations(["a", "b", "c", "d"]))
def test_the_order_given_is_the_order_found(doc: Json, order: list[str]) -> None:
    patch = {"spec": {"$setElementOrder/containers": [{"name": name} for name in order]}}
    found = names(apply_strategic(doc, patch, POD)["spec"]["containers"])
    assert found == [name for name in order if name in names(doc["spec"]["containers"])]


def test_a_patch_of_many_items_does_not_cost_their_square() -> None:
    count = 30_000
    ours, theirs = ([f"{letter}{number}" for number in range(count)] for letter in "ab")
    began = time.process_time()
    result = apply_strategic(
        {"metadata": {"finalizers": theirs}}, {"metadata": {"$deleteFromPrimitiveList/finalizers": ours}}, POD
    )
    assert result["metadata"]["finalizers"] == theirs
    env = [{"name": name} for name in ours]
    order = {"$setElementOrder/env": [*({"name": name} for name in theirs), *env], "env": env, "name": "c"}
    doc = pod(containers=[{"name": "c", "env": [{"name": name} for name in theirs]}])
    merged = patched(doc, containers=[order])["containers"][0]["env"]
    assert names(merged) == [*theirs, *ours]
    assert time.process_time() - began < 10  # the square of so many takes a minute
