"""Several controller managers, of which one works."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from prometheus_client import CollectorRegistry

from sampan.api.resources import CORE_EVENTS, DEPLOYMENTS, LEASES, PODS
from sampan.controllers.config import ControllerManagerConfig
from sampan.controllers.manager import ControllerManager
from sampan.sim.cluster import SimCluster, SimConfig
from sampan.sim.loop import run
from sampan.sim.node import node_specs

NAMESPACE = "kube-system"


def test_one_manager_works_and_another_takes_over_when_it_dies(make) -> None:
    async def scenario() -> None:
        none = SimConfig(node_specs(2), controllers=ControllerManagerConfig(controllers="namespace"))
        async with SimCluster(seed=9, config=none) as cluster:
            client = cluster.client
            config = ControllerManagerConfig(controllers="*,-namespace", leader_elect=True)
            managers = [
                ControllerManager(cluster.client_of("system:masters", "system:masters"), replace(config, identity=name))
                for name in ("one", "two")
            ]
            tasks = [asyncio.ensure_future(manager.run()) for manager in managers]
            await cluster.until(lambda: any(manager.is_working for manager in managers), within_s=30)
            assert [manager.is_working for manager in managers].count(True) == 1
            leader = next(number for number, manager in enumerate(managers) if manager.is_working)
            await client.create(DEPLOYMENTS, {**make.deployment(replicas=3), "metadata": {
                "name": "web", "namespace": "default"}})

            async def running(wanted: int) -> bool:
                found = (await client.list(PODS, "default"))["items"]
                return len([pod for pod in found if pod["status"].get("phase") == "Running"]) == wanted

            await cluster.until(lambda: running(3), within_s=120)
            registry = CollectorRegistry()
            registry.register(managers[leader])
            assert registry.get_sample_value("workqueue_adds_total", {"name": "deployment"})
            assert registry.get_sample_value("leader_election_master_status", {"name": "kube-controller-manager"}) == 1
            tasks[leader].cancel()
            await asyncio.gather(tasks[leader], return_exceptions=True)
            other = managers[1 - leader]
            assert managers[leader].problem() is None and other.problem() is None
            await cluster.until(lambda: other.is_working, within_s=30)
            lease = await client.get(LEASES, "kube-controller-manager", NAMESPACE)
            assert lease["spec"]["holderIdentity"] == ("one", "two")[1 - leader]
            await client.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 5}}, "default")
            await cluster.until(lambda: running(5), within_s=120)
            told = [one["message"] for one in (await client.list(CORE_EVENTS, NAMESPACE))["items"]
                    if one["reason"] == "LeaderElection"]
            first, second = (("one", "two")[number] for number in (leader, 1 - leader))
            assert sorted(told) == sorted(
                [f"{first} became leader", f"{first} stopped leading", f"{second} became leader"]
            )
            tasks[1 - leader].cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    run(scenario())


def test_a_controller_that_does_not_come_up_is_named_after_a_minute() -> None:
    async def scenario() -> None:
        async with SimCluster(seed=9, nodes=1) as cluster:
            stranger = cluster.client_of("stranger")  # who may do everything here, for nothing is authorised
            manager = ControllerManager(stranger, ControllerManagerConfig(controllers="job,deployment"))

            async def broken() -> None:
                raise RuntimeError("no start")

            manager.manager.controllers[0].run = broken  # type: ignore[method-assign]
            task = asyncio.ensure_future(manager.run())
            await asyncio.sleep(30)
            assert manager.problem() is None
            await asyncio.sleep(60)
            assert manager.problem() == f"not running: {manager.manager.controllers[0].name}"
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    run(scenario())
