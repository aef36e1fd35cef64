"""x-kubernetes-validations: what rules see, and what they say."""

from __future__ import annotations

import pytest

from sampan.apimachinery.field import ErrorType, Path
from sampan.apiserver.extensions.rules import RuleTree, check


def errors(raw, value, **old):
    return [str(error) for error in RuleTree(raw).errors(value, Path("spec"), *old.values())]


def ruled(rule, **more):
    return {"type": "object", "x-kubernetes-validations": [{"rule": rule, **more}], "properties": {
        "min": {"type": "integer"}, "max": {"type": "integer"}, "name": {"type": "string"},
        "a-b": {"type": "string"}, "namespace": {"type": "string"}, "size": {"x-kubernetes-int-or-string": True},
        "when": {"type": "string", "format": "date-time"}, "for": {"type": "string", "format": "duration"},
        "data": {"type": "string", "format": "byte"}, "ratio": {"type": "number"},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "items": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "integer"}}}},
    }}


@pytest.mark.parametrize(("rule", "value"), [
    ("self.min <= self.max", {"min": 1, "max": 2}),
    ("!has(self.min) || self.min > 0", {}),
    ("self.?min.orValue(3) == 3", {}),
    ("self.items.all(i, i.n > 0) && self.items.exists_one(i, i.n == 2)", {"items": [{"n": 1}, {"n": 2}]}),
    ("self.items.map(i, i.n).sum() == 3 && self.items.map(i, i.n).isSorted()", {"items": [{"n": 1}, {"n": 2}]}),
    ("self.labels.all(k, k.startsWith('a'))", {"labels": {"a1": "x", "a2": "y"}}),
    ("self.a__dash__b == 'x' && self.__namespace__ == 'y'", {"a-b": "x", "namespace": "y"}),
    ("self.name.find('[0-9]+') == '12' && self.name.matches('^a[0-9]+$')", {"name": "a12"}),
    ("self.when > timestamp('2020-01-01T00:00:00Z')", {"when": "2024-05-06T07:08:09Z"}),
    ("self.for < duration('1h')", {"for": "30m"}),
    ("self.data == b'hi'", {"data": "aGk="}),
    ("self.ratio < 2.5", {"ratio": 2}),
    ("type(self.size) == int ? self.size == 3 : false", {"size": 3}),
    ("quantity(self.name).isLessThan(quantity('2Gi'))", {"name": "1Gi"}),
    ("url(self.name).getHost() == 'example.com'", {"name": "https://example.com/x"}),
    ("ip(self.name).family() == 4", {"name": "10.0.0.1"}),
    ("cidr('10.0.0.0/8').containsIP(self.name)", {"name": "10.0.0.1"}),
    ("self.name.split(',').size() == 2 && self.name.lowerAscii() == 'a,b'", {"name": "A,B"}),
    ("cel.bind(n, self.min + 1, n == 2)", {"min": 1}),
    ("sets.contains(self.items.map(i, i.n), [1])", {"items": [{"n": 1}]}),
])
def test_rules_that_hold(rule, value):
    rule = rule.replace("self.for ", "self.__for__ ")
    assert errors(ruled(rule), value) == []


def test_a_rule_that_fails_says_so():
    assert errors(ruled("self.min <= self.max"), {"min": 3, "max": 2}) == [
        'spec: Invalid value: "object": failed rule: self.min <= self.max']
    assert errors(ruled("self.min <= self.max", message="too much"), {"min": 3, "max": 2}) == [
        'spec: Invalid value: "object": too much']


def test_messages_are_expressions_reasons_and_paths_too():
    raw = ruled("self.min <= self.max", messageExpression="'at most ' + string(self.max)", message="plain",
                reason="FieldValueForbidden", fieldPath=".min")
    assert errors(raw, {"min": 3, "max": 2}) == ["spec.min: Forbidden: at most 2"]


