"""Manifests in, documents, error texts and tables out: what a person with kubectl would see.

Each file in tests/golden/api holds manifests; what comes out stands beside it. `--rewrite` writes the outcomes anew.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from sampan import effects
from sampan.api.kind import Kind
from sampan.api.kinds import KINDS
from sampan.apimachinery.object import name_of
from sampan.apimachinery.table import render_table
from sampan.effects.seeded import SeededSource

FOLDER = Path(__file__).parent.parent / "golden" / "api"
NOW = datetime(2026, 6, 1, 12, 0, 0, tzinfo=UTC)
Golden = Callable[[str, str], None]


def _manifests(folder: str) -> list[str]:
    return sorted(file.stem for file in (FOLDER / folder).glob("*.yaml") if not file.stem.endswith(".out"))


def _documents(folder: str, name: str) -> list[Any]:
    return list(yaml.safe_load_all((FOLDER / folder / f"{name}.yaml").read_text()))


def _kind(obj: Any) -> Kind:
    return next(kind for kind in KINDS if kind.resource.kind == obj["kind"]
                and kind.resource.api_version == obj["apiVersion"])


class _Block(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


@pytest.mark.parametrize("name", _manifests("defaults"))
def test_a_manifest_gets_upstreams_defaults(name: str, golden: Golden) -> None:
    documents = _documents("defaults", name)
    for obj in documents:
        kind = _kind(obj)
        with effects.use(SeededSource(1, lambda: 0.0, NOW)):
            kind.default(obj)
            kind.prepare_create(obj)
        assert [str(error) for error in kind.validate(obj)] == []
    golden(f"api/defaults/{name}.out.yaml", yaml.dump_all(documents, Dumper=_Block, sort_keys=True))


def _as_kubectl_shows(obj: Any) -> str:
    kind = _kind(obj)
    kind.default(obj)
    kind.prepare_create(obj)
    texts = list(dict.fromkeys(str(error) for error in kind.validate(obj)))
    joined = texts[0] if len(texts) == 1 else "".join(f"\n* {text}" for text in texts)
    return f'The {obj["kind"]} "{name_of(obj)}" is invalid: {joined}\n'


@pytest.mark.parametrize("name", _manifests("errors"))
def test_a_wrong_manifest_gets_upstreams_words(name: str, golden: Golden) -> None:
    golden(f"api/errors/{name}.txt", "\n".join(_as_kubectl_shows(obj) for obj in _documents("errors", name)))


def _as_kubectl_prints(objects: list[Any]) -> str:
    """The wide table, columns padded as kubectl pads them."""
    table = render_table(objects, _kind(objects[0]).columns, NOW)
    rows = [[column["name"].upper() for column in table["columnDefinitions"]]]
    rows += [["" if cell is None else str(cell) for cell in row["cells"]] for row in table["rows"]]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return "\n".join("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
                     for row in rows) + "\n"


@pytest.mark.parametrize("name", _manifests("tables"))
def test_objects_print_as_upstream_prints_them(name: str, golden: Golden) -> None:
    kinds: dict[str, list[Any]] = {}
    for obj in _documents("tables", name):
        kinds.setdefault(f"{obj['apiVersion']}/{obj['kind']}", []).append(obj)
    golden(f"api/tables/{name}.txt", "\n".join(_as_kubectl_prints(objects) for objects in kinds.values()))
