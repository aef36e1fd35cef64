"""Makes `messages.json.gz`, the table of field numbers: `python -m sampan.apimachinery.protobuf.build SOURCE`.

SOURCE is the folder `k8s.io` of upstream's Go source, as Debian's packages golang-k8s-api-dev and
golang-k8s-apimachinery-dev install it. Read are the struct tags of the types.go files, because they say what the .proto
files do not: the JSON name, whether a struct is inlined, and whether a field is a pointer, so that "absent" and "zero"
stay different where Go keeps them apart.

The table: {"messages": {message: {number: [json name, type, form, keep]}}, "kinds": {"apiVersion/Kind": message}}.
`type` is a scalar (string bytes bool int double), a special (Time MicroTime Duration Quantity IntOrString Raw
Items), or a message; `form` is one, list, map or inline; `keep` is 1 where a zero value means something.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
from pathlib import Path
from typing import Any

from sampan.apimachinery.protobuf.newer import NEWER

TARGET = Path(__file__).with_name("messages.json.gz")
META = "meta/v1"

_SCALARS = {
    "string": "string", "bool": "bool", "int": "int", "int32": "int", "int64": "int", "uint32": "int", "uint64": "int",
    "byte": "int", "float64": "double", "float32": "double",
}
_SPECIAL = {
    "Time": "Time", "MicroTime": "MicroTime", "Duration": "Duration", "Quantity": "Quantity",
    "IntOrString": "IntOrString", "RawExtension": "Raw", "FieldsV1": "Raw", "UID": "string",
}
_STRUCT = re.compile(r"^type (\w+) struct ?\{(?:\s*\}|\n(.*?)^\})", re.M | re.S)
_ALIAS = re.compile(r"^type (\w+) (?:= )?((?:map\[\w+\]|\[\]|\*)*[\w.]+)$", re.M)
_FIELD = re.compile(r'^\t(?:(\w+)\s+)?([\w.\[\]*]+)\s+`json:"([^"]*)"[^`]*? protobuf:"([^"]*)"[^`]*`', re.M)
_GROUP = re.compile(r'const GroupName = "([^"]*)"')

class Package:
    """One Go package: its structs, and the names it gives to other types."""

    def __init__(self, name: str, folder: Path) -> None:
        texts = [path.read_text() for name in ("*types*.go", "group_version.go") for path in sorted(folder.glob(name))]
        self.name = name
        self.structs = {struct: body for text in texts for struct, body in _STRUCT.findall(text)}
        self.aliases = {alias: target for text in texts for alias, target in _ALIAS.findall(text)}
        register = folder / "register.go"
        group = _GROUP.search(register.read_text()) if register.exists() else None
        self.group = group[1] if group else ""


def table(source: Path) -> dict[str, Any]:
    """The whole table from a folder `k8s.io`."""
    packages = {META: Package(META, source / "apimachinery/pkg/apis/meta/v1")}
    for folder in sorted((source / "api").glob("*/v*")):
        if folder.parent.name not in ("imagepolicy", "admission", "apidiscovery"):
            name = f"{folder.parent.name}/{folder.name}"
            packages[name] = Package(name, folder)
    messages: dict[str, Any] = {}
    kinds: dict[str, str] = {}
    for package in packages.values():
        for struct, body in package.structs.items():
            found = {}
            for _, go_type, json_tag, proto_tag in _FIELD.findall(body):
                if json_tag != "-":
                    number, entry = _entry(packages, package, go_type, json_tag, proto_tag)
                    found[number] = entry
            messages[f"{package.name}.{struct}"] = found
            is_kind = "metav1.TypeMeta `json" in body or (package.name == META and "\tTypeMeta `json" in body)
            if is_kind and found:  # a Table has no message
                group = f"{package.group}/" if package.group else ""
                kinds[f"{group}{package.name.partition('/')[2]}/{struct}"] = f"{package.name}.{struct}"
    for message, fields in NEWER.items():
        messages[message] = {**fields, **messages.get(message, {})}
    return {"messages": messages, "kinds": kinds}


def _entry(
    packages: dict[str, Package], package: Package, go_type: str, json_tag: str, proto_tag: str
) -> tuple[str, list[Any]]:
    number = proto_tag.split(",")[1]
    name, _, options = json_tag.partition(",")
    kind, form, pointer = _resolve(packages, package, go_type)
    if "inline" in options:
        return number, ["", kind, "inline", 0]
    return number, [name, kind, form, int(pointer or "omitempty" not in options)]


def _resolve(packages: dict[str, Package], package: Package, go_type: str) -> tuple[str, str, bool]:
    """(type, form, whether it is a pointer) of a field's Go type."""
    pointer = go_type.startswith("*")
    go_type = go_type.removeprefix("*")
    if go_type == "[]byte":
        return "bytes", "one", pointer
    if go_type.startswith("[]"):
        return _element(packages, package, go_type[2:]), "list", pointer
    if go_type.startswith("map["):
        return _element(packages, package, go_type.partition("]")[2]), "map", pointer
    owner, bare = _owner(packages, package, go_type)
    target = owner.aliases.get(bare) if owner else None
    if target and target.startswith("map["):
        return _element(packages, owner or package, target.partition("]")[2]), "map", pointer
    return _element(packages, package, go_type), "one", pointer


def _element(packages: dict[str, Package], package: Package, go_type: str) -> str:
    go_type = go_type.removeprefix("*")
    if go_type == "[]byte":
        return "bytes"
    owner, bare = _owner(packages, package, go_type)
    if bare in _SCALARS:
        return _SCALARS[bare]
    if bare in _SPECIAL:
        return _SPECIAL[bare]
    if owner and bare in owner.structs:
        return f"{owner.name}.{bare}"
    target = owner.aliases.get(bare) if owner else None
    if target is None:
        return "string"  # a named string of a package that is not read
    if target.startswith("[]"):
        return "Items"
    return _element(packages, owner or package, target)


def _owner(packages: dict[str, Package], package: Package, go_type: str) -> tuple[Package | None, str]:
    prefix, dot, bare = go_type.rpartition(".")
    if not dot:
        return package, bare
    if prefix in ("metav1", "meta"):
        return packages[META], bare
    sibling = packages.get(f"{package.name.partition('/')[0]}/{prefix}")
    if sibling and (bare in sibling.structs or bare in sibling.aliases):
        return sibling, bare
    version = re.fullmatch(r"([a-z]*?)(v\d\w*)?", prefix)
    return packages.get(f"{version[1] or 'core'}/{version[2] or 'v1'}" if version else ""), bare


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    found = table(parser.parse_args().source)
    encoded = json.dumps(found, sort_keys=True, separators=(",", ":")).encode()
    TARGET.write_bytes(gzip.compress(encoded, 9, mtime=0))
    print(f"{len(found['messages'])} messages, {len(found['kinds'])} kinds, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
