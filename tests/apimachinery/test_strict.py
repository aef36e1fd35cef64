"""Strict validation names what is wrong in the order and the words of upstream's decoders."""

from __future__ import annotations

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
