"""What evaluations cost, and that the evaluator that counts comes to the same as the CEL library."""

from __future__ import annotations

from typing import Any

import pytest
from tests.apimachinery.cel.test_environment import FAILING, HOLDING, SELF

from sampan.apimachinery.cel.counting.counter import Counted
from sampan.apimachinery.cel.environment import Environment, environment
from sampan.apimachinery.cel.errors import CostExceeded, EvaluationError
from sampan.apimachinery.cel.extensions import authorizer
from sampan.apimachinery.cel.opaque import AUTHORIZER

INTS, STRINGS = "[1, 2, 3, 4, 5]", f"[{', '.join(5 * [repr('012345678901')])}]"
BYTES = STRINGS.replace("'012345678901'", "bytes('012345678901')")
TEXT, LONG_IP = "'abc 123 def 123'", "ip('2001:db8:3333:4444:5555:6666:7777:8888')"
JOINED = "['aa', 'bb', 'cc', 'd', 'e', 'f', 'g', 'h', 'i', 'j']"
MAP = "{'a': 1, 'b': 2}"


def within() -> Environment:
    return environment(("self", "dyn"), ("authorizer", AUTHORIZER))


def counted(text: str, **data: Any) -> Counted:
    env = within()
    return env.compile(text).counted(env.activation({"self": SELF, **data}))


@pytest.mark.parametrize(("text", "cost"), [
    # the costs that Kubernetes' and cel-go's own tests expect of these
    (f"{INTS}.sum()", 15), (f"{STRINGS}.isSorted()", 15), (f"{BYTES}.max()", 25), (f"{INTS}.indexOf(3)", 15),
    (f"{STRINGS}.lastIndexOf('x')", 15), (f"{BYTES}.indexOf(bytes('x'))", 26),
    ("'01234567890123456789012345678901234567890123456789'.indexOf('123')", 5),
    ("[duration('1s'), duration('2s'), duration('3s'), duration('4s'), duration('5s')].min()", 20),
    ("url('https:://kubernetes.io/').getHost()", 4),
    ("url('https:://kubernetes.io/') == url('https:://kubernetes.io/')", 7),
    ("ip('192.168.0.1')", 2), ("ip('192.168.0.1').isLoopback()", 3), (LONG_IP, 4),
    (f"{LONG_IP} == ip('192.168.0.1')", 7), ("ip.isCanonical('2001:db8:3333:4444:5555:6666:7777:8888')", 8),
    ("cidr('192.168.0.0/16').masked()", 3), ("cidr('192.168.0.0/16').containsCIDR('192.0.0.0/30')", 7),
    ("cidr('192.168.0.0/16').containsIP(ip('192.169.0.1'))", 5), ("cidr('192.168.0.0/16').containsIP('192.0.0.1')", 4),
    ("cidr('2001:db8::/32').containsCIDR(cidr('2001:db8::/126'))", 7),
    (f"{TEXT}.replace('', 'x')", 3), (f"{TEXT}.split(' ', 1)", 3), (f"{TEXT}.substring(5, 8)", 2),
    ("'  abc 123 def 123  '.trim()", 2), (f"{JOINED}.join(' ')", 15), (f"{JOINED}.join()", 13),
    (f"{TEXT}.find('123')", 2), (f"{TEXT}.findAll('123', 1)", 2), ("jsonpatch.escapeKey('abc/def~ abc/def~')", 2),
    ("authorizer.path('/healthz')", 2),
    ("authorizer.group('apps').resource('deployments').subresource('status').namespace('test').name('backend')", 6),
    ("quantity('12Mi')", 1), ("quantity('200M') == quantity('0.2G') && quantity('0.2G') == quantity('200M')", 6),
    ("quantity('50k').add(20).sub(quantity('100k')).asInteger() > 0", 6),
    ("sets.contains([], [])", 21), ("sets.contains([[1], [2, 3]], [[2, 3.0]])", 53),
    ("sets.equivalent([1, 2, 3], [3u, 2.0, 1])", 39), ("!sets.intersects([1], ['1', 2])", 24),
    ("semver('1234.56789012345.67890123456789')", 4), ("semver('1.0.0').compareTo(semver('1.2.3'))", 3),
    (f"{MAP}.all(k, v, v > 0)", 41), (f"{MAP}.exists(k, v, v > 0)", 40), (f"{MAP}.existsOne(k, v, v > 0)", 40),
    (f"{MAP}.transformMap(k, v, v + 1)", 71), (f"{MAP}.transformMap(k, v, v < 5, v + 1)", 75),
    (f"{MAP}.transformMapEntry(k, v, {{k: v + 1}})", 131), ("[1, 2].all(i, v, v > 0)", 21),
    ("[1, 2].exists(i, v, v > 0)", 20), ("[1, 2].transformList(i, v, v + 1)", 49),
    ("[1, 2].transformList(i, v, v < 5, v + 1)", 53),
])
def test_the_cost_of_an_evaluation(text: str, cost: int) -> None:
    found = counted(text, authorizer=authorizer.authorizer_for())
    assert (found.error, found.cost) == (None, cost)


