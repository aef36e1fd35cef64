"""A store whose every value is sealed keeps all promises of a store."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterable
from pathlib import Path

import pytest

from sampan.apiserver.encryption.store import EncryptedStore
from sampan.storage.memory import MemoryStore
from sampan.storage.store import Store
from sampan.testing.check_store import CHECKS, Backend, Check


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_conformance(check: Check, tmp_path: Path) -> None:
    file = tmp_path / "encryption.json"
    keys = [{"name": "k", "secret": base64.b64encode(b"k" * 32).decode()}]
    providers = [{"aesgcm": {"keys": keys}}]
    file.write_text(json.dumps({
        "kind": "EncryptionConfiguration", "apiVersion": "apiserver.config.k8s.io/v1",
        "resources": [{"resources": ["*.*"], "providers": providers}],
    }))

    async def open_fresh() -> Store:
        return EncryptedStore(MemoryStore(), str(file))

    async def restore(stream: AsyncIterable[bytes]) -> Store:
        return EncryptedStore(await MemoryStore.restore(stream), str(file))

    await check(Backend("sealed memory", open_fresh, None, restore))
