"""JSON patch and merge patch: the RFCs' examples, upstream's refusals, and the laws they obey."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.apimachinery.errors import APIError, RequestEntityTooLarge
from sampan.apimachinery.patch import PatchError, apply_json_patch, apply_merge_patch
from sampan.apimachinery.patch.errors import PatchFailed

RFC_6902 = [
    ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"foo": "bar", "baz": "qux"}),
    ({"foo": ["bar", "baz"]}, [{"op": "add", "path": "/foo/1", "value": "q"}], {"foo": ["bar", "q", "baz"]}),
    ({"baz": 1, "foo": 2}, [{"op": "remove", "path": "/baz"}], {"foo": 2}),
    ({"foo": [1, 2, 3]}, [{"op": "remove", "path": "/foo/1"}], {"foo": [1, 3]}),
    ({"baz": 1}, [{"op": "replace", "path": "/baz", "value": 2}], {"baz": 2}),
    ({"a": {"x": 1}, "b": {}}, [{"op": "move", "from": "/a/x", "path": "/b/y"}], {"a": {}, "b": {"y": 1}}),
    ({"foo": [1, 2, 3]}, [{"op": "move", "from": "/foo/0", "path": "/foo/2"}], {"foo": [2, 3, 1]}),
    ({"a": [1]}, [{"op": "copy", "from": "/a", "path": "/b"}], {"a": [1], "b": [1]}),
    ({"a": 1}, [{"op": "test", "path": "/a", "value": 1}], {"a": 1}),
    ({"foo": ["bar"]}, [{"op": "add", "path": "/foo/-", "value": ["x"]}], {"foo": ["bar", ["x"]]}),
    ({"/": 9, "~1": 10}, [{"op": "test", "path": "/~01", "value": 10}], {"/": 9, "~1": 10}),
    ({"a/b": 1}, [{"op": "replace", "path": "/a~1b", "value": 2}], {"a/b": 2}),
    ({"a": 1}, [{"op": "add", "path": "", "value": {"b": 2}}], {"b": 2}),
    ({"a": 1}, [{"op": "test", "path": "/missing", "value": None}], {"a": 1}),
]


@pytest.mark.parametrize(("doc", "ops", "expected"), RFC_6902)
def test_operations_do_what_the_rfc_says(doc: Any, ops: list[Any], expected: Any) -> None:
    before = copy.deepcopy(doc)
    assert apply_json_patch(doc, ops) == expected
    assert doc == before


@pytest.mark.parametrize(("ops", "why"), [
    ([{"op": "remove", "path": "/x"}], "remove operation does not apply: doc is missing key: /x: missing value"),
    ([{"op": "replace", "path": "/x", "value": 1}],
     "replace operation does not apply: doc is missing key: /x: missing value"),
    ([{"op": "add", "path": "/x/y", "value": 1}],
     'add operation does not apply: doc is missing path: "/x/y": missing value'),
    ([{"op": "test", "path": "/a", "value": True}], "testing value /a failed: test failed"),
    ([{"op": "add", "path": "/l/9", "value": 1}],
     "add operation does not apply: doc is missing key: /l/9: Unable to access invalid index: 9: invalid index "
     "referenced"),
    ([{"op": "add", "path": "/l/01", "value": 1}],
     'add operation does not apply: doc is missing path: "/l/01": value was not a proper array index: "01"'),
    ([{"op": "wat", "path": "/a"}], "Unexpected kind: wat"),
    ([{"op": "add", "path": "/a"}], "add operation failed to decode: missing value"),
    ([{"op": "move", "path": "/a/b", "from": "/a"}], 'error in move for path: "/a/b": cannot move a value into itself'),
])
def test_what_does_not_fit_is_refused_with_422(ops: list[Any], why: str) -> None:
    with pytest.raises(PatchFailed) as caught:
        apply_json_patch({"a": 1, "l": []}, ops)
    assert caught.value.why == why
    status = caught.value.to_status()
    assert (status["code"], status["reason"]) == (422, "Invalid")
    assert status["message"] == "the server rejected our request due to an error in our request"


def test_a_patch_of_the_wrong_shape_is_refused_with_400() -> None:
    for ops in ({"op": "add"}, "x", 1, ["x"]):
        with pytest.raises(PatchError):
            apply_json_patch({}, ops)


def test_too_many_operations_are_refused_with_413() -> None:
    with pytest.raises(RequestEntityTooLarge, match="maximum operations in a JSON patch is 10000, got 10001"):
        apply_json_patch({}, [{"op": "test", "path": "/a", "value": None}] * 10001)


RFC_7386 = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}), ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}), ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}), ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}), ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}), ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}), ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("doc", "patch", "expected"), RFC_7386)
def test_merge_patches_do_what_the_rfc_says(doc: Any, patch: Any, expected: Any) -> None:
    before = copy.deepcopy(doc)
    assert apply_merge_patch(doc, patch) == expected
    assert doc == before


def test_a_merge_patch_must_be_an_object() -> None:
    with pytest.raises(PatchError, match="json: cannot unmarshal array into Go value of type map"):
        apply_merge_patch({}, [])


keys = st.sampled_from(["a", "b", "c", "~/", ""])
documents = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["x", "y"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=8,
)
objects = st.dictionaries(keys, documents, max_size=4)


@given(objects, objects)
def test_a_merge_patch_applied_twice_is_as_good_as_once(doc: Any, patch: Any) -> None:
    once = apply_merge_patch(doc, patch)
    assert apply_merge_patch(once, patch) == once


@given(objects, objects)
def test_a_merge_patch_wins_over_the_document(doc: Any, patch: Any) -> None:
    result = apply_merge_patch(doc, patch)
    for key, value in patch.items():
        if value is None:
            assert key not in result
        elif not isinstance(value, dict):
            assert result[key] == value
    assert all(result[key] == value for key, value in doc.items() if key not in patch)


@given(objects, keys, documents)
def test_adding_and_removing_a_member_undo_each_other(doc: Any, key: str, value: Any) -> None:
    path = "/" + key.replace("~", "~0").replace("/", "~1")
    added = apply_json_patch(doc, [{"op": "add", "path": path, "value": value}])
    assert added == {**doc, key: value}
    removed = apply_json_patch(added, [{"op": "test", "path": path, "value": value}, {"op": "remove", "path": path}])
    assert removed == {k: v for k, v in doc.items() if k != key}


operations = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "x"]),
     "path": st.sampled_from(["", "/a", "/b/0", "/a/b", "/a/-", "a", "/~0~1"])},
    optional={"value": documents, "from": st.sampled_from(["", "/a", "/b/0", "/a/b"])},
)


@given(objects, st.lists(operations, max_size=4))
def test_any_patch_applies_or_is_an_error_of_ours(doc: Any, ops: list[Any]) -> None:
    before = copy.deepcopy(doc)
    try:
        apply_json_patch(doc, ops)
    except APIError:
        pass
    assert doc == before


def test_copies_of_copies_are_refused_before_they_fill_memory():
    grow = [{"op": "copy", "from": "/a", "path": f"/a/k{number}"} for number in range(200)]
    with pytest.raises(PatchFailed) as caught:
        apply_json_patch({"a": {"text": "x" * 1000}}, grow)
    assert caught.value.why.startswith("Unable to complete the copy, the accumulated size increase of copy is ")
    flat = [{"op": "copy", "from": "/a", "path": f"/k{number}"} for number in range(200)]
    assert len(apply_json_patch({"a": "x" * 1000}, flat)) == 201
