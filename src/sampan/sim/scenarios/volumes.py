"""Claims and volumes are made, used, and deleted in any order; each claim has one volume and keeps it."""

from __future__ import annotations

import asyncio

from sampan.api.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS
from sampan.apimachinery.object import Object
from sampan.apimachinery.resource import Resource
from sampan.sim.documents import document, pod_template, volume
from sampan.sim.scenario import Action, Scenario, Stage

MOST = 5


def claim(name: str) -> Object:
    return document("PersistentVolumeClaim", "v1", name, spec={
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "",
    })


def user_of(name: str) -> Object:
    template = pod_template("user", volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": name}}])
    return {"apiVersion": "v1", "kind": "Pod", **template, "metadata": {
        **template["metadata"], "name": f"uses-{name}", "namespace": "default",
    }}


def some(resource: Resource, what: str, *, gone: bool) -> Action:
    """Make or delete one of the five claims, volumes or pods."""

    async def act(stage: Stage) -> None:
        number = stage.rng.randrange(MOST)
        name = {"claim": f"c{number}", "volume": f"v{number}", "pod": f"uses-c{number}"}[what]
        where = None if what == "volume" else "default"
        if gone:
            await stage.delete(resource, name, where)
        else:
            obj = {"claim": claim(name), "volume": volume(name), "pod": user_of(f"c{number}")}[what]
            await stage.create(resource, obj)

    return act


async def complete(stage: Stage) -> None:
    """Nobody uses a claim any more, so those that are to go can; then enough volumes and every claim."""
    for number in range(MOST):
        await stage.delete(PODS, f"uses-c{number}", "default")
    await asyncio.sleep(60.0)
    for number in range(MOST):
        await stage.create(PERSISTENT_VOLUMES, volume(f"v{number}"))
        await stage.create(PERSISTENT_VOLUMES, volume(f"spare{number}"))
        await stage.create(PERSISTENT_VOLUME_CLAIMS, claim(f"c{number}"))


SCENARIO = Scenario(
    name="volumes",
    about="claims and volumes find each other once and for life",
    apart=("persistentvolume-binder-controller", "persistentvolumeclaim-protection-controller"),
    objects=tuple((PERSISTENT_VOLUMES, volume(f"v{number}")) for number in range(MOST)),
    actions=(
        (5, some(PERSISTENT_VOLUME_CLAIMS, "claim", gone=False)),
        (2, some(PERSISTENT_VOLUME_CLAIMS, "claim", gone=True)),
        (3, some(PERSISTENT_VOLUMES, "volume", gone=False)),
        (1, some(PERSISTENT_VOLUMES, "volume", gone=True)),
        (4, some(PODS, "pod", gone=False)),
        (3, some(PODS, "pod", gone=True)),
    ),
    finale=(complete,),
    every_s=3,
    minutes=3,
    unsettled=("persistentvolumes",),
)
