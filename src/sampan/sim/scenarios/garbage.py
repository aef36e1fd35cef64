"""Trees of owners: Deployments and ConfigMaps that own each other are deleted in every way."""

from __future__ import annotations

from sampan.api.resources import CONFIG_MAPS, DEPLOYMENTS, REPLICA_SETS
from sampan.apimachinery.object import Object, name_of, uid_of
from sampan.sim.documents import deployment, document
from sampan.sim.scenario import Action, Scenario, Stage

MOST = 14


def reference(owner: Object, *, blocks: bool) -> Object:
    return {
        "apiVersion": "v1", "kind": "ConfigMap", "name": name_of(owner), "uid": uid_of(owner),
        "blockOwnerDeletion": blocks,
    }


def grow() -> Action:
    """A ConfigMap that one or two others own."""

    async def act(stage: Stage) -> None:
        there = [one for key, one in sorted(stage.world.objects[("core", "configmaps")].items()) if "/node-" in key]
        owners = stage.rng.sample(there, min(len(there), stage.rng.randint(0, 2)))
        name = f"node-{stage.rng.randrange(MOST)}"
        references = [reference(owner, blocks=stage.rng.random() < 0.5) for owner in owners if name_of(owner) != name]
        await stage.create(CONFIG_MAPS, document("ConfigMap", "v1", name, metadata={"ownerReferences": references}))

    return act


def fell() -> Action:
    """Delete any ConfigMap or Deployment, in any of the three ways."""

    async def act(stage: Stage) -> None:
        way = stage.rng.choice(("Background", "Foreground", "Foreground", "Orphan"))
        name = f"node-{stage.rng.randrange(MOST)}"
        await stage.persist(lambda: stage.client.delete(CONFIG_MAPS, name, "default", propagation=way))

    return act


def replace_deployment() -> Action:
    """Delete it, its sets or their pods orphaned or not, and make it again under the same name."""

    async def act(stage: Stage) -> None:
        way = stage.rng.choice(("Background", "Foreground", "Orphan"))
        await stage.persist(lambda: stage.client.delete(DEPLOYMENTS, "web", "default", propagation=way))
        await stage.create(DEPLOYMENTS, deployment("web", 3))

    return act


def orphan_set() -> Action:
    """Delete a ReplicaSet; its pods are adopted by the next of that hash."""

    async def act(stage: Stage) -> None:
        sets = sorted(stage.world.objects[("apps", "replicasets")].values(), key=name_of)
        if sets:
            chosen, way = stage.rng.choice(sets), stage.rng.choice(("Orphan", "Foreground", "Background"))
            await stage.persist(lambda: stage.client.delete(
                REPLICA_SETS, name_of(chosen), "default", propagation=way, uid=uid_of(chosen)
            ))

    return act


async def restore(stage: Stage) -> None:
    await stage.create(DEPLOYMENTS, deployment("web", 3))


SCENARIO = Scenario(
    name="garbage",
    about="owners are deleted in the background, in the foreground, and orphan what they own",
    apart=("garbage-collector-controller", "deployment-controller", "replicaset-controller"),
    objects=((DEPLOYMENTS, deployment("web", 3)),),
    actions=((8, grow()), (5, fell()), (1, replace_deployment()), (1, orphan_set())),
    finale=(restore,),
    every_s=2,
    minutes=3,
)
