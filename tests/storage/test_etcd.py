"""What only etcd has: members that fail, answers that get lost, other programs that write."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest
from aetcd import rpc
from tests.ports import free_port

from sampan.storage.etcd.config import EtcdConfig
from sampan.storage.etcd.connection import Connection, Unreachable
from sampan.storage.etcd.store import EtcdStore
from sampan.storage.store import KeyExists, KeyValue, RevisionMismatch, StoreUnavailable
from sampan.testing.check_store import raises

from .etcd_server import OwningEtcdStore, members


class LosingConnection(Connection):
    """Delivers every transaction and loses the answers to the first `lose` of them."""

    lose = 0

    async def call(self, method, request, timeout):  # type: ignore[no-untyped-def]
        answer = await super().call(method, request, timeout)
        if isinstance(request, rpc.TxnRequest) and self.lose:
            self.lose -= 1
            raise Unreachable("the answer is lost")
        return answer


async def losing(directory: Path) -> tuple[OwningEtcdStore, LosingConnection]:
    servers = members(directory)
    connection = LosingConnection(EtcdConfig((servers[0].url,)))
    return OwningEtcdStore(connection, servers), connection


async def test_a_write_whose_answer_is_lost_happens_once(tmp_path: Path) -> None:
    store, connection = await losing(tmp_path)
    try:
        connection.lose = 1
        assert await store.create("/a", b"1") == 1
        connection.lose = 2
        assert await store.update("/a", b"2", expected=1) == 2
        connection.lose = 1
        assert await store.delete("/a", expected=2) == 3
        assert await store.revision() == 3
        await store.create("/a", b"4")
        connection.lose = 1
        refused = await raises(RevisionMismatch, store.update("/a", b"5", expected=2))
        assert isinstance(refused, RevisionMismatch)
        assert refused.current == KeyValue("/a", b"4", 4, 4)
        connection.lose = 1
        await raises(KeyExists, store.create("/a", b"other"))
    finally:
        await store.close()


async def test_the_loss_of_any_member_is_noticed_by_nobody(tmp_path: Path) -> None:
    store = await OwningEtcdStore.on(members(tmp_path, 3))
    seen: list[int] = []

    async def follow() -> None:
        async with store.watch("/", after=0) as watch:
            async for batch in watch:
                seen.extend(event.kv.mod_revision for event in batch)

    following = asyncio.create_task(follow())
    try:
        written = 0
        for member in store.owned:
            for _ in range(5):
                written = await store.create(f"/{written:04}", b"x")
            member.kill()
            for _ in range(5):
                written = await store.create(f"/{written:04}", b"x")
            member.start()
            member.wait_ready()
        assert written == 30
        async with asyncio.timeout(60):
            while len(seen) < 30:
                assert not following.done(), following
                await asyncio.sleep(0.02)
        assert seen == list(range(1, 31))
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await store.close()


async def test_an_etcd_that_is_away_is_reported_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sampan.storage.etcd.connection.REPEAT_WITHIN_S", 0.2)
    error = await raises(StoreUnavailable, EtcdStore.open(EtcdConfig((f"http://127.0.0.1:{free_port()}",))))
    assert "etcd does not answer" in str(error)


async def test_a_watch_outlives_an_etcd_that_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sampan.storage.etcd.connection.REPEAT_WITHIN_S", 0.2)
    store = await OwningEtcdStore.on(members(tmp_path))
    try:
        async with store.watch("/", after=0) as watch:
            await store.create("/a", b"1")
            assert [event.kv.key for event in await anext(watch)] == ["/a"]
            coming = asyncio.ensure_future(anext(watch))
            store.owned[0].kill()
            for _ in range(3):
                await raises(StoreUnavailable, store.revision())
            assert not coming.done(), coming
            store.owned[0].start()
            while await unavailable(store):
                assert not coming.done(), coming
            await store.create("/b", b"2")
            async with asyncio.timeout(60):
                assert [event.kv.key for event in await coming] == ["/b"]
    finally:
        await store.close()


async def unavailable(store: EtcdStore) -> bool:
    try:
        await store.revision()
    except StoreUnavailable:
        return True
    return False


async def test_a_member_without_a_leader_ends_its_watches(tmp_path: Path) -> None:
    store = await OwningEtcdStore.on(members(tmp_path, 3))
    alone, *others = store.owned
    connection = Connection(EtcdConfig((alone.url,)))
    try:
        stream = connection.open_watch()
        await stream.write(rpc.WatchRequest(create_request=rpc.WatchCreateRequest(key=b"/a")))
        assert (await stream.read()).created
        for member in others:
            member.kill()
        with pytest.raises(grpc.aio.AioRpcError, match="no leader"):
            async with asyncio.timeout(60):
                await stream.read()
    finally:
        await connection.close()
        await store.close()


async def test_two_stores_on_one_etcd_see_one_history(tmp_path: Path) -> None:
    store = await OwningEtcdStore.on(members(tmp_path))
    other = await EtcdStore.open(EtcdConfig((store.owned[0].url,)))
    try:
        await store.create("/a", b"1")
        assert await other.update("/a", b"2", expected=1) == 2
        refused = await raises(RevisionMismatch, store.update("/a", b"3", expected=1))
        assert isinstance(refused, RevisionMismatch)
        assert refused.current.value == b"2"
    finally:
        await other.close()
        await store.close()


async def test_a_long_list_comes_in_pages_of_one_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sampan.storage.etcd.store.PAGE", 7)
    store = await OwningEtcdStore.on(members(tmp_path))
    try:
        for n in range(40):
            await store.create(f"/{n:02}", b"x")
        listing = await store.list("/")
        assert [kv.key for kv in listing.items] == [f"/{n:02}" for n in range(40)]
        assert (listing.revision, listing.remaining) == (40, 0)
        page = await store.list("/", limit=10)
        assert (len(page.items), page.remaining) == (10, 30)
    finally:
        await store.close()


@pytest.mark.parametrize(("endpoints", "target"), [
    (("http://10.0.0.1:2379",), "ipv4:10.0.0.1:2379"),
    (("https://10.0.0.1:2379/", "https://10.0.0.2:2379"), "ipv4:10.0.0.1:2379,10.0.0.2:2379"),
    (("http://[::1]:2379",), "ipv6:[::1]:2379"),
    (("http://etcd.internal:2379",), "dns:///etcd.internal:2379"),
])
def test_endpoints_are_named_as_grpc_names_them(endpoints: tuple[str, ...], target: str) -> None:
    assert EtcdConfig(endpoints).target == target


def test_endpoints_of_two_schemes_are_refused() -> None:
    with pytest.raises(ValueError, match="all http:// or all https://"):
        EtcdConfig(("http://127.0.0.1:1", "https://127.0.0.1:2"))
