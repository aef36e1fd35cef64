"""A quota that everybody fills at once: users, a Deployment and Jobs."""

from __future__ import annotations

import asyncio

from sampan.api.resources import CONFIG_MAPS, DEPLOYMENTS, JOBS, NAMESPACES, PODS, RESOURCE_QUOTAS
from sampan.apimachinery import errors
from sampan.apimachinery.object import Object, name_of
from sampan.apimachinery.resource import Resource
from sampan.sim.actions import patch
from sampan.sim.convergence import UNSETTLED
from sampan.sim.documents import deployment, document, job, namespace, pod_template
from sampan.sim.scenario import Action, Scenario, Stage

SPACE = "team"
HARD = {"pods": "8", "requests.cpu": "1", "configmaps": "6", "count/jobs.batch": "4"}


def in_space(obj: Object) -> Object:
    """In the namespace; what the quota keeps from coming to rest need not."""
    labels = {**(obj["metadata"].get("labels") or {}), UNSETTLED: "quota"}
    return {**obj, "metadata": {**obj["metadata"], "namespace": SPACE, "labels": labels}}


def rush() -> Action:
    """Ten creations at the same moment."""

    async def act(stage: Stage) -> None:
        number = stage.count("rush")
        await asyncio.gather(*(one(stage, f"r{number}-{n}") for n, one in enumerate((pod, config) * 5)))

    async def pod(stage: Stage, name: str) -> None:
        spec = pod_template("rush", restartPolicy="Never", annotations={"sim.sampan/run-seconds": "20"})
        document_ = {"apiVersion": "v1", "kind": "Pod", **spec}
        document_["metadata"] = {**spec["metadata"], "name": name}
        await _tried(stage, PODS, in_space(document_))

    async def config(stage: Stage, name: str) -> None:
        await _tried(stage, CONFIG_MAPS, in_space(document("ConfigMap", "v1", name)))

    return act


async def _tried(stage: Stage, resource: Resource, obj: Object) -> None:
    try:
        await stage.client.create(resource, obj)
    except errors.APIError:
        return


def tidy_up() -> Action:
    """Half of the ConfigMaps, and pods that have ended, go."""

    async def act(stage: Stage) -> None:
        for resource, key in ((CONFIG_MAPS, ("core", "configmaps")), (PODS, ("core", "pods"))):
            there = sorted(
                name_of(one) for one in stage.world.objects[key].values() if name_of(one).startswith("r")
            )
            for name in stage.rng.sample(there, len(there) // 2):
                await stage.delete(resource, name, SPACE)

    return act


def launch() -> Action:
    async def act(stage: Stage) -> None:
        await _tried(stage, JOBS, in_space(job(f"job-{stage.count('job')}", 2, 2, ttlSecondsAfterFinished=20)))

    return act


SCENARIO = Scenario(
    name="quotas",
    about="many create at once, and the quota holds",
    apart=("resourcequota-controller", "replicaset-controller"),
    objects=(
        (NAMESPACES, namespace(SPACE)),
        (RESOURCE_QUOTAS, document("ResourceQuota", "v1", "all", SPACE, spec={"hard": HARD})),
        (DEPLOYMENTS, in_space(deployment("web", 3))),
    ),
    actions=(
        (5, rush()),
        (4, tidy_up()),
        (2, launch()),
        (2, patch(DEPLOYMENTS, "web", lambda stage: {"spec": {"replicas": stage.rng.randint(0, 9)}}, SPACE)),
    ),
    every_s=6,
    minutes=4,
    unsettled=("pods", "replicasets"),
)
