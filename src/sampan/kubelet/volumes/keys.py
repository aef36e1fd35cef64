"""ConfigMaps and Secrets as files: which keys become which paths. Shared by configMap, secret and projected volumes."""

from __future__ import annotations

import base64
from typing import Literal

from sampan.apimachinery.object import Object, namespace_of
from sampan.kubelet.errors import VolumeError
from sampan.kubelet.volumes.atomic_writer import File
from sampan.kubelet.volumes.context import VolumeContext

DEFAULT_MODE = 0o644

KeyKind = Literal["configmap", "secret"]


async def files(context: VolumeContext, kind: KeyKind, source: Object, default_mode: int) -> dict[str, File]:
    """The files of one source: all keys, or its `items`. Raises VolumeError for what is missing and not optional."""
    name = source.get("secretName") or source.get("name") or ""
    namespace = namespace_of(context.pod)
    found = await context.lookup(kind, namespace, name)
    if found is None:
        if source.get("optional"):
            return {}
        raise VolumeError(f'MountVolume.SetUp failed for volume "{context.name}" : {kind} "{name}" not found')
    data = contents(kind, found)
    items = source.get("items")
    if not items:
        return {key: File(value, default_mode) for key, value in data.items()}
    chosen: dict[str, File] = {}
    for item in items:
        if item["key"] not in data:
            if source.get("optional"):
                continue
            who, what = ("configmap ", "config") if kind == "configmap" else ("", "secret")
            text = f"{who}references non-existent {what} key: {item['key']}"
            raise VolumeError(f'MountVolume.SetUp failed for volume "{context.name}" : {text}')
        mode = item.get("mode")
        chosen[item["path"]] = File(data[item["key"]], default_mode if mode is None else mode)
    return chosen


def contents(kind: KeyKind, obj: Object) -> dict[str, bytes]:
    """Key to bytes: `data` of a Secret and `binaryData` of a ConfigMap are base64."""
    if kind == "secret":
        return {key: base64.b64decode(value or "") for key, value in (obj.get("data") or {}).items()}
    plain = {key: value.encode() for key, value in (obj.get("data") or {}).items()}
    binary = {key: base64.b64decode(value or "") for key, value in (obj.get("binaryData") or {}).items()}
    return plain | binary
