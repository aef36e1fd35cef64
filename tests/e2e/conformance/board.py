"""Runs all chosen cases at once in one cluster: pytest asks for each outcome in turn, the board has them all going.

    @case
    async def test_something(space: Space) -> None: ...

A case gets a namespace of its own. Those marked `serial` change nodes for everybody; they run after all others.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from tests.e2e.conformance.space import Space

from sampan.api.resources import NAMESPACES, NODES
from sampan.client import kubeconfig
from sampan.client.client import Client
from sampan.client.transport import HTTPTransport

Story = Callable[[Space], Awaitable[None]]

CASES: dict[str, Story] = {}
SERIAL: set[str] = set()
AT_ONCE = 12
CASE_S = 480.0


def case(story: Story) -> Callable[..., None]:
    """Make a pytest function of a story."""
    key = f"{story.__module__}::{story.__name__}"
    CASES[key] = story

    def test(board: Board) -> None:
        board.outcome(key)

    test.__name__, test.__doc__, test.__module__ = story.__name__, story.__doc__, story.__module__
    return test


def serial(story: Story) -> Callable[..., None]:
    """A case that has the cluster for itself."""
    SERIAL.add(f"{story.__module__}::{story.__name__}")
    return case(story)


class Board:
    """`outcome(key)` waits for a case and raises what it raised."""

    def __init__(self, config: Path, keys: Iterable[str]) -> None:
        self._config = config
        self._futures: dict[str, Future[None]] = {key: Future() for key in keys if key in CASES}
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="conformance", daemon=True)
        self._thread.start()

    def outcome(self, key: str) -> None:
        self._futures[key].result(timeout=1200)

    async def _run(self) -> None:
        client = Client(HTTPTransport.from_kubeconfig(self._config), field_manager="conformance")
        try:
            nodes = sorted(item["metadata"]["name"] for item in (await client.list(NODES))["items"])
            slots = asyncio.Semaphore(AT_ONCE)
            together = [key for key in self._futures if key not in SERIAL]
            await asyncio.gather(*(self._one(client, key, nodes, slots) for key in together))
            for key in self._futures:
                if key in SERIAL:
                    await self._one(client, key, nodes, slots)
        except BaseException as error:
            for future in self._futures.values():
                if not future.done():
                    future.set_exception(error)
            raise
        finally:
            await client.close()

    async def _one(self, client: Client, key: str, nodes: list[str], slots: asyncio.Semaphore) -> None:
        future = self._futures[key]
        async with slots:
            try:
                async with asyncio.timeout(CASE_S):
                    await self._told(client, CASES[key], nodes)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(None)

    async def _told(self, client: Client, story: Story, nodes: list[str]) -> None:
        made = await client.create(NAMESPACES, {"metadata": {"generateName": "conformance-"}})
        name: str = made["metadata"]["name"]
        space = Space(client, kubeconfig.load(self._config), name, nodes, self._config)
        try:
            await space.inhabitable()
            await story(space)
        finally:
            await client.delete(NAMESPACES, name)


def keys_of(items: Iterable[Any]) -> list[str]:
    """The cases among pytest's items."""
    return [f"{item.module.__name__}::{item.originalname or item.name}" for item in items if hasattr(item, "module")]
