"""`Object{spec: Object.spec{replicas: 1}}` and `JSONPatch{op: "add"}` as plain maps.

The CEL library knows no types that are made up from a schema, so these literals become map literals before they are
compiled: `dyn({"spec": dyn({"replicas": 1})})`. `dyn` lets the branches of a condition differ. What such an object may
hold is checked against the schema when it is applied.
"""

from __future__ import annotations

import functools
import re
from typing import Final

_TOKEN = re.compile(
    r"""
      (?P<string> [rRbB]{0,2} (?: \"\"\".*?\"\"\" | '''.*?''' | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' ) )
    | (?P<comment> //[^\n]* )
    | (?P<literal> (?<![\w.]) (?: Object(?:\s*\.\s*\w+)* | JSONPatch ) \s* \{ )
    | (?P<name> [A-Za-z_]\w* | `[^`]*` )
    | (?P<open> [\[({] )
    | (?P<close> [\])}] )
    | (?P<other> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPED: Final = {"__underscores__": "__", "__dot__": ".", "__dash__": "-", "__slash__": "/"}
_KEYWORD = re.compile(r"__([a-z]+)__")


@functools.lru_cache(maxsize=1024)
def plain(text: str) -> str:
    """The expression without such literals."""
    if "Object" not in text and "JSONPatch" not in text:
        return text
    parts: list[str] = []
    open_brackets: list[bool] = []  # whether it is such a literal's
    at_key = False
    for match in _TOKEN.finditer(text):
        kind, token = match.lastgroup, match.group()
        if kind == "literal":
            parts.append("dyn({")
            open_brackets.append(True)
            at_key = True
            continue
        if kind == "name" and at_key:
            parts.append(f'"{_field(token)}"')
            at_key = False
            continue
        if kind == "open":
            open_brackets.append(False)
            at_key = False
        elif kind == "close" and open_brackets:
            token = "})" if open_brackets.pop() else token
            at_key = False
        elif token == ",":
            at_key = bool(open_brackets) and open_brackets[-1]
        parts.append(token)
    return "".join(parts)


def _field(name: str) -> str:
    """A field's name as the document has it."""
    name = name.strip("`")
    for escaped, meant in _ESCAPED.items():
        name = name.replace(escaped, meant)
    keyword = _KEYWORD.fullmatch(name)
    return keyword.group(1) if keyword else name
