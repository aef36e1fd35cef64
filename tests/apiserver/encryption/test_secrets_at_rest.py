"""Secrets in the store's file: unreadable there, plain to those who may read them through the API."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sampan.api.resources import CONFIG_MAPS, SECRETS
from sampan.apiserver.config import APIServerConfig
from sampan.apiserver.encryption.configuration import parse
from sampan.apiserver.encryption.providers import AESGCMProvider, CannotOpen
from sampan.apiserver.server import ITSELF, APIServer
from sampan.client.client import Client
from sampan.pki import encryption
from sampan.storage.sqlite import SqliteStore
from sampan.storage.store import StoreUnavailable

WORD = "open-sesame-4711"
ENCODED = base64.b64encode(WORD.encode()).decode()


def key(name: str, fill: int) -> dict[str, str]:
    return {"name": name, "secret": base64.b64encode(bytes([fill]) * 32).decode()}


def configuration(*providers: dict[str, Any], resources: tuple[str, ...] = ("secrets",)) -> bytes:
    return json.dumps({
        "kind": "EncryptionConfiguration", "apiVersion": "apiserver.config.k8s.io/v1",
        "resources": [{"resources": list(resources), "providers": list(providers)}],
    }).encode()


def gcm(*keys: dict[str, str]) -> dict[str, Any]:
    return {"aesgcm": {"keys": list(keys)}}


IDENTITY: dict[str, Any] = {"identity": {}}


@contextlib.asynccontextmanager
async def serving(database: Path, configuration_file: Path | None) -> AsyncIterator[tuple[Client, SqliteStore]]:
    store = await SqliteStore.open(database)
    path = str(configuration_file) if configuration_file else ""
    config = APIServerConfig(authorization=False, disable_admission=("ServiceAccount",), encryption_config_file=path)
    server = APIServer(store, config)
    try:
        await server.start()
        yield Client(server.transport(ITSELF), field_manager="test"), store
    finally:
        await server.stop()
        await store.close()


def secret(name: str = "door") -> dict[str, Any]:
    return {
        "kind": "Secret", "apiVersion": "v1", "metadata": {"name": name, "namespace": "default"},
        "data": {"word": ENCODED},
    }


def on_disk(database: Path) -> bytes:
    return b"".join(file.read_bytes() for file in database.parent.iterdir() if file.name.startswith(database.name))


async def stored(store: SqliteStore, name: str = "door") -> bytes:
    found = await store.get(f"/registry/core/secrets/default/{name}")
    assert found is not None
    return found.value


async def test_a_secret_is_not_to_be_found_in_the_file(tmp_path: Path) -> None:
    database, config = tmp_path / "store.db", encryption.ensure(tmp_path / "pki")
    assert config.stat().st_mode & 0o777 == 0o600
    async with serving(database, config) as (client, _):
        await client.create(SECRETS, secret())
        changed = await client.patch(SECRETS, "door", {"metadata": {"labels": {"a": "b"}}}, "default")
        assert changed["data"]["word"] == ENCODED
        assert (await client.list(SECRETS, "default"))["items"][0]["data"]["word"] == ENCODED
        config_map = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "open"}, "data": {"k": "in-clear"}}
        await client.create(CONFIG_MAPS, config_map, "default")
    found = on_disk(database)
    assert ENCODED.encode() not in found and WORD.encode() not in found
    assert b"k8s:enc:aesgcm:v1:key1:" in found and b"in-clear" in found
    async with serving(database, config) as (client, _):
        assert (await client.get(SECRETS, "door", "default"))["data"]["word"] == ENCODED
        await client.delete(SECRETS, "door", "default")


async def test_a_secret_from_before_is_readable_and_sealed_at_the_next_start(tmp_path: Path) -> None:
    database, config = tmp_path / "store.db", encryption.ensure(tmp_path)
    async with serving(database, None) as (client, store):
        await client.create(SECRETS, secret())
        assert ENCODED.encode() in await stored(store)
    async with serving(database, config) as (client, store):
        assert (await client.get(SECRETS, "door", "default"))["data"]["word"] == ENCODED
        assert (await stored(store)).startswith(b"k8s:enc:aesgcm:v1:key1:")


async def test_keys_rotate_by_their_order(tmp_path: Path) -> None:
    database, config = tmp_path / "store.db", tmp_path / "config.json"
    config.write_bytes(configuration(gcm(key("old", 1))))
    async with serving(database, config) as (client, _):
        await client.create(SECRETS, secret())
    config.write_bytes(configuration(gcm(key("new", 2), key("old", 1))))
    async with serving(database, config) as (client, store):
        assert (await client.get(SECRETS, "door", "default"))["data"]["word"] == ENCODED
        assert (await stored(store)).startswith(b"k8s:enc:aesgcm:v1:new:")
    config.write_bytes(configuration(gcm(key("new", 2))))
    async with serving(database, config) as (client, _):
        assert (await client.get(SECRETS, "door", "default"))["data"]["word"] == ENCODED
    config.write_bytes(configuration(IDENTITY, gcm(key("new", 2))))
    async with serving(database, config) as (client, store):
        assert ENCODED.encode() in await stored(store)


async def test_a_lost_key_is_an_error_and_not_an_empty_list(tmp_path: Path) -> None:
    database, config = tmp_path / "store.db", tmp_path / "config.json"
    config.write_bytes(configuration(gcm(key("one", 1))))
    async with serving(database, config) as (client, _):
        await client.create(SECRETS, secret())
    config.write_bytes(configuration(gcm(key("two", 2))))
    with pytest.raises(StoreUnavailable, match=r"default/door: sealed with aesgcm/v1/one, which is not configured"):
        async with serving(database, config):
            pytest.fail("it must not start")


def test_a_value_opens_only_at_its_own_key() -> None:
    provider = AESGCMProvider("k", b"k" * 32)
    sealed = provider.seal("/registry/core/secrets/a/x", b"value")
    assert provider.open("/registry/core/secrets/a/x", sealed) == b"value"
    with pytest.raises(CannotOpen):
        provider.open("/registry/core/secrets/b/x", sealed)
    with pytest.raises(CannotOpen):
        provider.open("/registry/core/secrets/a/x", sealed[:-1] + bytes([sealed[-1] ^ 1]))


def test_cbc_round_trips() -> None:
    [provider] = parse(configuration({"aescbc": {"keys": [key("k", 3)]}})).providers("", "secrets")
    for value in (b"", b"x" * 15, b"x" * 16, b"x" * 1000):
        sealed = provider.seal("/k", value)
        assert value not in sealed or not value
        assert provider.open("/k", sealed) == value


@pytest.mark.parametrize(("resources", "group", "plural", "covered"), [
    (("secrets",), "", "secrets", True), (("secrets",), "x.io", "secrets", False), (("*.",), "", "configmaps", True),
    (("*.",), "apps", "deployments", False), (("*.apps",), "apps", "deployments", True),
    (("deployments.apps",), "apps", "deployments", True), (("*.*",), "x.io", "things", True),
])
def test_resources_are_named_with_wildcards(
    resources: tuple[str, ...], group: str, plural: str, covered: bool
) -> None:
    config = parse(configuration(gcm(key("k", 1)), resources=resources))
    assert bool(config.providers(group, plural)) is covered


@pytest.mark.parametrize("content", [
    b"{}", b"kind: EncryptionConfiguration", configuration(), configuration(gcm()), configuration({"kms": {}}),
    configuration(gcm(key("a", 1), key("a", 2))), configuration(gcm({"name": "a", "secret": "c2hvcnQ="})),
    configuration(gcm(key("a", 1)), resources=("*.*", "secrets")), configuration(gcm(key("a", 1)), resources=("*",)),
])
def test_a_wrong_configuration_says_so(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(content)
