"""JSON pointers: `jsonpatch.escapeKey("a/b")`."""

from __future__ import annotations

from sampan.apimachinery.cel.function import Function


def _escape(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


FUNCTIONS = (Function("jsonpatch.escapeKey", ("string",), "string", _escape),)
