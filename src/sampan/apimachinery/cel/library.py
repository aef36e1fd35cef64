"""The CEL library and what Kubernetes adds to it, put together. Imported only when an environment is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from cel_expr_python import cel

from sampan.apimachinery.cel import opaque
from sampan.apimachinery.cel.extensions import address, authorizer, jsonpatch, listing, pattern, quantity, semver, url
from sampan.apimachinery.cel.function import Function

_CONFIG: Final = "name: kubernetes\nextensions:\n" + "".join(f"  - name: {name}\n" for name in (
    "cel.lib.ext.strings", "cel.lib.ext.sets", "optional", "cel.lib.ext.bindings", "cel.lib.ext.comprev2",
    "cel.lib.ext.math",
))
FUNCTIONS: Final[Sequence[Function]] = (
    *listing.FUNCTIONS, *pattern.FUNCTIONS, *quantity.FUNCTIONS, *url.FUNCTIONS, *address.FUNCTIONS,
    *semver.FUNCTIONS, *authorizer.FUNCTIONS, *jsonpatch.FUNCTIONS,
)


_SIMPLE: Final = {
    "bool": cel.Type.BOOL, "int": cel.Type.INT, "uint": cel.Type.UINT, "double": cel.Type.DOUBLE,
    "string": cel.Type.STRING, "bytes": cel.Type.BYTES, "dyn": cel.Type.DYN, "null_type": cel.Type.NULL,
    "google.protobuf.Duration": cel.Type.DURATION, "google.protobuf.Timestamp": cel.Type.TIMESTAMP,
}


def type_of(signature: str) -> Any:
    """`bool`, `list(string)`, `map(string, dyn)`, or the name of an opaque type."""
    if signature.startswith("list("):
        return cel.Type.List(type_of(signature[5:-1]))
    if signature.startswith("map("):
        key, _, value = signature[4:-1].partition(", ")
        return cel.Type.Map(type_of(key), type_of(value))
    return _SIMPLE.get(signature) or cel.Type(signature)


def new_env(variables: Mapping[str, str]) -> Any:
    """An environment of the library with every function and these variables."""
    return cel.NewEnv(
        opaque.pool(), config=cel.NewEnvConfigFromYaml(_CONFIG),
        variables={name: type_of(type) for name, type in variables.items()},
        extensions=[cel.CelExtension("kubernetes", _declarations())],
    )


def _declarations() -> list[Any]:
    overloads: dict[str, list[Any]] = {}
    for one in _distinct(FUNCTIONS):
        overloads.setdefault(one.name, []).append(cel.Overload(
            one.overload, return_type=type_of(one.returns), parameters=[type_of(type) for type in one.takes],
            is_member=one.member, impl=one.run,
        ))
    return [cel.FunctionDecl(name, found) for name, found in overloads.items()]


def _distinct(functions: Sequence[Function]) -> list[Function]:
    """Overloads that differ in nothing but the opaque types they take, as one that chooses when it is called.

    The library's dispatcher cannot tell one message from another, so these are declared with `dyn`.
    """
    alike: dict[tuple[Any, ...], list[Function]] = {}
    for one in functions:
        kinds = tuple("opaque" if type in opaque.ALL else type for type in one.takes)
        alike.setdefault((one.name, one.member, kinds), []).append(one)
    return [found[0] if len(found) == 1 else _chosen(found) for found in alike.values()]


def _chosen(overloads: Sequence[Function]) -> Function:
    first = overloads[0]
    by_type = {one.takes[0]: one for one in overloads}

    def run(target: Any, *rest: Any) -> Any:
        chosen = by_type.get(opaque.type_of(target))
        if chosen is None or any(
            wanted in opaque.ALL and opaque.type_of(value) != wanted
            for wanted, value in zip(chosen.takes[1:], rest, strict=True)
        ):
            raise ValueError(f"no such overload: {first.name}")
        return chosen.run(target, *rest)

    takes = tuple("dyn" if type in opaque.ALL else type for type in first.takes)
    return Function(first.name, takes, first.returns, run, first.member)
