"""Namespaces are filled, deleted and made again under the same name."""

from __future__ import annotations

from sampan.api.resources import CONFIG_MAPS, DEPLOYMENTS, JOBS, NAMESPACES, SERVICES
from sampan.apimachinery import errors
from sampan.apimachinery.object import Object
from sampan.sim.actions import create, delete
from sampan.sim.documents import deployment, document, job, namespace, service
from sampan.sim.scenario import Action, Scenario, Stage

NAMES = ("one", "two", "three")


def into(obj: Object, name: str) -> Object:
    return {**obj, "metadata": {**obj["metadata"], "namespace": name}}


def fill(name: str) -> Action:
    """Put things into a namespace; it may be going, or gone."""

    async def act(stage: Stage) -> None:
        number = stage.count(name)
        things = (
            (DEPLOYMENTS, deployment(f"web-{number}", 2)), (SERVICES, service("web", f"web-{number}")),
            (JOBS, job(f"work-{number}", 3, 2)), (CONFIG_MAPS, document("ConfigMap", "v1", f"config-{number}")),
        )
        for resource, obj in stage.rng.sample(things, 2):
            try:
                await stage.create(resource, into(obj, name))
            except errors.Forbidden:
                return

    return act


SCENARIO = Scenario(
    name="namespaces",
    about="namespaces with everything in them are deleted and made again",
    apart=("namespace-controller", "garbage-collector-controller"),
    objects=tuple((NAMESPACES, namespace(name)) for name in NAMES),
    actions=(
        *((2, create(NAMESPACES, namespace(name))) for name in NAMES),
        *((3, fill(name)) for name in NAMES),
        *((1, delete(NAMESPACES, name)) for name in NAMES),
    ),
    every_s=4,
    minutes=4,
)
