"""What the columns of tables mean, in the words of upstream's API documentation.

A column that shows a field names it (`Column.doc`); the text is looked up when the first table is asked for. All that
the built-in kinds need is read at once, and the rest of the prose let go again.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

from sampan.api.kind import Column
from sampan.api.kinds import KINDS
from sampan.apimachinery.schema.loader import descriptions

_META = "meta.v1."


def text_of(column: Column) -> str:
    """Its description. Raises KeyError for a field that no built-in kind's columns name."""
    return _texts()[column.doc] if column.doc else column.description


@functools.cache
def _texts() -> Mapping[str, str]:
    prose = descriptions()
    found = {}
    for doc in sorted({column.doc for kind in KINDS for column in kind.columns if column.doc}):
        type_name, _, field = doc.partition("#")
        found[doc] = str(prose.raw(_definition(type_name))[field])
    return found


def _definition(type_name: str) -> str:
    if type_name.startswith(_META):
        return f"io.k8s.apimachinery.pkg.apis.{type_name}"
    return f"io.k8s.api.{type_name}"
