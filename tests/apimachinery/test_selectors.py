"""Selectors: the text form, the document form, field selectors, and the messages for what is none of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.apimachinery.field import Path
from sampan.apimachinery.selectors import (
    NOTHING,
    Requirement,
    Selector,
    SelectorError,
    format_document,
    from_document,
    from_labels,
    parse,
    parse_fields,
    validate_document,
)

MATCHES = [
    ("", {}, True), ("a=b", {"a": "b"}, True), ("a==b", {"a": "c"}, False), ("a!=b", {}, True),
    ("a!=b", {"a": "b"}, False), ("a", {"a": ""}, True), ("!a", {"a": ""}, False), ("!a", {}, True),
    ("a in (x,y)", {"a": "y"}, True), ("a in (x,y)", {}, False), ("a notin (x,y)", {}, True),
    ("a notin (x,y)", {"a": "x"}, False), ("a>1", {"a": "2"}, True), ("a>1", {"a": "1"}, False), ("a<1", {}, False),
    ("a<1", {"a": "x"}, False), ("a=", {"a": ""}, True), ("a=", {}, False), ("a in ()", {"a": ""}, True),
    ("a=b,c=d", {"a": "b", "c": "d"}, True), ("a=b,c=d", {"a": "b"}, False), (" a = b , !c ", {"a": "b"}, True),
    ("in in (in,notin)", {"in": "notin"}, True), ("x in (,a)", {"x": ""}, True),
]


@pytest.mark.parametrize(("text", "labels", "selected"), MATCHES)
def test_a_selector_selects_as_upstream_documents_it(text: str, labels: dict[str, str], selected: bool) -> None:
    assert parse(text).matches(labels) is selected


@pytest.mark.parametrize(("text", "message"), [
    ("???", "unable to parse requirement: <nil>: Invalid value: \"???\": name part must consist of alphanumeric "
            "characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or "
            "'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"),
    ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
    ("a,", "found '', expected: identifier after ','"),
    (",a", "found ',', expected: !, identifier, or 'end of string'"),
    ("a in x", "unable to parse requirement: found 'x' expected: '('"),
    ("a=b c", "found 'c', expected: ',' or 'end of string'"),
    ("a=,b=!", "unable to parse requirement: found '!', expected: identifier"),
    ("a>x", "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be "
            "an integer"),
    ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
    ("!", "unable to parse requirement: found '', expected: identifier"),
])
def test_what_is_no_selector_is_explained(text: str, message: str) -> None:
    with pytest.raises(SelectorError) as caught:
        parse(text)
    assert str(caught.value) == message


def test_a_value_that_is_no_label_value_is_refused() -> None:
    with pytest.raises(SelectorError, match=r'values\[0\]\[a\]: Invalid value: "-x": a valid label must be'):
        parse("a=-x")


def test_the_text_is_sorted_and_complete() -> None:
    assert str(parse("z,b notin (y,x),a!=q,!n,g>3")) == "a!=q,b notin (x,y),g>3,!n,z"


def test_a_document_selects_like_its_text() -> None:
    selector = from_document({
        "matchLabels": {"app": "web"},
        "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["b", "a"]}, {"key": "old", "operator": "DoesNotExist"},
        ],
    })
    assert str(selector) == "app=web,!old,tier in (a,b)"
    assert selector.matches({"app": "web", "tier": "a"})
    assert not selector.matches({"app": "web", "tier": "a", "old": "1"})


def test_no_document_selects_nothing_and_an_empty_one_everything() -> None:
    assert from_document(None) is NOTHING
    assert not from_document(None).matches({})
    assert from_document({}).matches({"a": "b"})
    assert from_document({}).selects_everything
    assert from_labels(None).selects_everything
    assert format_document({}) == "<none>"
    assert format_document({"matchExpressions": [{"key": "a", "operator": "?"}]}) == "<error>"


def test_the_one_value_demanded_of_a_key_is_known() -> None:
    assert parse("a=b,c in (d),e in (f,g)").required_value("a") == "b"
    assert parse("c in (d)").required_value("c") == "d"
    assert parse("e in (f,g)").required_value("e") is None
    assert parse_fields("spec.nodeName=n1").required_value("spec.nodeName") == "n1"


def test_a_wrong_document_is_explained_by_field() -> None:
    errors = validate_document({
        "matchLabels": {"a": "-"},
        "matchExpressions": [
            {"key": "a", "operator": "In"}, {"key": "b", "operator": "Exists", "values": ["x"]},
            {"key": "c", "operator": "Is", "values": ["x"]}, {"key": "", "operator": "Exists"},
            {"key": "d", "operator": "NotIn", "values": ["ok", "-"]},
        ],
    }, Path("spec.selector"))
    texts = [str(error) for error in errors]
    assert texts[0].startswith('spec.selector.matchLabels: Invalid value: "-": a valid label must be an empty string')
    assert texts[1:4] == [
        "spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or "
        "'NotIn'",
        "spec.selector.matchExpressions[1].values: Forbidden: may not be specified when `operator` is 'Exists' or "
        "'DoesNotExist'",
        'spec.selector.matchExpressions[2].operator: Invalid value: "Is": not a valid selector operator',
    ]
    assert texts[4] == 'spec.selector.matchExpressions[3].key: Invalid value: "": name part must be non-empty'
    assert texts[-1].startswith('spec.selector.matchExpressions[4].values[1]: Invalid value: "-": a valid label')


def test_field_selectors() -> None:
    selector = parse_fields(r"metadata.name=a,status.phase!=Running,x==y\,z")
    assert selector.fields == ("metadata.name", "status.phase", "x")
    assert selector.matches({"metadata.name": "a", "x": "y,z"})
    assert not selector.matches({"metadata.name": "a", "status.phase": "Running", "x": "y,z"})
    assert str(selector) == r"metadata.name=a,status.phase!=Running,x=y\,z"
    assert parse_fields("").selects_everything
    assert parse_fields("spec.nodeName=").matches({})


@pytest.mark.parametrize(("text", "message"), [
    ("abc", "invalid selector: 'abc'; can't understand 'abc'"),
    ("a=b=c", "invalid field selector: unescaped character in value: 61"),
    (r"a=b\c", r"invalid field selector: invalid escape sequence: \c"),
])
def test_what_is_no_field_selector_is_explained(text: str, message: str) -> None:
    with pytest.raises(SelectorError) as caught:
        parse_fields(text)
    assert str(caught.value) == message


keys = st.from_regex(r"[a-z]([a-z0-9.]{0,5}[a-z])?", fullmatch=True)
values = st.from_regex(r"([a-z0-9]([-a-z0-9]{0,5}[a-z0-9])?)?", fullmatch=True)
requirements = st.one_of(
    st.builds(lambda k, o: Requirement(k, o), keys, st.sampled_from(["exists", "!"])),
    st.builds(lambda k, o, v: Requirement(k, o, (v,)), keys, st.sampled_from(["=", "==", "!="]), values),
    st.builds(lambda k, o, n: Requirement(k, o, (str(n),)), keys, st.sampled_from(["gt", "lt"]), st.integers(0, 99)),
    st.builds(
        lambda k, o, v: Requirement(k, o, tuple(sorted(v))), keys, st.sampled_from(["in", "notin"]),
        st.sets(values, min_size=1, max_size=3),
    ),
)


@given(st.lists(requirements, max_size=4).map(Selector), st.dictionaries(keys, values, max_size=4))
def test_the_text_of_a_selector_reads_back_as_the_same(selector: Selector, labels: dict[str, str]) -> None:
    assert parse(str(selector)) == selector
    assert parse(str(selector)).matches(labels) is selector.matches(labels)


@given(st.lists(requirements, max_size=4), st.dictionaries(keys, values, max_size=4))
def test_a_selector_is_the_conjunction_of_its_requirements(several: list[Requirement], labels: dict[str, str]) -> None:
    assert Selector(several).matches(labels) is all(Selector([one]).matches(labels) for one in several)


@given(st.text(max_size=20))
def test_any_text_is_a_selector_or_an_error_of_ours(text: str) -> None:
    for read in (parse, parse_fields):
        try:
            read(text)
        except SelectorError:
            pass