@pytest.mark.parametrize(("text", "said"), [
    ("' a ' + '\\n'", "a"), ("'a\\nb'", "plain"), ("' '", "plain"), ("self.name", "x" * 5120),
    ("self.name + 'x'", "plain"),
])
def test_a_message_is_one_line_of_five_kibibytes(text, said):
    raw = ruled("false", messageExpression=text, message="plain")
    assert errors(raw, {"name": "x" * 5120}) == [f'spec: Invalid value: "object": {said}']


def test_a_rule_that_cannot_be_evaluated_fails():
    assert errors(ruled("self.min > 0"), {}) == [
        'spec: Invalid value: "object": no such key: min evaluating rule: self.min > 0']


def test_a_rule_of_mixed_types_says_so():
    raw = {"type": "object", "properties": {"port": {"x-kubernetes-int-or-string": True}},
           "x-kubernetes-validations": [{"rule": "self.port + 1 > 2"}]}
    assert errors(raw, {"port": 2}) == []
    assert errors(raw, {"port": "http"}) == [
        "spec: Invalid value: \"object\": 'no such overload': call arguments did not match a supported operator, "
        "function or macro signature for rule: self.port + 1 > 2"]


def test_a_rule_that_takes_too_long_is_given_up():
    """Upstream's expensive rule on upstream's data."""
    numbers = {"type": "array", "maxItems": 725, "items": {"type": "integer"}}
    rule = "self.largeArray.all(x, self.largeArray.all(y, y == x))"
    raw = {"type": "object", "properties": {"largeArray": numbers}, "x-kubernetes-validations": [{"rule": rule}]}
    assert errors(raw, {"largeArray": [20] * 20}) == []
    [error] = errors(raw, {"largeArray": [20] * 725})
    assert error.endswith(
        "'operation cancelled: actual cost limit exceeded': no further validation rules will be run due to call cost "
        f"exceeds limit for rule: {rule}"
    )


def test_a_transition_rule_needs_something_before():
    raw = ruled("self.min >= oldSelf.min")
    assert errors(raw, {"min": 1}) == []
    assert errors(raw, {"min": 2}, old={"min": 1}) == []
    assert errors(raw, {"min": 0}, old={"min": 1}) == [
        'spec: Invalid value: "object": failed rule: self.min >= oldSelf.min']


def test_an_optional_old_self_is_there_on_creation_too():
    raw = ruled("oldSelf.hasValue() || self.min == 1", optionalOldSelf=True)
    assert errors(raw, {"min": 1}) == [] and len(errors(raw, {"min": 2})) == 1
    assert errors(raw, {"min": 2}, old={"min": 3}) == []
    grows = ruled("self.min >= oldSelf.min.orValue(0)", optionalOldSelf=True)
    assert errors(grows, {"min": 2}, old={"min": 3}) != []


def test_unchanged_values_are_not_judged_again():
    raw = {"type": "object", "properties": {"spec": ruled("self.min < 0")}}
    same = {"spec": {"min": 1}}
    assert [str(e) for e in RuleTree(raw).errors(same, Path(), {"spec": {"min": 1}})] == []


def test_items_of_map_lists_are_followed_by_their_keys():
    raw = {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": {
        "type": "object", "properties": {"name": {"type": "string"}, "n": {"type": "integer"}},
        "x-kubernetes-validations": [{"rule": "self.n == oldSelf.n", "message": "fixed"}]}}
    old = [{"name": "a", "n": 1}, {"name": "b", "n": 2}]
    assert errors(raw, [{"name": "b", "n": 3}, {"name": "c", "n": 9}], old=old) == [
        'spec[0]: Invalid value: "object": fixed']


def test_rules_of_scalars_have_their_type():
    raw = {"type": "string", "x-kubernetes-validations": [{"rule": "self.size() > 2"}]}
    assert errors(raw, "ab") == ['spec: Invalid value: "string": failed rule: self.size() > 2']
    wrong = {"type": "string", "x-kubernetes-validations": [{"rule": "self > 2"}]}
    assert "found no matching overload for '_>_'" in str(check(wrong, Path("x"))[0])


