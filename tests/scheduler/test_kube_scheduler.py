"""A replica of the scheduler that waits for its turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.apiserver.serving import serving
from tests.meanwhile import meanwhile

from sampan.api.resources import LEASES, NODES, PODS
from sampan.scheduler.configuration.configuration import from_document
from sampan.scheduler.kube_scheduler import KubeScheduler

QUICK = from_document({
    "apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration",
    "leaderElection": {"leaderElect": True, "leaseDuration": "6s", "renewDeadline": "4s", "retryPeriod": "500ms"},
})


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)


async def test_it_knows_the_cluster_before_it_leads() -> None:
    async with serving() as (_, api):
        spec = {"holderIdentity": "another", "leaseDurationSeconds": 3600, "renewTime": "2026-01-01T00:00:00.000000Z"}
        await api.create(LEASES, {
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": "kube-scheduler", "namespace": "kube-system"}, "spec": spec,
        })
        offered = {"cpu": "4", "memory": "8Gi", "pods": "110"}
        await api.create(NODES, {"metadata": {"name": "n1"}, "status": {"allocatable": offered}})
        await api.patch(NODES, "n1", {"spec": {"taints": None}})
        await api.create(PODS, {
            "metadata": {"name": "p", "namespace": "default"}, "spec": {"containers": [{"name": "c", "image": "i"}]},
        })
        replica = KubeScheduler(api, QUICK, "waiting")
        synced = replica.readiness()["informer-sync"]
        assert synced() is not None
        async with meanwhile(replica.run()):
            await until(lambda: synced() is None)
            assert not replica.is_leader and replica._scheduler is not None
            assert len(replica._scheduler.queue) == 1 and replica._scheduler.sizes()["nodes"] == 1
            await asyncio.sleep(0.2)
            assert "nodeName" not in (await api.get(PODS, "p", "default"))["spec"], "who does not lead binds nothing"
            await api.patch(LEASES, "kube-scheduler", {"spec": {"holderIdentity": ""}}, "kube-system")
            await until(lambda: replica.is_leader)
            async with asyncio.timeout(60):
                while "nodeName" not in (await api.get(PODS, "p", "default"))["spec"]:
                    await asyncio.sleep(0.02)
