"""Documents to send: samples of the kinds, what their schemas allow, and both with something broken in them."""

from __future__ import annotations

import contextlib
import copy
import random
from collections.abc import Callable
from typing import Any, TypeAlias

import orjson
from tests.apiserver.lifecycle.samples import ALL, sample

from sampan.api.kind import Kind
from sampan.apimachinery.schema.compile import Mismatch, Schema
from sampan.apimachinery.schema.loader import definition

Scalar: TypeAlias = Callable[[Schema, random.Random], Any]
KINDS: dict[str, Kind] = {kind.definition: kind for kind in ALL}
NAMES = (
    "a", "b", "sample-a", "sample-b", "default", "kubernetes", "system", "exempt", "", "..", "A_b", "x" * 300, "é",
    "a/b", "as.example.com", "10.1.2.3", "v1.a.example.com", "a b", "%2e%2e", "a\x00b", "a\nb", ":", "https:a:443",
)
TEXTS = (
    "", "a", "web", "Web_1", "..", "../x", "/x", "10.0.0.1", "10.0.0.0/24", "::1", "25%", "%", "Always", "Never",
    "None", "RollingUpdate", "Recreate", "ClusterIP", "ExternalName", "In", "Exists", "NotIn", "Gt", "NoExecute", "*",
    "Localhost", "Indexed", "User", "Group", "ServiceAccount", "*/5 * * * *", "@every 1h", "example.com/x", "TCP",
    "metadata.name", "metadata.labels['a']", "limits.cpu", "True", "Cluster", "IPv4", "é", "\u2028", "\x00", "x" * 300,
    "self", "self.a == 1", "object.spec", "1 +", "{}", "[]", "${x}", "$(A)", "2026-01-02T03:04:05Z", "9999-99-99",
    "0001-01-01T00:00:00Z", "-1", "1e999", "YQ==", "kubernetes.io/hostname", "v1", "apps/v1", "Pod", "name", "\ud7ff",
    "Europe/Berlin", ".spec.a", "{.a}",
)
NUMBERS = (0, 1, -1, 2, 80, 420, 65535, 65536, 2**31 - 1, 2**31, -(2**31), 2**63 - 1, -(2**63), 10**20, 0.5, 1e300)
QUANTITIES = ("0", "1", "1000m", "1.5Gi", "-1", "2e3", "1n", "100Ei", "1e1000", "abc", "", ".", "1Ki1", 5, 1.5)
TIMES = ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.123456Z", "0001-01-01T00:00:00+14:00")
BYTES = ("", "YQ==", "e30=")
WEIRD: tuple[Any, ...] = (None, True, False, {}, [], [[]], [None], {"": ""}, {"a": None}, [{}], "", *NUMBERS)


def document(rng: random.Random, name: str) -> Any:
    """A document for a definition."""
    kind = KINDS.get(name)
    if kind is not None and rng.random() < 0.6:
        found = sample(kind, rng.randrange(2))
    else:
        try:
            found = fitting(definition(name), rng)
        except LookupError:
            return anything(rng)
        if isinstance(found, dict):
            found["metadata"] = {"name": rng.choice(NAMES)} if rng.random() < 0.9 else found.get("metadata")
            if kind is not None:
                found |= {"apiVersion": kind.resource.api_version, "kind": kind.resource.kind}
    for _ in range(rng.choice((0, 0, 1, 1, 2, 5))):
        found = broken(rng, found)
    return found


def fitting(schema: Schema, rng: random.Random, depth: int = 0, scalar: Scalar | None = None) -> Any:
    """A value of the schema, sparser the deeper it gets. `scalar` makes what holds nothing else."""
    kind, scalar = schema.kind, scalar or _scalar
    if kind == "object":
        likely = 0.9 if depth < 2 else 0.5 if depth < 4 else 0.2
        return {
            name: fitting(child, rng, depth + 1, scalar) for name in schema.field_names
            if depth < 12 and rng.random() < likely and (child := schema.child(name)) is not None
        }
    if kind == "list":
        items = schema.items
        return [fitting(items, rng, depth + 1, scalar) for _ in range(rng.randrange(3))] if items else []
    if kind == "map":
        values = schema.values
        return {
            rng.choice(TEXTS): fitting(values, rng, depth + 1, scalar) for _ in range(rng.randrange(3))
        } if values else {}
    return scalar(schema, rng)


def valid(schema: Schema, rng: random.Random) -> Any:
    """As `fitting`, of scalars that decode."""
    return fitting(schema, rng, scalar=_valid_scalar)


def _valid_scalar(schema: Schema, rng: random.Random) -> Any:
    if schema.kind == "schema-or-else":
        return rng.choice((True, False, {}, {"type": "string"}))
    if schema.kind == "any":
        while True:
            with contextlib.suppress(TypeError):  # a number beyond 64 bits, a text that is no Unicode
                return orjson.loads(orjson.dumps(anything(rng, 2)))
    return rng.choice(_decodable(schema))


_DECODABLE: dict[tuple[str, str | None], list[Any]] = {}


def _decodable(schema: Schema) -> list[Any]:
    """Every scalar of ours that the schema takes, as it takes it."""
    what = schema.kind, schema.format
    found = _DECODABLE.get(what)
    if found is None:
        found = _DECODABLE[what] = []
        for value in (*NUMBERS, True, False, *QUANTITIES, *TIMES, *BYTES, *TEXTS, "80", "http", 80):
            with contextlib.suppress(Mismatch, TypeError):
                orjson.dumps(value)
                found.append(schema.decode(value, None, []))
    return found


def _scalar(schema: Schema, rng: random.Random) -> Any:
    kind = schema.kind
    if kind in ("integer", "number"):
        return rng.choice(NUMBERS)
    if kind == "boolean":
        return rng.random() < 0.5
    if kind == "quantity":
        return rng.choice(QUANTITIES)
    if kind in ("time", "micro-time"):
        return rng.choice((*TIMES, "x"))
    if kind == "bytes":
        return rng.choice((*BYTES, "?"))
    if kind in ("any", "schema-or-else"):
        return anything(rng, 2)
    return rng.choice((0, 80, "25%", "http")) if kind == "int-or-string" else rng.choice(TEXTS)


def anything(rng: random.Random, depth: int = 4) -> Any:
    """Any JSON."""
    if depth and rng.random() < 0.5:
        if rng.random() < 0.6:
            return {rng.choice(TEXTS): anything(rng, depth - 1) for _ in range(rng.randrange(4))}
        return [anything(rng, depth - 1) for _ in range(rng.randrange(4))]
    return rng.choice(rng.choice((WEIRD, TEXTS, NUMBERS)))


def broken(rng: random.Random, value: Any) -> Any:
    """A copy with one place replaced, removed, doubled or renamed."""
    found = copy.deepcopy(value)
    places: list[tuple[Any, Any]] = []
    _places(found, places)
    if not places:
        return anything(rng)
    holder, key = rng.choice(places)
    how = rng.random()
    if how < 0.55:
        holder[key] = copy.deepcopy(rng.choice(rng.choice((WEIRD, TEXTS, NUMBERS, QUANTITIES))))
    elif how < 0.7:
        del holder[key]
    elif how < 0.85 and isinstance(holder, list):
        holder.append(copy.deepcopy(holder[key]))
    elif isinstance(holder, dict):
        holder[rng.choice(TEXTS)] = holder[key]
    return found


def _places(value: Any, found: list[tuple[Any, Any]]) -> None:
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            found.append((value, key))
            _places(value[key], found)