def test_what_is_wrong_with_a_rule():
    found = check(ruled("self.min > 1", messageExpression="1", reason="Nope"), Path("s"))
    assert [error.field for error in found] == [
        "s.x-kubernetes-validations[0].reason", "s.x-kubernetes-validations[0].messageExpression"]
    assert "rule is not specified" in str(check(ruled(""), Path("s"))[0])
    assert "undefined field 'nope'" in str(check(ruled("self.items[0].n == self.nope"), Path("s"))[0])


def costly(schema, rule, **more):
    """`schema` as a property, with a rule on it."""
    return {"type": "object", "properties": {"a": {**schema, "x-kubernetes-validations": [{"rule": rule, **more}]}}}


TOO_DEAR = (
    "estimated {} cost exceeds budget by factor of {} (try simplifying the rule, or adding maxItems, maxProperties, "
    "and maxLength where arrays, maps, and strings are declared)"
)
PLACE = "s.properties[a].x-kubernetes-validations[0]"
TEXTS = {"type": "array", "items": {"type": "string"}}


def test_a_rule_that_may_cost_too_much_is_refused_and_told_by_how_much():
    found = [(error.field, error.detail) for error in check(costly(TEXTS, "self.all(x, x.contains('gpu'))"), Path("s"))]
    assert found == [
        (f"{PLACE}.rule", TOO_DEAR.format("rule", "more than 100x")),
        (f"{PLACE}.rule", "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"),
        ("s", TOO_DEAR.format("rule", "more than 100x").replace(
            "rule cost", "rule cost total for entire OpenAPIv3 schema", 1).replace(
            "estimated", "x-kubernetes-validations estimated", 1)),
    ]
    bounded = {"type": "array", "maxItems": 5000, "items": {"type": "string", "maxLength": 10_000}}
    [error] = check(costly(bounded, "self.all(x, x.contains('gpu'))"), Path("s"))
    assert error.detail == TOO_DEAR.format("rule", "2.0x") and error.type is ErrorType.FORBIDDEN
    assert check(costly({**bounded, "maxItems": 2000}, "self.all(x, x.contains('gpu'))"), Path("s")) == []
    numbers = {"type": "array", "maxItems": 725, "items": {"type": "integer"}}
    assert check(costly(numbers, "self.all(x, self.all(y, y == x))"), Path("s")) == []


def test_a_rule_costs_as_often_as_its_place_can_occur():
    rules = [{"rule": "self.contains('keyword')"}]
    inner = {"type": "string", "maxLength": 2048, "x-kubernetes-validations": rules}
    within = {"type": "object", "properties": {"map": {
        "type": "object", "maxProperties": 10_000, "additionalProperties": inner,
    }}}
    assert check(within, Path("s")) == []
    within["properties"]["map"]["maxProperties"] = 15_000
    [error] = check(within, Path("s"))
    assert (error.field, error.detail) == (
        "s.properties[map].additionalProperties.x-kubernetes-validations[0].rule", TOO_DEAR.format("rule", "1.231500x"))
    del within["properties"]["map"]["maxProperties"]
    assert "exceeds budget by factor of" in check(within, Path("s"))[0].detail


def test_what_many_rules_may_cost_together_is_limited_too():
    one = {"type": "array", "maxItems": 1000, "items": {
        "type": "string", "maxLength": 20_000, "x-kubernetes-validations": [{"rule": "self.contains('x')"}],
    }}
    schema = {"type": "object", "properties": {f"f{number}": one for number in range(13)}}
    found = check(schema, Path("s"))
    assert [error.field for error in found] == [
        *(f"s.properties[f{number}].items.x-kubernetes-validations[0].rule" for number in range(4)), "s"]
    assert check({**schema, "properties": dict(list(schema["properties"].items())[:12])}, Path("s")) == []


