"""The keys and values of ConfigMaps and Secrets: names of keys, the size limit, `immutable: true`."""

from __future__ import annotations

from collections.abc import Mapping

from sampan.apimachinery.field import FieldError, Path, forbidden, invalid, too_long
from sampan.apimachinery.names import config_map_key
from sampan.apimachinery.object import Object

MAX_SIZE_BYTES = 1024 * 1024


def validate_keys(data: Mapping[str, str], path: Path) -> list[FieldError]:
    return [invalid(path.key(key), key, why) for key in data if (wrong := config_map_key(key)) for why in wrong]


def validate_size(text: Mapping[str, str], encoded: Mapping[str, str], path: Path) -> list[FieldError]:
    """At most 1 MiB of values: `text` counts as UTF-8, `encoded` as the bytes that its base64 stands for."""
    size = sum(len(value.encode("utf-8", "surrogatepass")) for value in text.values())
    size += sum(_decoded_size(value) for value in encoded.values())
    return [too_long(path, MAX_SIZE_BYTES)] if size > MAX_SIZE_BYTES else []


def _decoded_size(value: str) -> int:
    return len(value) * 3 // 4 - value[-2:].count("=")


def validate_immutable(new: Object, old: Object, fields: tuple[str, ...]) -> list[FieldError]:
    """Once `immutable` is true it stays, and the data with it."""
    if not old.get("immutable"):
        return []
    detail = "field is immutable when `immutable` is set"
    errors = [] if new.get("immutable") else [forbidden(Path("immutable"), detail)]
    return errors + [forbidden(Path(key), detail) for key in fields if (new.get(key) or {}) != (old.get(key) or {})]
