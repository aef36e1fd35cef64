"""Expressions, as custom resources and policies write them."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.apimachinery.cel.environment import PROGRAMS_KEPT, environment
from sampan.apimachinery.cel.errors import CompileError, EvaluationError

SELF = {"list": [1, 2, 3], "empty": [], "ip": "10.1.1.1", "text": "abc123", "nothing": None, "half": 0.5}
HOLDING = (
    "self.list.all(x, x > 0) && self.list.exists_one(x, x == 2)",
    "self.list.all(i, x, x == i + 1)",
    "self.?missing.orValue(3) == 3 && !self.?missing.hasValue()",
    "cel.bind(n, self.list.size(), n * n == 9)",
    "self.list.sum() == 6 && self.list.min() == 1 && self.list.max() == 3 && self.list.isSorted()",
    "self.list.indexOf(2) == 1 && self.list.lastIndexOf(9) == -1 && 'abc'.indexOf('c') == 2",
    "sets.contains(self.list, [1]) && math.greatest(1, 2) == 2",
    "self.text.find('[0-9]+') == '123' && 'a1b2'.findAll('[0-9]') == ['1', '2'] && self.text.matches('^abc')",
    "'a1b22c'.find('(b|c)([0-9]+)') == 'b22' && 'x(y'.find('[(](y)') == '(y' && 'a.b'.find('\\\\.b') == '.b'",
    "'aab'.findAll('(a|a)', 1) == ['a'] && 'abc'.find('z') == '' && 'ab'.find('(?P<x>b)') == 'b'",
    "quantity('1Gi') == quantity('1024Mi') && quantity('1500m').isGreaterThan(quantity('1'))",
    "quantity('500m').add(quantity('500m')).asInteger() == 1 && quantity('2').sub(1).sign() == 1",
    "!isQuantity('x') && !quantity('50m').isInteger()",
    "cidr('10.0.0.0/8').containsIP(self.ip) && cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16')",
    "cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8') && cidr('10.0.0.0/8').prefixLength() == 8",
    "ip('::1').isLoopback() && ip('10.0.0.1').family() == 4 && ip.isCanonical('::1') && !isIP('300.1.1.1')",
    "url('https://u@a:80/b%20c?d=e').getHost() == 'a:80' && url('https://a/b').getEscapedPath() == '/b'",
    "url('https://a/?d=e&d=f').getQuery()['d'] == ['e', 'f'] && !isURL('../x') && isURL('/x')",
    "semver('1.2.3').isLessThan(semver('v1.10', true)) && semver('1.0.0-rc.1').isLessThan(semver('1.0.0'))",
    "'%s is %d'.format(['a', 1]) == 'a is 1' && 'A'.lowerAscii() == 'a' && 'a,b'.split(',').join('') == 'ab'",
    "duration('90m') > duration('1h') && timestamp('2026-01-02T03:04:05Z').getFullYear() == 2026",
    "self.nothing == null && self.half < 1 && 1 == 1.0 && type(self.list) == list",
    "false && self.missing || true",
)
FAILING = (
    ("self.missing == 1", "no such key: missing"),
    ("self.list[7]", "index out of bounds: 7"),
    ("1 / 0", "division by zero"),
    ("self.empty.min()", "min called on empty list"),
    ("quantity('x')", "quantities must match the regular expression"),
    ("9223372036854775807 + 1", "integer overflow"),
    ("self.ip.isLessThan(self.ip)", "no such overload"),
    ("self.text.find('a(')", "Illegal regex"),
    ("self.nothing.part", "no such key: part"),
    ("dyn(self.list)['a']", "unsupported index type 'string' in list"),
    ("dyn(true)['a']", "no such key: a"),
)


def value(text: str) -> Any:
    env = environment(("self", "dyn"))
    return env.compile(text).evaluate(env.activation({"self": SELF}))


@pytest.mark.parametrize("text", HOLDING)
def test_an_expression_that_holds(text: str) -> None:
    assert value(text) is True


@pytest.mark.parametrize(("text", "words"), FAILING)
def test_an_expression_that_fails_says_why(text: str, words: str) -> None:
    with pytest.raises(EvaluationError, match=words):
        value(text)


@pytest.mark.parametrize(("text", "words"), [
    ("1 +", "Syntax error"),
    ("unknown == 1", r"undeclared reference to 'unknown' \(in container ''\)"),
    ("1 + 'a'", "found no matching overload"),
    ("'a' == 1", "found no matching overload"),
    ("1 < 1.5 && 'a' == 1", "found no matching overload"),
    (" " * 100_001 + "true", "longer than"),
])
def test_an_expression_that_makes_no_sense_does_not_compile(text: str, words: str) -> None:
    with pytest.raises(CompileError, match=words):
        value(text)


def test_the_type_of_an_expression_may_be_demanded() -> None:
    env = environment(("self", "dyn"))
    assert env.compile("self.x", "bool").returns == "dyn"
    with pytest.raises(CompileError, match="must evaluate to bool"):
        env.compile("'a'", "bool")


def test_an_expression_that_would_run_for_long_is_cut_off() -> None:
    env = environment(("self", "dyn"))
    program = env.compile("self.all(a, self.all(b, self.all(c, a + b + c >= 0)))")
    with pytest.raises(EvaluationError, match="cost limit"):
        program.evaluate(env.activation({"self": list(range(1000))}))


def test_compiled_expressions_are_kept_and_the_oldest_forgotten() -> None:
    env = environment(("self", "dyn"), ("other", "dyn"))
    first = env.compile("self == 1")
    assert env.compile("self == 1") is first
    for number in range(PROGRAMS_KEPT):
        env._programs[(str(number), ())] = first
    env.compile("self == 2")
    assert len(env._programs) <= PROGRAMS_KEPT + 1


def test_a_search_takes_no_time_whatever_the_pattern() -> None:
    """A backtracking engine would need longer than the universe is old."""
    assert value(f"'{'a' * 5000}'.find('(a|aa|a*)*b') == ''") is True