def test_message_expressions_have_a_cost_and_optional_old_values_none_of_their_own():
    text = {"type": "string"}
    [error, *_] = check(costly(text, "true", messageExpression="self + self + self.replace('a', self)"), Path("s"))
    assert error.field == f"{PLACE}.messageExpression" and "estimated messageExpression cost exceeds" in error.detail
    assert check(costly(text, "oldSelf.orValue('') == self", optionalOldSelf=True), Path("s")) == []


def test_a_message_is_cheap_when_formatted_and_too_dear_when_put_together_from_numbers():
    """As a real kube-apiserver judges the two."""
    number = {"type": "object", "properties": {"max": {"type": "integer"}}}
    put_together = "'at most ' + string(self.max)"
    [error, *_] = check(costly(number, "self.max > 1", messageExpression=put_together), Path("s"))
    assert error.detail == TOO_DEAR.format("messageExpression", "more than 100x")
    assert check(costly(number, "self.max > 1", messageExpression="'at most %d'.format([self.max])"), Path("s")) == []


LOOP = "self.numbers.all(x, self.numbers.all(y, x + y >= 0))"
"""7 for each pair."""
SEARCH = "self.text.contains(self.text)"
"""A hundredth for each pair of characters, and 4."""
TEXT = "a" * 9700
STOPPED = "no further validation rules will be run"


def dear(*rules):
    given = [rule if isinstance(rule, dict) else {"rule": rule} for rule in rules]
    return {"type": "object", "x-kubernetes-validations": given, "properties": {
        "numbers": {"type": "array", "items": {"type": "integer"}}, "text": {"type": "string"}}}


def test_a_quadratic_rule_may_do_more_than_the_library_lets_it():
    assert errors(dear(LOOP), {"numbers": list(range(300))}) == []


def test_a_rule_that_is_too_dear_is_the_last_one():
    [error] = errors(dear(LOOP, "false"), {"numbers": list(range(400))})
    assert error == (
        "spec: Invalid value: \"object\": 'operation cancelled: actual cost limit exceeded': "
        f"{STOPPED} due to call cost exceeds limit for rule: {LOOP}"
    )


def test_rules_that_are_cheap_by_themselves_exhaust_the_budget_together():
    """Each costs a little less than a tenth of the budget of an object."""
    raw = {"type": "object", "properties": {
        "items": {"type": "array", "items": dear(SEARCH)},
        "after": {"type": "object", "x-kubernetes-validations": [{"rule": "false"}]},
    }}
    value = [{"text": TEXT} for _ in range(13)]
    assert errors(raw, {"items": value[:10]}) == []
    assert errors(raw, {"items": value, "after": {}}) == [
        f'spec.items[10]: Invalid value: "object": validation failed due to running out of cost budget, {STOPPED}']


def test_the_budget_is_of_one_object():
    tree = RuleTree(dear(*[SEARCH] * 10))
    assert tree.errors({"text": TEXT}, Path("spec")) == tree.errors({"text": TEXT}, Path("spec")) == []


def test_unchanged_values_spend_nothing():
    raw, value = dear(*[SEARCH] * 11), {"text": TEXT}
    assert len(errors(raw, value)) == 1
    assert errors(raw, value, old=value) == []


def test_transition_rules_spend_too():
    raw = dear(*[f"{SEARCH} && oldSelf.text != ''"] * 11)
    [error] = errors(raw, {"text": TEXT}, old={"text": "b"})
    assert "running out of cost budget" in error
    assert errors(raw, {"text": TEXT}) == []


def test_a_message_is_paid_for_by_the_same_budget():
    said = {"rule": "false", "messageExpression": f"{SEARCH} ? 'yes' : 'no'", "message": "plain"}
    assert errors(dear(said, "false"), {"text": TEXT * 2}) == [
        f'spec: Invalid value: "object": {STOPPED} due to call cost exceeds limit for messageExpression: '
        f'"{said["messageExpression"]}"']
    assert errors(dear(*[said] * 13), {"text": TEXT}) == [
        *['spec: Invalid value: "object": yes'] * 10,
        'spec: Invalid value: "object": messageExpression evaluation failed due to running out of cost budget, '
        f"{STOPPED}",
    ]
