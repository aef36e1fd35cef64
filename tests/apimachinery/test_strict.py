"""Strict validation names what is wrong in the order and the words of upstream's decoders."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sampan.apimachinery import strict
from sampan.apimachinery.strict import complaints, json_duplicates, yaml_duplicates

JSON, YAML = "application/json", "application/yaml; charset=utf-8"


def test_keys_written_twice_are_named_once_with_their_paths() -> None:
    body = b'{"a": 1, "a": 2, "s": [{"b": 1, "b": {"c": 1, "c": 2}}], "a": 3}'
    assert json_duplicates(body) == ['duplicate field "a"', 'duplicate field "s[0].b"', 'duplicate field "s[0].b.c"']


def test_in_json_complaints_come_as_they_are_met() -> None:
    body = b'{"x": {"y": 1, "y": 2}, "a": 1, "a": 2, "z": 1}'
    unknown = ['unknown field "z"', 'unknown field "x"']
    assert complaints(body, JSON, unknown, typed=True) == [
        'unknown field "x"', 'duplicate field "a"', 'unknown field "z"',
    ]


def test_what_a_custom_resource_does_not_know_is_found_last() -> None:
    body = b'{"x": 1, "x": 2, "z": 1}'
    unknown = ['unknown field "x"', 'unknown field "z"']
    assert complaints(body, JSON, unknown, typed=False) == ['duplicate field "x"', *unknown]


def test_in_yaml_all_keys_are_one_complaint_with_their_lines() -> None:
    body = "a: 1\na: 2\ns:\n- {b: 1, b: 2}\n- é: 1\n  é: 2\n".encode()
    text = 'yaml: unmarshal errors:\n  line 2: key "a" already set in map\n  line 4: key "b" already set in map\n' \
           '  line 6: key "é" already set in map'
    assert yaml_duplicates(body) == text
    unknown = ['unknown field "s"', 'unknown field "a"']
    assert complaints(body, YAML, unknown, typed=True) == [text, 'unknown field "a"', 'unknown field "s"']


texts = st.text(st.sampled_from(list('ab":\\ {}[],')), max_size=4)
values = st.recursive(
    st.none() | st.integers(0, 9) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(texts, inner), max_size=3).map(tuple), max_leaves=8,
)


def written(value: Any) -> str:
    """JSON in which a tuple is an object as its members are written, some perhaps twice."""
    if isinstance(value, tuple):
        return "{" + ", ".join(f"{json.dumps(key)} : {written(item)}" for key, item in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return json.dumps(value)


@given(values)
def test_a_glance_never_overlooks_a_key_written_twice(value: Any) -> None:
    body = written(value).encode()
    if strict._each_key_once(body):
        assert strict._Reader([]).read(body) == []


def test_a_glance_is_enough_for_an_ordinary_body() -> None:
    assert strict._each_key_once(json.dumps({"a": [{"b": '{"c": 1}'}], "b": {"a": "x\n"}}).encode())
    assert not strict._each_key_once(b'{"a": 1, "a": 2}')
