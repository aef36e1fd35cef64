"""Sockets go to a process that the supervisor did not start, and it is written down who has them."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.meanwhile import meanwhile

from sampan.cmd import handover

Taken = list[tuple[str, int, dict[str, int]]]


@pytest.fixture
def sockets() -> Iterator[dict[str, socket.socket]]:
    held = {name: socket.create_server(("127.0.0.1", 0)) for name in ("local", "node", "dns")}
    yield held
    for one in held.values():
        one.close()


@pytest.fixture
async def door(tmp_path: Path, sockets: dict[str, socket.socket]) -> AsyncIterator[tuple[Path, Taken]]:
    taken: Taken = []
    path = tmp_path / "run" / "door.sock"
    def take(name: str, pid: int, listeners: dict[str, int]) -> None:
        taken.append((name, pid, listeners))

    async with meanwhile(handover.serve(path, sockets, take)):
        while not path.exists():
            await asyncio.sleep(0)
        yield path, taken


async def test_the_sockets_come_over_and_it_is_on_record_who_has_them(
    door: tuple[Path, Taken], sockets: dict[str, socket.socket]
) -> None:
    path, taken = door
    held = await asyncio.to_thread(handover.ask, path, "apiserver", "local", "node")
    assert taken == [("apiserver", os.getpid(), held)]
    assert set(held) == {"local", "node"}
    with socket.socket(fileno=held["local"]) as mine:
        os.close(held["node"])
        assert mine.getsockname() == sockets["local"].getsockname()
        with socket.create_connection(mine.getsockname()):
            mine.accept()[0].close()


async def test_what_the_supervisor_has_not_is_left_out(door: tuple[Path, Taken]) -> None:
    path, _ = door
    assert await asyncio.to_thread(handover.ask, path, "apiserver", "no-such-socket") == {}


async def test_whoever_talks_nonsense_does_not_stop_it(door: tuple[Path, Taken]) -> None:
    path, taken = door
    for words in (b"hello", b"{}", b'{"listeners": 3, "process": "x"}'):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asker:
            asker.connect(str(path))
            asker.send(words)
    held = await asyncio.to_thread(handover.ask, path, "apiserver", "dns")
    os.close(held["dns"])
    assert [name for name, _, _ in taken] == ["apiserver"]


def test_without_a_supervisor_the_asker_is_told(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        handover.ask(tmp_path / "nobody.sock", "apiserver", "local")
