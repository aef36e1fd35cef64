"""STYLE as tests: what a linter cannot say is said here, for every file of src/sampan."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "sampan"
FILES = sorted(SOURCE.rglob("*.py"))
FORBIDDEN_MODULES = {"time", "random", "uuid", "secrets"}
FORBIDDEN_CALLS = {("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today")}
FORBIDDEN_FILE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}
LONGEST_FUNCTION_LINES = 70
LONGEST_FILE_LINES = 500
MOST_POSITIONAL_PARAMETERS = 5
LEFTOVER = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b")


def _name(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.fixture(params=FILES, ids=_name)
def path(request: pytest.FixtureRequest) -> Path:
    return request.param  # type: ignore[no-any-return]


def _clock_uses(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (f"{node.lineno}: import {a.name}" for a in node.names if a.name in FORBIDDEN_MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in FORBIDDEN_MODULES:
            yield f"{node.lineno}: from {node.module} import"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            owner_name = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
            if (owner_name, node.func.attr) in FORBIDDEN_CALLS:
                yield f"{node.lineno}: {owner_name}.{node.func.attr}()"


def test_a_file_is_tidy(path: Path) -> None:
    """Opens with a docstring, is one noun of bearable length, and takes nothing undetermined but from effects."""
    text = path.read_text()
    tree = ast.parse(text)
    wrong: list[str] = []
    if not ast.get_docstring(tree):
        wrong.append("no docstring at the top")
    if len(text.splitlines()) > LONGEST_FILE_LINES:
        wrong.append(f"{len(text.splitlines())} lines; past {LONGEST_FILE_LINES} there is a second noun")
    if path.stem in FORBIDDEN_FILE_NAMES:
        wrong.append("names no noun")
    if "effects" not in path.parts:
        wrong += _clock_uses(tree)
    wrong += [f"leftover {match[0]}" for match in LEFTOVER.finditer(text)]
    for function in _functions(tree):
        length = (function.end_lineno or 0) - function.lineno + 1
        if length > LONGEST_FUNCTION_LINES:
            wrong.append(f"{function.name} has {length} lines")
        positional = [a for a in function.args.posonlyargs + function.args.args if a.arg not in ("self", "cls")]
        if len(positional) > MOST_POSITIONAL_PARAMETERS:
            wrong.append(f"{function.name} has {len(positional)} positional parameters")
    assert not wrong, f"{_name(path)}: " + "; ".join(wrong)


def test_tests_do_not_sleep_and_hope() -> None:
    pattern = re.compile(r"(?<!def )\btime\.sleep\(")
    tests = Path(__file__).parents[1]
    files = [p for p in tests.rglob("*.py") if p != Path(__file__)]
    guilty = [str(p.relative_to(tests)) for p in files if pattern.search(p.read_text())]
    assert not guilty


def test_every_package_says_what_it_is() -> None:
    for package in sorted({p.parent for p in FILES}):
        assert (package / "__init__.py").exists(), f"{_name(package)} has no __init__.py"
