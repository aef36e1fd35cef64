"""Two API servers on one store, whose caches are of different age: components and users go from one to the other."""

from __future__ import annotations

import asyncio

from sampan.api.resources import CONFIG_MAPS, DEPLOYMENTS, JOBS, SERVICES, STATEFUL_SETS
from sampan.apimachinery import errors
from sampan.apimachinery.object import Object, name_of
from sampan.sim.actions import create_some, delete_pod, scale, set_image
from sampan.sim.documents import deployment, document, job, rolling, service, stateful_set
from sampan.sim.invariants.objects import LEDGER
from sampan.sim.invariants.services import SERVICES as KEY
from sampan.sim.scenario import Action, Scenario, Stage

SERVERS = 2
ADDRESS = "10.96.0.{}"
PORTS = (30000, 30001, 30002)
"""Few enough that they are wanted more than once."""


def exposed(name: str, stage: Stage) -> Object:
    """A Service that asks for an address, for a node port, or takes what it gets."""
    spec: Object = {"selector": {"app": "web"}, "ports": [{"port": 80}]}
    if stage.rng.random() < 0.5:
        spec["clusterIP"] = ADDRESS.format(stage.rng.randint(200, 203))
    if stage.rng.random() < 0.5:
        spec["type"] = "NodePort"
        spec["ports"] = [{"port": 80, "nodePort": stage.rng.choice(PORTS)}]
    return document("Service", "v1", name, spec=spec)


def expose_everywhere() -> Action:
    """Services are made at all servers at the same moment."""

    async def act(stage: Stage) -> None:
        number = stage.count("exposed")
        await asyncio.gather(*(
            _tried(stage, server, exposed(f"s{number}-{server}-{n}", stage))
            for server in range(SERVERS) for n in range(2)
        ))

    return act


async def _tried(stage: Stage, server: int, obj: Object) -> None:
    try:
        await stage.cluster.administrator_at(server).create(SERVICES, obj)
    except errors.APIError:
        return


def hide() -> Action:
    """Half of those Services go, so that their addresses and ports are free."""

    async def act(stage: Stage) -> None:
        names = sorted(name_of(one) for one in stage.world.objects[KEY].values() if name_of(one).startswith("s"))
        for name in stage.rng.sample(names, len(names) // 2):
            await stage.delete(SERVICES, name, "default")

    return act


def sign() -> Action:
    """At each server somebody reads the ledger, thinks, and replaces it with a line more; if that fails, from anew."""

    async def act(stage: Stage) -> None:
        number = stage.count("signed")
        thoughts = [stage.rng.uniform(0, 2) for _ in range(SERVERS)]
        await asyncio.gather(*(
            line(stage, server, f"{number}-{server}", thinks_s) for server, thinks_s in enumerate(thoughts)
        ))

    async def line(stage: Stage, server: int, name: str, thinks_s: float) -> None:
        client = stage.cluster.administrator_at(server)
        for _ in range(4):
            try:
                known = await client.get(CONFIG_MAPS, "ledger", "default")
                await asyncio.sleep(thinks_s)
                await client.update(CONFIG_MAPS, {**known, "data": {**known.get("data", {}), name: "signed"}})
                return
            except errors.APIError:
                await asyncio.sleep(thinks_s)

    return act


SCENARIO = Scenario(
    name="servers",
    about="two API servers of different age, and nobody goes back in time",
    apart=("replicaset-controller", "statefulset-controller", "job-controller", "endpointslice-controller"),
    servers=SERVERS,
    objects=(
        (DEPLOYMENTS, deployment("web", 4, rolling(1, 1))),
        (STATEFUL_SETS, stateful_set("db", 3)),
        (SERVICES, service("web", "web")),
        (CONFIG_MAPS, document("ConfigMap", "v1", "ledger", metadata={"labels": {LEDGER: ""}})),
    ),
    actions=(
        (3, scale(DEPLOYMENTS, "web", 2, 7)),
        (2, set_image(DEPLOYMENTS, "web")),
        (2, scale(STATEFUL_SETS, "db", 1, 4)),
        (2, set_image(STATEFUL_SETS, "db")),
        (3, delete_pod("web")),
        (2, delete_pod("db")),
        (2, create_some(JOBS, lambda number: job(f"work-{number}", 4, 2), 4)),
        (3, expose_everywhere()),
        (1, hide()),
        (2, sign()),
    ),
    minutes=4,
    every_s=5,
    rest_within_s=900,
)
