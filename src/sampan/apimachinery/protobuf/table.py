"""The table of field numbers, loaded when the first message is read or written; see `build` for what it holds."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import orjson

META_KINDS: Final = "meta.k8s.io/v1/"
"""Options and Status are of meta/v1 in whatever group they are sent."""


@lru_cache(maxsize=1)
def table() -> Mapping[str, Any]:
    packed = Path(__file__).with_name("messages.json.gz").read_bytes()
    return orjson.loads(gzip.decompress(packed))  # type: ignore[no-any-return]


def message_of(api_version: str, kind: str) -> str | None:
    """The message that carries a kind, None if none does."""
    kinds = table()["kinds"]
    found: str | None = kinds.get(f"{api_version}/{kind}") or kinds.get(f"{META_KINDS}{kind}")
    return found


def fields_of(message: str) -> Mapping[str, list[Any]]:
    """[json name, type, form, keep] by number."""
    return table()["messages"][message]  # type: ignore[no-any-return]
