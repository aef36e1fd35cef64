"""`sampan why` on a whole cluster, with nothing but an API server to ask."""

from __future__ import annotations

import pytest
from tests.scheduler.test_scheduler import condition, placed, play, pod

from sampan.api.resources import PODS
from sampan.cli.operations import OperationError
from sampan.cmd.why import why
from sampan.sim.cluster import SimCluster


def test_a_pod_that_waits_is_explained_from_the_api_alone() -> None:
    async def scenario(cluster: SimCluster) -> None:
        await cluster.client.create(PODS, pod("big", "3"))

        async def is_refused() -> bool:
            return bool(await condition(cluster, "big"))

        await cluster.until(is_refused)
        report = await why(cluster.client, "default", "big")
        assert report.headline == "pod default/big waits: 3 of 3 nodes refuse it"
        assert report.last_attempt.startswith("0/3 nodes are available: 3 Insufficient cpu.")
        [row] = report.rows
        assert (row.nodes, row.plugin) == (("n0", "n1", "n2"), "NodeResourcesFit")
        assert report.smallest_change == ("1 cpu more: 3 asked, 2 of 2 free",)
        assert report.confirmed

    play(scenario)


def test_a_placed_pod_is_where_it_is() -> None:
    async def scenario(cluster: SimCluster) -> None:
        await cluster.client.create(PODS, pod("p"))
        node = await placed(cluster, "p")
        assert (await why(cluster.client, "default", "p")).headline == f"pod default/p is on {node}"

    play(scenario)


def test_what_is_not_there_cannot_be_explained() -> None:
    async def scenario(cluster: SimCluster) -> None:
        with pytest.raises(OperationError, match='pods "p" not found'):
            await why(cluster.client, "default", "p")

    play(scenario)
