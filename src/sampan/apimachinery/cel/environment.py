"""The CEL environment that custom resources, admission policies and match conditions share.

An `Environment` is a set of variables with their types, beside all functions of Kubernetes' CEL libraries. It compiles
expressions (type-checked, kept by text) into `Program`s; a program is evaluated on an activation, which converts the
data once for any number of programs. No evaluation costs more than PER_CALL_LIMIT: the library evaluates what is
certain to stay below it, `counting.counter` the rest. The library is imported with the first environment, so that a
server without CEL does not carry it. Guarantees: only `CompileError` and `EvaluationError` come out.
"""

from __future__ import annotations

import functools
import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

from sampan.apimachinery.cel.activation import Activation
from sampan.apimachinery.cel.checked import Expr, read
from sampan.apimachinery.cel.counting.counter import Counted, Counter
from sampan.apimachinery.cel.counting.most import most
from sampan.apimachinery.cel.counting.results import plain
from sampan.apimachinery.cel.errors import CompileError, EvaluationError, compile_error, evaluation_error

BOOL: Final = "bool"
STRING: Final = "string"
DYN: Final = "dyn"
OBJECT: Final = "map(string, dyn)"

PROGRAMS_KEPT: Final = 4096
MAX_EXPRESSION_CHARACTERS: Final = 100_000
PER_CALL_LIMIT: Final = 1_000_000
"""What one evaluation may cost."""
_NOT_FINAL: Final = (
    "Iteration budget exceeded", "reference resolve step for cel.@mapInsert",
    "Applying SELECT to non-message type", "Invalid container type", "Index error: expected integer type",
)
_NUMBERS: Final = frozenset({"int", "uint", "double"})
_NO_OVERLOAD = re.compile(r"found no matching overload for '_(?:==|!=|<|<=|>|>=)_' applied to '\((\w+), (\w+)\)'")


class Program:
    """A compiled expression. `returns` is its static type (`bool`, `string`, `dyn`, …)."""

    __slots__ = ("_counter", "_expression", "_most", "_tree", "returns", "text")

    def __init__(self, text: str, expression: Any) -> None:
        self.text = text
        self._expression = expression
        self._tree: Expr | None = None
        self._counter: Counter | None = None
        self._most: dict[int, int] = {}
        self.returns = str(expression.return_type().name()).lower()

    def tree(self) -> Expr:
        """What it is made of, with the checker's types."""
        if self._tree is None:
            self._tree = read(self._expression.serialize())
        return self._tree

    def evaluate(self, activation: Activation) -> Any:
        """The value as plain Python data. Raises EvaluationError, and that is CostExceeded if it costs too much."""
        if self.most(activation, PER_CALL_LIMIT) <= PER_CALL_LIMIT:
            try:
                return plain(self._expression.eval(activation.converted))
            except (RuntimeError, TypeError, EvaluationError) as error:
                if not _needs_counter(str(error)):
                    raise evaluation_error(str(error)) from None
        found = self.counted(activation)
        if found.error is not None:
            raise found.error
        return found.value

    def most(self, activation: Activation, enough: int) -> int:
        """A cost that it will not exceed; looked for more closely where the first guess is above `enough`."""
        found = self._most.get(activation.level)
        if found is None:
            found = self._most_at(activation.level)
        return found if found <= enough else min(found, self._most_at(activation.largest.bit_length()))

    def _most_at(self, level: int) -> int:
        found = self._most.get(level)
        if found is None:
            found = self._most[level] = most(self.tree(), 1 << level)
        return found

    def counted(self, activation: Activation) -> Counted:
        """Evaluated, or known to have been, by the evaluator that counts."""
        found: Counted | None = activation.counted.get(self)
        if found is None:
            if self._counter is None:
                self._counter = Counter(self.tree())
            found = activation.counted[self] = self._counter.evaluate(activation.data, PER_CALL_LIMIT)
        return found


def _needs_counter(error: str) -> bool:
    """The library's own limit of iterations, loops that it lacks, and errors that it words without what matters."""
    return any(words in error for words in _NOT_FINAL)


class Environment:
    """Variables by name with their CEL types, e.g. `{"self": "dyn"}`. Make few and keep them; see `environment`."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        from sampan.apimachinery.cel import library

        self._env = library.new_env(variables)
        self._programs: OrderedDict[tuple[str, tuple[str, ...]], Program] = OrderedDict()

    def compile(self, text: str, *returns: str) -> Program:
        """Compile, or find compiled. `returns`: the types it may have, if it matters. Raises CompileError."""
        key = (text, returns)
        found = self._programs.get(key)
        if found is not None:
            self._programs.move_to_end(key)
            return found
        if len(text) > MAX_EXPRESSION_CHARACTERS:
            raise CompileError(f"compilation failed: expression is longer than {MAX_EXPRESSION_CHARACTERS} characters")
        program = Program(text, self._compiled(text))
        if returns and program.returns != DYN and program.returns not in returns:
            raise CompileError(f"must evaluate to {' or '.join(returns)}")
        self._programs[key] = program
        if len(self._programs) > PROGRAMS_KEPT:
            self._programs.popitem(last=False)
        return program

    def _compiled(self, text: str) -> Any:
        try:
            return self._env.compile(text)
        except (RuntimeError, ValueError) as error:
            if not _compares_numbers_only(str(error)):
                raise compile_error(error) from None
        # Kubernetes compares numbers of different types; the library's checker does not know that, its runtime does.
        try:
            return self._env.compile(text, disable_check=True)
        except (RuntimeError, ValueError) as error:
            raise compile_error(error) from None

    def activation(self, data: Mapping[str, Any]) -> Activation:
        """`data` converted for any number of evaluations."""
        return Activation(self._env.Activation(data), data)


def _compares_numbers_only(errors: str) -> bool:
    """Whether all that the checker found is comparisons of different kinds of numbers."""
    mixed = sum(_NUMBERS.issuperset(match.groups()) for match in _NO_OVERLOAD.finditer(errors))
    return mixed > 0 and mixed == errors.count("ERROR: ")


@functools.cache
def environment(*variables: tuple[str, str]) -> Environment:
    """The environment with these variables; the same one for all that ask."""
    return Environment(dict(variables))
