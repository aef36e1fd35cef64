"""The tables of docs/concepts/conformance.md name tests that exist: who renames a test renames it there too."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CELL = re.compile(r"`([a-z0-9_/]+\.py)`: ((?:`[a-z0-9_]+`(?:, )?)+)")


def named() -> dict[str, set[str]]:
    """The tests that the tables name, by file."""
    found: dict[str, set[str]] = {}
    for path, names in CELL.findall((ROOT / "docs/concepts/conformance.md").read_text()):
        found.setdefault(path, set()).update(re.findall(r"`([a-z0-9_]+)`", names))
    return found


NAMED = named()


@pytest.mark.parametrize("path", sorted(NAMED))
def test_the_tables_name_tests_that_exist(path: str) -> None:
    tree = ast.parse((ROOT / "tests" / path).read_text())
    there = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert {f"test_{name}" for name in NAMED[path]} <= there


def test_the_tables_were_read() -> None:
    assert sum(map(len, NAMED.values())) > 100
