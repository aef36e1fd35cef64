"""Bodies of requests: JSON and YAML, duplicate keys, and the limits that keep a body from being a bomb."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sampan.apimachinery.decode import decode
from sampan.apimachinery.errors import APIError, BadRequest, RequestEntityTooLarge, UnsupportedMediaType
from sampan.apimachinery.strict import json_duplicates, yaml_duplicates

YAML = "application/yaml"


def test_json_and_yaml_are_read() -> None:
    assert decode(b'{"a": 1}') == {"a": 1}
    assert decode(b'{"a": 1}', "application/json; charset=utf-8") == {"a": 1}
    assert decode(b"a: 1\nb: [x, 2.5, yes, ~, '3']\n", YAML) == {"a": 1, "b": ["x", 2.5, True, None, "3"]}
    assert decode(b'{"a": [1, null]}', "application/apply-patch+yaml") == {"a": [1, None]}


def test_yaml_becomes_json_data() -> None:
    text = b"8080: web\ntrue: x\nt: 2026-01-01T00:00:00Z\no: 0644\nh: 0x10\ne: 1e3\ns: !!str 12\nv: 1.7.9\n"
    assert decode(text, YAML) == {
        "8080": "web", "true": "x", "t": "2026-01-01T00:00:00Z", "o": 420, "h": 16, "e": 1000.0, "s": "12",
        "v": "1.7.9",
    }


def test_anchors_and_merge_keys() -> None:
    doc = decode(b"a: &x {b: 1, c: [1]}\nd: *x\ne: {<<: *x, b: 7}\n", YAML)
    assert doc == {"a": {"b": 1, "c": [1]}, "d": {"b": 1, "c": [1]}, "e": {"b": 7, "c": [1]}}
    assert doc["a"] is not doc["d"]


def test_of_keys_written_twice_the_last_one_wins() -> None:
    assert decode(b'{"a": 1, "a": 3}') == decode(b"a: 1\na: 3\n", YAML) == {"a": 3}


@pytest.mark.parametrize(("body", "media_type", "message"), [
    (b"", "application/json", "EOF"),
    (b'{"a":', "application/json", "unexpected end of JSON input"),
    (b"{a:1}", "application/json", "invalid character 'a'"),
    (b"a: [", YAML, "error converting YAML to JSON: yaml: line 2"),
    (b"a: *b", YAML, "unknown anchor 'b' referenced"),
    (b"!!python/object:os.system x", YAML, "unknown tag"),
    (b"? [a]\n: b", YAML, "invalid map key"),
])
def test_what_cannot_be_read_is_refused(body: bytes, media_type: str, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        decode(body, media_type)
    assert message in str(caught.value)


def test_an_unknown_media_type_is_refused() -> None:
    with pytest.raises(UnsupportedMediaType):
        decode(b"{}", "text/html")


def test_a_body_has_a_size() -> None:
    with pytest.raises(RequestEntityTooLarge, match="Request entity too large: limit is 3145728"):
        decode(b'"' + b"x" * 3145728 + b'"')


@pytest.mark.parametrize(("body", "media_type"), [
    (b"[" * 500 + b"]" * 500, "application/json"), (b"[" * 100_000, "application/json"),
    (b'{"a":' * 300 + b"1" + b"}" * 300, "application/json"), (b"[" * 100_000, YAML),
])
def test_a_deep_body_is_refused(body: bytes, media_type: str) -> None:
    with pytest.raises(BadRequest):
        decode(body, media_type)
    assert json_duplicates(body) == []


def test_many_brackets_side_by_side_are_no_depth() -> None:
    assert len(decode(b"[" + b"{}," * 1000 + b"{}]")) == 1001


def test_a_billion_laughs_are_not_laughed() -> None:
    levels = "a: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"b{i}: &a{i + 1} [{','.join([f'*a{i}'] * 9)}]\n" for i in range(9)
    )
    with pytest.raises(BadRequest, match="excessive aliasing"):
        decode(levels.encode(), YAML)


# PyYAML writes 0E0 and its like without quotes, which YAML 1.2, and so we, take for a number; `dump` does not.
words = st.text(max_size=8).filter(lambda text: text[:1] not in set("0123456789+-."))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=10,
)


@given(st.dictionaries(words, json_values, max_size=4))
def test_what_json_says_yaml_says_too(doc: Any) -> None:
    assert decode(json.dumps(doc).encode()) == doc
    assert decode(yaml.safe_dump(doc).encode(), YAML) == doc


@given(st.binary(max_size=60) | st.text(alphabet="ab:-[]{}&*!?|>'\"\n #%@,0.~<", max_size=40).map(str.encode))
def test_any_body_is_read_or_an_error_of_ours(body: bytes) -> None:
    for media_type in ("application/json", YAML):
        try:
            decode(body, media_type)
        except APIError:
            pass
        try:
            json_duplicates(body)
            yaml_duplicates(body)
        except BadRequest:
            pass
