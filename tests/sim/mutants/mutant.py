"""Mutant: our own code with one classic mistake, made while it runs and taken back afterwards.

A mutant names a function and replaces one piece of its text, which must be there exactly once: when the code changes so
that the mistake no longer has a place, that is an error and no silent success. The function's code object is exchanged,
so whoever has imported the function already makes the mistake too.
"""

from __future__ import annotations
import __future__

import contextlib
import functools
import importlib
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from sampan.sim.faults.plan import FaultPlan


@dataclass(frozen=True, slots=True)
class Mutant:
    """`target` is `module:function` or `module:Class.method`; `seeds` is within how many the simulator finds it."""

    name: str
    target: str
    before: str
    after: str
    scenario: str
    seeds: int = 3
    level: str = "light"
    minutes: float = 2.0
    plan: FaultPlan | None = None
    """Instead of one that is drawn, where the mistake needs a certain misfortune."""

    @contextlib.contextmanager
    def alive(self) -> Iterator[None]:
        """The mistake is made until the block ends."""
        original = self._function()
        kept = original.__code__
        original.__code__ = self._mistaken(original).__code__
        try:
            yield
        finally:
            original.__code__ = kept

    def _function(self) -> FunctionType:
        module, _, path = self.target.partition(":")
        found: Any = functools.reduce(getattr, path.split("."), importlib.import_module(f"sampan.{module}"))
        found = found.fget if isinstance(found, property) else found
        assert isinstance(found, FunctionType), self.target
        return found

    def _mistaken(self, original: FunctionType) -> FunctionType:
        source = textwrap.dedent(inspect.getsource(original))
        assert source.count(self.before) == 1, f"{self.name}: {self.before!r} is {source.count(self.before)}× there"
        text = source.replace(self.before, self.after)
        code = compile(text, f"<{self.name}>", "exec", __future__.annotations.compiler_flag, dont_inherit=True)
        names: dict[str, Any] = {}
        exec(code, {**original.__globals__, "staticmethod": lambda f: f, "property": lambda f: f}, names)
        [made] = names.values()
        assert isinstance(made, FunctionType)
        return made
