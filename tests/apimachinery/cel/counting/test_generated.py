"""Generated expressions: the evaluator that counts comes to what the CEL library comes to, and the bound is one."""

from __future__ import annotations

import os
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from sampan.apimachinery.cel.environment import environment
from sampan.apimachinery.cel.errors import EvaluationError

EXAMPLES: Final = int(os.environ.get("SAMPAN_FUZZ_EXAMPLES", "150"))

names = st.sampled_from(["x", "y"])
numbers = st.integers(-3, 9).map(str) | st.sampled_from(["self.n", "self.list[0]", "self.list[1]", "size(self.text)"])
texts = st.sampled_from(["'a'", "'ab1'", "''", "self.text", "self.words[0]", "string(self.n)", "'é'"])
lists = st.sampled_from(["self.list", "[1, 2, 3]", "[]", "self.list.filter(x, x > 1)", "[self.n, 0]"])


def of_number(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds("({} {} {})".format, inner, st.sampled_from(["+", "-", "*", "/", "%"]), inner) | st.builds(
        "({} ? {} : {})".format, truths(inner), inner, inner
    ) | st.builds("({}).map({n}, {}).sum()".format, lists, inner, n=names) | st.builds(
        "cel.bind({n}, {}, {n} + {})".format, inner, inner, n=names
    ) | st.builds("size({})".format, texts | lists)


def of_text(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds("({} + {})".format, inner, inner) | st.builds(
        "{}.{}()".format, inner, st.sampled_from(["upperAscii", "lowerAscii", "trim", "reverse"])
    ) | st.builds("{}.replace({}, {})".format, inner, inner, inner) | st.builds(
        "{}.split('a').join({})".format, inner, inner
    ) | st.builds("{}.substring({})".format, inner, numbers)


def truths(number: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    compared = st.builds("({} {} {})".format, number, st.sampled_from(["<", "<=", "==", "!=", ">"]), number)
    return compared | st.builds("{}.{}({})".format, texts, st.sampled_from(["contains", "startsWith"]), texts)


def of_truth(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds("({} {} {})".format, inner, st.sampled_from(["&&", "||"]), inner) | st.builds(
        "!{}".format, inner
    ) | st.builds(
        "({}).{}({n}, {n} > {} || {})".format, lists, st.sampled_from(["all", "exists", "exists_one"]), numbers, inner,
        n=names,
    )


number_expressions = st.recursive(numbers, of_number, max_leaves=6)
expressions = st.one_of(
    number_expressions, st.recursive(texts, of_text, max_leaves=6),
    st.recursive(truths(number_expressions), of_truth, max_leaves=6),
)
documents = st.fixed_dictionaries({
    "n": st.integers(-5, 5), "list": st.lists(st.integers(-9, 9), max_size=5), "text": st.text("aAbé 1", max_size=8),
    "words": st.lists(st.text("ab", max_size=3), max_size=3),
})


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
@given(expressions, documents)
def test_both_evaluators_come_to_the_same(text, document) -> None:
    env = environment(("self", "dyn"))
    program, activation = env.compile(text), env.activation({"self": document})
    found = program.counted(activation)
    try:
        value = program.evaluate(env.activation({"self": document}))
    except EvaluationError:
        assert found.error is not None
    else:
        assert (found.error, found.value) == (None, value)
    assert found.cost <= program.most(activation, 0)
