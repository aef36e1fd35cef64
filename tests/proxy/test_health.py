"""/healthz and /livez tell what kube-proxy's tell."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import aiohttp
import pytest

from sampan import effects
from sampan.proxy.health import TIMEOUT_S, Health, serving


class Clock:
    """Time that a test moves by hand."""

    seconds = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(1_800_000_000 + self.seconds, UTC)

    def monotonic(self) -> float:
        return self.seconds

    def rng(self) -> random.Random:
        return random.Random(0)

    def uid(self) -> str:
        return "uid"

    def secret(self, size_bytes: int) -> bytes:
        return bytes(size_bytes)


def test_a_proxy_is_live_from_its_first_table_until_a_change_waits_too_long() -> None:
    clock, health = Clock(), Health()
    with effects.use(clock):
        assert not health.live
        health.updated()
        health.queued()
        clock.seconds = TIMEOUT_S - 1
        health.queued()
        assert health.live and not health.settled
        clock.seconds = TIMEOUT_S + 1
        assert health.document(with_node=False)[0] == 503
        health.updated()
        assert health.live and health.settled


@pytest.mark.parametrize("node", [
    {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}},
    {"metadata": {}, "spec": {"taints": [{"key": "ToBeDeletedByClusterAutoscaler"}]}},
])
def test_a_node_that_is_about_to_go_gets_no_new_traffic(node: dict[str, object]) -> None:
    health = Health()
    health.updated()
    health.node_changed(node)
    assert health.document(with_node=True)[0] == 503 and health.document(with_node=False)[0] == 200


async def test_the_answers_have_kube_proxys_shape(unused_port: int) -> None:
    health = Health()
    health.updated()
    async with serving(health, "127.0.0.1", unused_port), aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{unused_port}/healthz") as response:
            assert response.status == 200
            assert set(await response.json()) == {"lastUpdated", "currentTime", "nodeEligible"}
        async with session.get(f"http://127.0.0.1:{unused_port}/livez") as response:
            assert set(await response.json()) == {"lastUpdated", "currentTime"}
