"""Estimated costs: the figures are those that upstream's own test of its estimates expects, case by case."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sampan.apimachinery.cel import declared
from sampan.apimachinery.cel.cost import Estimate
from sampan.apimachinery.cel.environment import environment

Made = Callable[[int | None], dict[str, Any]]
OVER = -1
"""More than any rule may cost."""


def limited(schema: dict[str, Any], name: str, most: int | None) -> dict[str, Any]:
    return schema if most is None else {**schema, name: most}


def plain(kind: str) -> dict[str, Any]:
    if kind == "int-or-string":
        return {"x-kubernetes-int-or-string": True}
    return {"type": "string", "format": kind} if kind in ("duration", "date", "date-time") else {"type": kind}


def array(item: dict[str, Any] | str) -> Made:
    item = plain(item) if isinstance(item, str) else item
    return lambda most: limited({"type": "array", "items": item}, "maxItems", most)


def mapping(value: dict[str, Any] | str) -> Made:
    value = plain(value) if isinstance(value, str) else value
    return lambda most: limited({"type": "object", "additionalProperties": value}, "maxProperties", most)


def text(**more: Any) -> Made:
    return lambda most: limited({"type": "string", **more}, "maxLength", most)


def texts(most: int | None) -> dict[str, Any]:
    return array(limited(plain("string"), "maxLength", most))(most)


def text_map(most: int | None) -> dict[str, Any]:
    return mapping(limited(plain("string"), "maxLength", most))(most)


def fields(**lengths: int | None) -> Made:
    return lambda most: {"type": "object", "properties": {
        name: limited(plain("string"), "maxLength", most if length is None else length)
        for name, length in lengths.items()
    }}


def nested(*, limits_all: bool) -> Made:
    inner = {"type": "object", "required": ["required"],
             "properties": {"required": plain("string"), "optional": plain("string")}}

    def make(most: int | None) -> dict[str, Any]:
        return limited({"type": "array", "items": mapping(inner)(most)}, "maxItems", most if limits_all else None)

    return make


LISTS = array("number")(None)
OBJECT_ITEM = {"type": "object", "required": ["required"],
               "properties": {"required": plain("string"), "optional": plain("string")}}
CASES: list[tuple[Made, str, int, int, int]] = [
    (array("number"), "self.all(x, true)", 4718591, 10, 32),
    (array("string"), "self.all(x, true)", 3145727, 20, 62),
    (array("boolean"), "self.all(x, true)", 1887437, 5, 17),
    (array(LISTS), "self.all(x, true)", 3145727, 100, 302),
    (array(OBJECT_ITEM), "self.all(x, true)", 555128, 50, 152),
    (mapping("number"), "self.all(x, true)", 1348169, 10, 32),
    (mapping("number"), "has(self.x)", 1, 100, 1),
    (mapping("string"), "self.all(x, true)", 1179647, 3, 11),
    (mapping("boolean"), "self.all(x, true)", 943718, 100, 302),
    (text(), "self.contains('test')", 314574, 10, 5),
    (text(), "self.startsWith('test')", 2, 15, 2),
    (text(), "self.endsWith('test')", 2, 30, 2),
    (text(), 'size(self + "hello") > size("hello")', 314578, 4, 7),
    (array("number"), "self[1] == 0.0", 2, 5000, 2),
    (array("string"), "self[1] == self[1]", 314577, 8, 314577),
    (array("number"), "self.all(x, self.all(y, true))", OVER, 10, 352),
    (array("number"), "self.all(x, self.all(y, self.all(z, true)))", OVER, 10, 3552),
    (text(), 'self.matches("x")', 314574, 50, 22),
    (text(), '"".matches("(((((((((())))))))))[0-9]")', 7, 10, 7),
    (text(), 'self.matches("")', 1, 100, 1),
    (text_map, "self.all(x, x.contains(self[x]))", 2752507, 10, 72),
    (array("number"), "self[3] == 0.0", 2, 0, 2),
    (mapping("number"), 'self["x"] == 0.0', 2, 0, 2),
    (text(), 'self == "x"', 2, 0, 1),
    (text(format="byte"), 'self == b"x"', 2, 0, 1),
    (array("number"), "self.all(x, x == 0.0)", 6291454, 3 * 1024 * 2048, 25165826),
    (nested(limits_all=True), 'self.all(x, x["y"].required == "z")', 7340027, 10, 72),
    (nested(limits_all=False), 'self.all(x, x["y"].required == "z")', 7340027, 10, 7340027),
    (array("int-or-string"), "self.all(x, true)", 4718591, 10, 32),
    (array("int-or-string"), "self[0] == 5", 3, 10, 3),
    (array("boolean"), "self[0] == false", 2, 25, 2),
    (array(OBJECT_ITEM), "self[0] == null", 2, 422, 2),
    (array(LISTS), "self[0][0] == -1.0", 3, 51, 3),
    (array(mapping("number")(None)), "self.all(x, x.y == 25.2)", 6291452, 12, 74),
    (array(mapping("number")(None)), "self[0].x > 2.0", 4, 3000, 4),
    (array("duration"), "self.all(x, true)", 2359295, 5, 17),
    (array("duration"), "self[0].getHours() == 2", 4, 525, 4),
    (array("date"), "self.all(x, true)", 725936, 15, 47),
    (array("date"), "self[2].getDayOfMonth() == 13", 4, 42, 4),
    (array("date-time"), "self.all(x, true)", 428963, 25, 77),
    (array("date-time"), "self[2].getMinutes() == 45", 4, 99, 4),
    (mapping("int-or-string"), "self.all(x, true)", 1348169, 15, 47),
    (mapping(OBJECT_ITEM), "self.all(x, true)", 428963, 20, 62),
    (mapping(mapping("number")(None)), "self.all(x, true)", 1179647, 10, 32),
    (mapping(LISTS), "self.all(x, true)", 1179647, 25, 77),
    (mapping("duration"), "self.all(x, true)", 1048577, 5, 17),
    (mapping("date"), "self.all(x, true)", 524288, 10, 32),
    (mapping("date-time"), "self.all(x, true)", 349526, 25, 77),
    (text(), "self.find('[0-9]+') == ''", 629147, 10, 11),
    (texts, "self.join(' ') == 'aa bb'", 329853068905, 10, 43),
    (texts, "self.isSorted() == true", 329854432052, 10, 52),
    (fields(str=None, before=2, after=4), "self.str.replace(self.before, self.after) == 'does not matter'",
     629154, 4, 12),
    (fields(str=None, separator=None), "self.str.split(self.separator) == []", 629160, 10, 22),
    (text(), "self.lowerAscii() == 'lower!'", 314575, 10, 6),
    (mapping("integer"), "oldSelf.size() == self.size()", 5, 10, 5),
    (mapping("date-time"), 'self["a"] == self["b"]', 8, 7, 8),
    (mapping("duration"), 'self["c"] == self["d"]', 8, 42, 8),
    (text(enum=["A", "B", "C", "LongValue"]), "self.contains('A')", 2, 1000, 401),
]


def estimated(schema: dict[str, Any], rule: str) -> int:
    known = declared.of(schema, lambda name: name)
    assert known is not None
    types = {"array": "list(dyn)", "string": "string"}
    kind = "bytes" if schema.get("format") == "byte" else types.get(schema["type"], "dyn")
    program = environment(("self", kind), ("oldSelf", "dyn")).compile(rule, "bool")
    return Estimate(program.tree(), known).cost().high


@pytest.mark.parametrize(("made", "rule", "unlimited", "most", "within"), CASES)
def test_estimates_are_upstreams(made: Made, rule: str, unlimited: int, most: int, within: int) -> None:
    found = estimated(made(None), rule)
    assert found == unlimited if unlimited != OVER else found > 10_000_000
    assert estimated(made(most), rule) == within


def test_bindings_are_paid_once_and_keep_the_size_of_what_they_stand_for() -> None:
    schema = text()(10)
    assert estimated(schema, "cel.bind(s, self, s.contains('test') && s == 'a')") == estimated(
        schema, "self.contains('test') && self == 'a'"
    ) + 11  # the empty range costs 10, the identifier once more 1


def test_what_a_loop_makes_is_as_large_as_what_it_went_over() -> None:
    assert estimated(array("string")(10), "self.map(x, x).all(y, true)") < 600
    assert estimated(array("string")(None), "self.filter(x, true).all(y, true)") > 10_000_000