@pytest.mark.parametrize("text", [
    *HOLDING, *(text for text, _ in FAILING),
    "cel.bind(x, self.nope, true)", "cel.bind(x, self.nope, x == 1 || true)", "self.?list.orValue(self.nope)",
    "self.list.map(x, x > 1, x * 10) + self.list.map(x, self.list.map(y, x + y).sum())", "{'a': 1}.map(k, k)",
    "self.list.exists(x, x / 0 == 1)", "self.list.all(x, x / 0 == 1 || x > 0)",
    "self.list.transformList(i, v, i + v)", "[-self.half, 1.5 + 2.5, -7.0 / 2.0]",
    "[-3 % 2, -7 / 2, 7 / -2, 2 - 5, 3 * 4]", "7 % 0", "-9223372036854775807 * 3", "self.?list[?1].orValue(9)",
    "optional.of(3).optMap(x, x + 1).or(optional.none()).value()", "optional.none().value()",
    "{?'a': self.?text, ?'b': self.?nope}", "[?self.?text, ?self.?nope]", "has(self.text) && !has(self.zzz)",
    "optional.ofNonZeroValue('').hasValue()", "dyn('a') + 1", "dyn(1) < 'a'", "'a' in self || 2 in self.list",
    "timestamp('2020-01-01T00:00:00Z') + duration('1h') == timestamp('2020-01-01T01:00:00Z')", "self.list[0.0]",
    "string(timestamp('2020-01-01T00:00:00Z')) + string(self.list[0]) + string(b'x')", "b'abc'.size() + 'é'.size()",
    "{'a': [1, {'b': 2.0}]} == {'a': [1.0, {'b': 2}]} && dyn(true) != dyn(1)", "{1: 'a'}[1]", "{'a': 1}.b",
    "self['list'][1]", "cel.bind(x, 1, cel.bind(y, 2, x + y))", "math.abs(-1) + math.least(3, 2)",
    "strings.quote('a\"b').reverse()", "duration('1h').getHours() + timestamp('2020-01-01T00:00:00Z').getDayOfWeek()",
    "self.x == 1 || true", "!dyn(self.list)", "self.x == 1 && false", "false || self.x == 1",
    "(true ? self.list : [])[0]", "self.list.map(x, [x].map(x, x + 1))", "type(1) == int && type('a') != int",
    "self.text.replace('a', 'b', 1).upperAscii()", "self.list.exists_one(x, x > 5)", "self.list.map(x, x / (x - 2))",
    "size(self) + size({})", "'a' < 'b' && b'a' <= b'b' && 2u > 1u && false < true",
])
def test_it_comes_to_what_the_library_comes_to(text: str) -> None:
    env = within()
    program, activation = env.compile(text), env.activation({"self": SELF})
    assert activation.largest <= activation.bytes
    found = program.counted(activation)
    try:
        value = program.evaluate(env.activation({"self": SELF}))
    except EvaluationError as error:
        assert str(found.error) == str(error)
    else:
        assert (found.error, repr(found.value)) == (None, repr(value))
    assert found.cost <= program.most(activation, 0)


def test_an_evaluation_costs_no_more_than_any_may() -> None:
    env = within()
    quadratic = env.compile("self.all(x, self.all(y, x + y >= 0))", "bool")
    assert quadratic.evaluate(env.activation({"self": list(range(300))})) is True  # too often for the library
    with pytest.raises(CostExceeded):
        quadratic.evaluate(env.activation({"self": list(range(500))}))


def test_what_has_no_price_is_not_without_a_limit() -> None:
    env = within()
    program = env.compile("self.numbers.all(x, self.text.reverse() != '')")
    few, many = {"numbers": [1] * 3, "text": "a" * 100_000}, {"numbers": [1] * 30_000, "text": "a" * 100_000}
    assert program.evaluate(env.activation({"self": few})) is True
    with pytest.raises(CostExceeded):
        program.evaluate(env.activation({"self": many}))


def test_an_error_of_cost_is_not_absorbed() -> None:
    env = within()
    with pytest.raises(CostExceeded):
        env.compile("self.all(x, self.all(y, self.all(z, x < 0 || y >= 0))) || true").evaluate(
            env.activation({"self": list(range(200))})
        )


@pytest.mark.parametrize("text", ["{'a': optional.none()}", "[optional.of(1)]", "optional.of(1)", "self.?list"])
def test_an_optional_is_no_value(text: str) -> None:
    env = within()
    with pytest.raises(EvaluationError, match="an optional is no value"):
        env.compile(text).evaluate(env.activation({"self": SELF}))


def test_times_can_be_given_back() -> None:
    env = within()
    moment = env.compile("timestamp('2026-01-02T03:04:05Z')").evaluate(env.activation({"self": 1}))
    assert env.compile("self.getFullYear() == 2026").evaluate(env.activation({"self": moment})) is True
