"""Type checking of policies: which of a ValidatingAdmissionPolicy's expressions cannot fit the kinds that it matches.

At admission every expression is accepted that could be right for some object. Here it is compiled once more for each
built-in kind that the policy names in full (at most ten, without wildcards), with the types that the kind's definition
gives to the fields of `object` and `oldObject`. What does not compile becomes a warning in the policy's status; it
refuses nothing.

Fields that are reached through structs alone are declared by their whole path, so the checker knows
`object.spec.replicas` to be an int; what is inside lists and maps stays dynamic.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from sampan.api.kinds import KINDS
from sampan.apimachinery.cel.environment import Environment
from sampan.apimachinery.cel.errors import CompileError
from sampan.apimachinery.object import Object, dig
from sampan.apimachinery.resource import Resource
from sampan.apimachinery.schema.loader import definitions
from sampan.apiserver.admission.matching.expressions import policy_variables

MAX_KINDS: Final = 10
MAX_DEPTH: Final = 7
ROOTS: Final = ("object", "oldObject")
_SCALARS: Final = {"integer": "int", "number": "double", "boolean": "bool", "string": "string"}
_DYNAMIC: Final = frozenset({"int-or-string", "date-time", "byte"})
_TEXT = re.compile(r"""r?("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')""")
_PATH = re.compile(r"(?<![\w.])(object|oldObject)((?:\.[A-Za-z_]\w*)+)(\s*\()?")
_ANYTHING: Final = "dyn(0)"
_HAS = re.compile(r"(?<![\w.])has\(\s*(?:(?:object|oldObject)(?:\.\w+)+|dyn\(0\)[ .\w]*)\s*\)")
_PROBLEM = re.compile(r"\n(?=ERROR: <input>:)")
_PLACE = re.compile(r"ERROR: <input>:(\d+):(\d+): ")


def warnings_of(policy: Object) -> list[Object]:
    """An ExpressionWarning for each expression that does not fit; empty if all do."""
    kinds = kinds_of(policy)
    found: list[Object] = []
    for place, text in _expressions(policy):
        said = [
            f"{kind.group}/{kind.version}, Kind={kind.kind}: {problem}\n" for kind, definition in kinds
            if (problem := problem_with(text, definition, params=bool(dig(policy, "spec", "paramKind"))))
        ]
        if said:
            found.append({"fieldRef": place, "warning": "\n".join(said)})
    return found


def kinds_of(policy: Object) -> list[tuple[Resource, str]]:
    """The built-in kinds that the policy names in full, with the names of their definitions."""
    found: dict[Resource, str] = {}
    for rule in dig(policy, "spec", "matchConstraints", "resourceRules", default=()):
        for kind in KINDS:
            resource = kind.resource
            named = (
                resource.group in (rule.get("apiGroups") or ()) and resource.version in (rule.get("apiVersions") or ())
                and resource.plural in (rule.get("resources") or ())
            )
            if named and kind.definition:
                found.setdefault(resource, kind.definition)
    return sorted(list(found.items())[:MAX_KINDS], key=lambda one: (one[0].group, one[0].version, one[0].kind))


def problem_with(text: str, definition: str, *, params: bool) -> str:
    """All for which the expression does not fit objects of the definition, in CEL's words; empty if it does."""
    bare = _TEXT.sub(lambda match: " " * len(match.group()), text)
    checked = text
    problems: list[tuple[int, int, str]] = []
    for match in _PATH.finditer(bare):
        fields = match.group(2).split(".")[1:]
        unknown = _unknown_field(definition, fields, called=bool(match.group(3)))
        if unknown is not None:
            dot = match.start(2) + sum(len(part) + 1 for part in fields[:unknown])
            problems.append(_undefined(text, fields[unknown], dot))
            end = dot + 1 + len(fields[unknown])
            checked = checked[:match.start()] + _ANYTHING.ljust(end - match.start()) + checked[end:]
    checked = _HAS.sub(lambda match: "true".ljust(len(match.group())), checked)  # has() of a field that there is
    try:
        _environment(definition, params).compile(checked)
    except CompileError as error:
        problems += _found_by_the_compiler(str(error), checked, text)
    return "\n".join(problem for _, _, problem in sorted(problems))


def _undefined(text: str, field: str, position: int) -> tuple[int, int, str]:
    before = text[:position]
    line, column = before.count("\n") + 1, position - (before.rfind("\n") + 1)
    marked = f" | {text.splitlines()[line - 1]}\n | {'.' * column}^"
    return line, column + 1, f"ERROR: <input>:{line}:{column + 1}: undefined field '{field}'\n{marked}"


def _found_by_the_compiler(said: str, checked: str, text: str) -> Iterator[tuple[int, int, str]]:
    """Each problem with its line and column, and with the line as its author wrote it."""
    wrote = dict(zip(checked.splitlines(), text.splitlines(), strict=False))
    for problem in _PROBLEM.split(said.removeprefix("compilation failed: ")):
        place = _PLACE.match(problem)
        lines = [f" | {wrote.get(line[3:], line[3:])}" if line[:3] == " | " else line for line in problem.split("\n")]
        yield (int(place.group(1)), int(place.group(2)), "\n".join(lines)) if place else (0, 0, problem)


def _expressions(policy: Object) -> Iterator[tuple[str, str]]:
    for number, one in enumerate(dig(policy, "spec", "validations", default=())):
        for field in ("expression", "messageExpression"):
            if one.get(field):
                yield f"spec.validations[{number}].{field}", str(one[field])


def _unknown_field(definition: str, path: list[str], *, called: bool) -> int | None:
    """The place in `path` of the first field that the definition does not have; None if all are known or may be."""
    schema: Mapping[str, Any] = definitions().raw(definition)
    for place, field in enumerate(path):
        schema = _resolved(schema)
        properties = schema.get("properties")
        if not properties or (called and place == len(path) - 1):
            return None
        if field not in properties:
            return place
        schema = properties[field]
    return None


@functools.lru_cache(maxsize=64)
def _environment(definition: str, params: bool) -> Environment:
    variables = dict(policy_variables(params=params))
    for root in ROOTS:
        variables |= {f"{root}.{path}": type for path, type in _fields(definitions().raw(definition), 1)}
    return Environment(variables)


def _fields(schema: Mapping[str, Any], depth: int) -> Iterator[tuple[str, str]]:
    """Paths below a struct, with their CEL types. Structs are maps to the checker, so that their other uses stay."""
    for name, given in (_resolved(schema).get("properties") or {}).items():
        if not name.isidentifier() or name.startswith("x-"):
            continue
        resolved = _resolved(given)
        yield name, _type(resolved)
        if resolved.get("properties") and depth < MAX_DEPTH:
            yield from ((f"{name}.{path}", type) for path, type in _fields(resolved, depth + 1))


def _type(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if schema.get("format") in _DYNAMIC:
        return "dyn"
    if kind == "array":
        return f"list({_type(_resolved(schema.get('items') or {}))})"
    if kind == "object":
        values = schema.get("additionalProperties")
        return f"map(string, {_type(_resolved(values))})" if isinstance(values, dict) else "map(string, dyn)"
    return _SCALARS.get(str(kind), "dyn")


def _resolved(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref")
    return definitions().raw(str(reference).rpartition("/")[2]) if reference else schema
