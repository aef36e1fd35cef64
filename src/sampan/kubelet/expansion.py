"""`$(VAR)` in commands, arguments and environment values (k8s.io/kubernetes third_party/forked/golang/expansion).

`$(NAME)` becomes the variable's value; an unknown one stays as written; `$$` is a plain `$`, so `$$(NAME)` yields
`$(NAME)`; a lone `$` stays.
"""

from __future__ import annotations

from collections.abc import Mapping


def expand(text: str, variables: Mapping[str, str]) -> str:
    """`text` with its references replaced, one pass, never recursive."""
    out: list[str] = []
    position = 0
    while (dollar := text.find("$", position)) >= 0:
        out.append(text[position:dollar])
        following = text[dollar + 1 : dollar + 2]
        end = text.find(")", dollar + 2) if following == "(" else -1
        if following == "$":
            out.append("$")
            position = dollar + 2
        elif end >= 0:
            name = text[dollar + 2 : end]
            out.append(variables[name] if name in variables else text[dollar : end + 1])
            position = end + 1
        else:
            out.append(text[dollar : dollar + 1 + len(following)])
            position = dollar + 1 + len(following)
    out.append(text[position:])
    return "".join(out)


def unresolved(text: str, variables: Mapping[str, str]) -> list[str]:
    """Names that `text` refers to and that are not there; subPathExpr treats them as errors."""
    missing: list[str] = []

    class Recording(dict[str, str]):
        def __contains__(self, name: object) -> bool:
            if name not in variables:
                missing.append(str(name))
            return False

    expand(text, Recording())
    return missing
