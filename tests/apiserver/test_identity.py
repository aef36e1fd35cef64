"""Identity Leases of API servers: kept while they run, collected when they are gone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sampan.api.resources import LEASES
from sampan.apimachinery import errors
from sampan.apimachinery.object import Object, name_of
from sampan.apiserver.config import APIServerConfig
from sampan.apiserver.identity import identity_of
from sampan.sim.cluster import SimCluster, SimConfig
from sampan.sim.loop import run
from sampan.sim.node import node_specs

NAMESPACE = "kube-system"


def played(scenario: Any) -> None:
    async def play() -> None:
        server = APIServerConfig(authorization=False, hostname="master-1")
        async with SimCluster(4, config=SimConfig(node_specs(0), server=server)) as cluster:
            await scenario(cluster.client)

    run(play())


def lease(name: str, label: str = "kube-apiserver", **spec: Any) -> Object:
    labels = {"apiserver.kubernetes.io/identity": label}
    metadata = {"name": name, "namespace": NAMESPACE, "labels": labels}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}


def test_the_name_is_made_of_the_hosts_as_upstream_makes_it() -> None:
    assert identity_of("test-server-a") == identity_of("test-server-a") != identity_of("test-server-b")
    name = identity_of("test-server-a")
    assert name.startswith("apiserver-") and len(name) == len("apiserver-") + 26 and name == name.lower()


def test_the_server_renews_its_lease_and_mends_it() -> None:
    async def scenario(client: Any) -> None:
        await asyncio.sleep(1)
        first = await client.get(LEASES, identity_of("master-1"), NAMESPACE)
        assert first["metadata"]["labels"] == {
            "apiserver.kubernetes.io/identity": "kube-apiserver", "kubernetes.io/hostname": "master-1",
        }
        assert first["spec"]["holderIdentity"].startswith(f"{name_of(first)}_")
        assert first["spec"]["leaseDurationSeconds"] == 3600
        await asyncio.sleep(11)
        second = await client.get(LEASES, name_of(first), NAMESPACE)
        assert second["spec"]["renewTime"] > first["spec"]["renewTime"]
        await client.delete(LEASES, name_of(first), NAMESPACE)
        await asyncio.sleep(11)
        assert await client.get(LEASES, name_of(first), NAMESPACE)

    played(scenario)


def test_leases_of_servers_that_are_gone_are_collected_and_no_others() -> None:
    async def scenario(client: Any) -> None:
        old = {"renewTime": "2000-01-01T00:00:00.000000Z", "leaseDurationSeconds": 3600, "holderIdentity": "a"}
        await client.create(LEASES, lease("expired", **old))
        await client.create(LEASES, lease("without-times", holderIdentity="b"))
        await client.create(LEASES, lease("of-another-kind", "other-server", **old))
        await client.create(LEASES, lease("alive", **old | {"renewTime": "2999-01-01T00:00:00.000000Z"}))
        await asyncio.sleep(3605)
        for name in ("expired", "without-times"):
            with pytest.raises(errors.NotFound):
                await client.get(LEASES, name, NAMESPACE)
        for name in ("of-another-kind", "alive", identity_of("master-1")):
            await client.get(LEASES, name, NAMESPACE)

    played(scenario)
